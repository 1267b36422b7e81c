"""Finding faces in a frame: with the Haar cascade that comes with OpenCV or with a YuNet file, placed by the daemon's own aligner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from daemon.core.attention import Region, whole
from daemon.core.boxes import Box, overlap
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

    def detect(self, image: Image, regions: Sequence[Region] | None = None) -> list[Face]:
        """The faces of a BGR picture, uint8 [height, width, 3], largest first. Boxes and landmarks are finite, in its pixels.

        With `regions`, which do not overlap, only these parts are searched, and a few pixels around them. Raises DetectorError if the
        finder or the aligner fails.
        """
        everything = whole(image, self.min_face_px)
        parts = [everything] if regions is None else regions
        found = [(part, face) for part in parts for face in self._search(image, part)]
        found = [(part, face) for part, face in found if _finite(face) and face.box.side >= self.min_face_px]
        # The pixels around a part may be those of the next one, and then both show the same face.
        faces = [face for part, face in found if part.holds(face.box, everything)]
        beside = [face for part, face in found if not part.holds(face.box, everything)]
        faces += [face for face in beside if not any(overlap(face.box, other.box) > 0 for other in faces)]
        if self.align is not None and faces:
            faces = [face for face in self.align(image, faces) if _finite(face)]
        return sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y))

    def _search(self, image: Image, region: Region) -> list[Face]:
        longer = float(max(image.shape[:2]))
        scale = min(1.0, self.finder.wanted_px / region.least_px, self.finder.longest_px / longer)
        part = self._snapped(region, image, scale)
        seen = part.cut(image)
        if scale < 1:
            size = max(1, round(seen.shape[1] * scale)), max(1, round(seen.shape[0] * scale))
            seen = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8)
        kx, ky = (part.right - part.left) / seen.shape[1], (part.bottom - part.top) / seen.shape[0]
        smallest_px = max(region.least_px, self.min_face_px, self.finder.least_share * longer) * scale
        return [_placed(face, kx, ky, part) for face in self.finder.find(seen, smallest_px)]

    def _snapped(self, region: Region, image: Image, scale: float) -> Region:
        """The region, and what is around it up to the finder's grid."""
        step = self.finder.grid_px / scale
        height, width = image.shape[:2]
        right, bottom = (min(end, round(-(-edge // step) * step)) for edge, end in ((region.right, width), (region.bottom, height)))
        return Region(round(region.left // step * step), round(region.top // step * step), right, bottom, region.least_px)


def open_detector(kind: str, min_face_px: int = 40, aligner: Path | None = ALIGNER) -> Detector:
    """A detector. `kind` is `haar` or the path of a YuNet ONNX file. Faces whose box is smaller than `min_face_px` are left out.

    Faces get their anchors from `aligner`; with None they have none. Raises DetectorError.
    """
    finder = open_cascade() if kind == "haar" else open_yunet(Path(kind))
    return Detector(finder, min_face_px, open_aligner(aligner).place if aligner is not None else None)


def _placed(face: Face, kx: float, ky: float, part: Region) -> Face:
    box = Box(face.box.x * kx + part.left, face.box.y * ky + part.top, face.box.width * kx, face.box.height * ky)
    points = None if face.landmarks is None else np.asarray(face.landmarks * (kx, ky) + (part.left, part.top), np.float32)
    return replace(face, box=box, landmarks=points)


def _finite(face: Face) -> bool:
    box = face.box
    numbers = np.array([box.x, box.y, box.width, box.height, face.score])
    sound = bool(np.isfinite(numbers).all()) and box.width > 0 and box.height > 0
    return sound and all(points is None or bool(np.isfinite(points).all()) for points in (face.landmarks, face.anchors))
