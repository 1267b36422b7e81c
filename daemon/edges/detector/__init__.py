"""Finding faces in a frame: with the Haar cascade that comes with OpenCV or with a YuNet file, placed by the daemon's own aligner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from daemon.core.attention import Attention, Region, whole
from daemon.core.boxes import Box
from daemon.core.values import Face, Image
from daemon.edges.detector.aligner import ALIGNER, open_aligner
from daemon.edges.detector.cascade import open_cascade
from daemon.edges.detector.errors import DetectorError
from daemon.edges.detector.finder import Finder
from daemon.edges.detector.yunet import open_yunet

__all__ = ["Detector", "DetectorError", "Finder", "open_detector"]

# A gate's pictures are small: to share one between threads costs more than it saves, and every gate has a thread of its own.
cv2.setNumThreads(1)


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds faces. Use one for each thread: OpenCV's cascade keeps state between calls.

    Pictures are scaled down for the search as far as `finder` allows it for faces of `min_face_px`; smaller faces are left out. `align`,
    if there is one, gives the faces of a whole frame their anchors.
    """

    finder: Finder
    min_face_px: int
    align: Callable[[Image, Sequence[Face]], list[Face]] | None = None

    def detect(self, image: Image) -> list[Face]:
        """The faces of a BGR picture, uint8 [height, width, 3], largest first. Boxes and landmarks are finite, in its pixels.

        Raises DetectorError if the finder or the aligner fails.
        """
        return self._placed(image, self._search(image, whole(image, self.min_face_px)))

    def follow(self, image: Image, at_s: float, attention: Attention) -> list[Face]:
        """The faces of a camera's next picture where `attention` looks for them; else as `detect`."""
        while True:
            regions = attention.where(image, at_s)
            faces = attention.saw(regions, [self._search(image, region) for region in regions])
            if faces is not None:
                return self._placed(image, faces)

    def _placed(self, image: Image, faces: list[Face]) -> list[Face]:
        if self.align is not None and faces:
            faces = [face for face in self.align(image, faces) if _finite(face)]
        return sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y))

    def attention(self) -> Attention:
        """Where to look with this detector in the pictures of one camera."""
        return Attention(self.min_face_px, self.fit, self.finder.wanted_px)

    def fit(self, region: Region, everything: Region) -> Region:
        """A region of a picture, and what is around it up to a size that the finder takes as it is."""
        scale, grid_px = self._scale(region, everything.right, everything.bottom), self.finder.grid_px
        left, right = _fitted(region.left, region.right, everything.right, grid_px / scale)
        top, bottom = _fitted(region.top, region.bottom, everything.bottom, grid_px / scale)
        return Region(left, top, right, bottom, region.least_px)

    def _scale(self, region: Region, width: int, height: int) -> float:
        """By how much a region of such a picture is scaled for the search."""
        return min(1.0, self.finder.wanted_px / region.least_px, self.finder.longest_px / max(width, height))

    def _search(self, image: Image, region: Region) -> list[Face]:
        height, width = image.shape[:2]
        scale = self._scale(region, width, height)
        seen = image[region.top : region.bottom, region.left : region.right]
        if scale < 1:
            size = max(1, round(seen.shape[1] * scale)), max(1, round(seen.shape[0] * scale))
            seen = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8)
        kx, ky = (region.right - region.left) / seen.shape[1], (region.bottom - region.top) / seen.shape[0]
        smallest_px = max(region.least_px, self.min_face_px, self.finder.least_share * max(width, height)) * scale
        faces = [_in_picture(face, kx, ky, region) for face in self.finder.find(seen, smallest_px)]
        return [face for face in faces if _finite(face) and face.box.side >= self.min_face_px]


def open_detector(kind: str, min_face_px: int = 40, aligner: Path | None = ALIGNER) -> Detector:
    """A detector. `kind` is `haar` or the path of a YuNet ONNX file. Faces whose box is smaller than `min_face_px` are left out.

    Faces get their anchors from `aligner`; with None they have none. Raises DetectorError.
    """
    finder = open_cascade() if kind == "haar" else open_yunet(Path(kind))
    return Detector(finder, min_face_px, open_aligner(aligner).place if aligner is not None else None)


def _fitted(first: int, end: int, side: int, step: float) -> tuple[int, int]:
    """A part of a side, lengthened to a multiple of `step`, or to the whole side if that is shorter."""
    length = round(step * ceil((end - first) / step - 0.01))
    if length >= side:
        return 0, side
    begin = min(first, side - max(length, end - first))
    return begin, begin + max(length, end - first)


def _in_picture(face: Face, kx: float, ky: float, region: Region) -> Face:
    box = Box(face.box.x * kx + region.left, face.box.y * ky + region.top, face.box.width * kx, face.box.height * ky)
    points = None if face.landmarks is None else np.asarray(face.landmarks * (kx, ky) + (region.left, region.top), np.float32)
    return replace(face, box=box, landmarks=points)


def _finite(face: Face) -> bool:
    box = face.box
    numbers = np.array([box.x, box.y, box.width, box.height, face.score])
    sound = bool(np.isfinite(numbers).all()) and box.width > 0 and box.height > 0
    return sound and all(points is None or bool(np.isfinite(points).all()) for points in (face.landmarks, face.anchors))
