"""Finding faces in a frame: with the Haar cascade that comes with OpenCV or with a YuNet file, placed by the daemon's own aligner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from daemon.core.boxes import Box
from daemon.core.values import Face, Image
from daemon.edges.detector.aligner import ALIGNER, open_aligner
from daemon.edges.detector.cascade import open_cascade
from daemon.edges.detector.errors import DetectorError
from daemon.edges.detector.yunet import open_yunet

__all__ = ["SEARCH_PX", "Detector", "DetectorError", "open_detector"]

SEARCH_PX = 640
"""A picture with a longer side than this is scaled down to it for the search. Boxes are returned in the frame's own pixels."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds faces. Use one for each thread: OpenCV's detectors keep state between calls.

    `find` takes a picture of at most SEARCH_PX and the smallest side of a face in it; faces smaller than `min_face_px` are left out.
    `align`, if there is one, gives the faces of a whole frame their anchors.
    """

    find: Callable[[Image, float], list[Face]]
    min_face_px: int
    align: Callable[[Image, Sequence[Face]], list[Face]] | None = None

    def detect(self, image: Image) -> list[Face]:
        """The faces of a BGR picture, uint8 [height, width, 3], largest first. Boxes and landmarks are finite, in its pixels.

        Raises DetectorError if the aligner fails.
        """
        scale = min(1.0, SEARCH_PX / max(image.shape[:2]))
        small = image
        if scale < 1:
            small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        kx, ky = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
        faces = [_scaled(face, kx, ky) for face in self.find(small, self.min_face_px * scale)]
        faces = [face for face in faces if _finite(face) and face.box.side >= self.min_face_px]
        if self.align is not None:
            faces = [face for face in self.align(image, faces) if _finite(face)]
        return sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y))


def open_detector(kind: str, min_face_px: int = 40, aligner: Path | None = ALIGNER) -> Detector:
    """A detector. `kind` is `haar` or the path of a YuNet ONNX file. Faces whose box is smaller than `min_face_px` are left out.

    Faces get their anchors from `aligner`; with None they have none. Raises DetectorError.
    """
    find = open_cascade() if kind == "haar" else open_yunet(Path(kind))
    return Detector(find, min_face_px, open_aligner(aligner).place if aligner is not None else None)


def _scaled(face: Face, kx: float, ky: float) -> Face:
    box = Box(face.box.x * kx, face.box.y * ky, face.box.width * kx, face.box.height * ky)
    points = None if face.landmarks is None else np.asarray(face.landmarks * (kx, ky), np.float32)
    return replace(face, box=box, landmarks=points)


def _finite(face: Face) -> bool:
    box = face.box
    numbers = np.array([box.x, box.y, box.width, box.height, face.score])
    sound = bool(np.isfinite(numbers).all()) and box.width > 0 and box.height > 0
    return sound and all(points is None or bool(np.isfinite(points).all()) for points in (face.landmarks, face.anchors))
