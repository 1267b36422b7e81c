"""Finding faces in a frame: with the Haar cascade that comes with OpenCV, or with a YuNet file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon.core.boxes import Box, overlap
from daemon.core.faults import Fault, first_line
from daemon.core.values import Face, Image

CASCADE = "haarcascade_frontalface_alt2.xml"
# Chosen by measurement on LFW pictures and office clips. Of the three frontal cascades `default` gives ten times the false boxes;
# `alt` finds no more faces and takes half as long again.
HAAR_STEP = 1.1
HAAR_NEIGHBOURS = 4
NESTED = 0.5
YUNET_SCORE = 0.7
YUNET_OVERLAP = 0.3
SEARCH_PX = 640
"""A picture with a longer side than this is scaled down to it for the search. Boxes are returned in the frame's own pixels."""
SMALLEST_SHARE = 1 / 24
"""The cascade looks for no face smaller than this share of the longer side (27 px of 640, 80 px of 1920), even if the configuration asks
for less: its time grows with the square of (picture side / smallest face)."""
CASCADE_PX = 20
DARK, LIGHT, MIDDLE = 0.01, 0.99, 0.45


class DetectorError(Fault):
    """The detector cannot be opened. `hint` says what to do about it."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds faces. Use one for each thread: OpenCV's detectors keep state between calls.

    `find` takes a picture of at most SEARCH_PX and the smallest side of a face in it; faces smaller than `min_face_px` are left out.
    """

    find: Callable[[Image, float], list[Face]]
    min_face_px: int

    def detect(self, image: Image) -> list[Face]:
        """The faces of a BGR picture, uint8 [height, width, 3], largest first. Boxes and landmarks are finite, in its pixels."""
        scale = min(1.0, SEARCH_PX / max(image.shape[:2]))
        small = image
        if scale < 1:
            small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        kx, ky = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
        faces = [_scaled(face, kx, ky) for face in self.find(small, self.min_face_px * scale)]
        faces = [face for face in faces if _finite(face) and face.box.side >= self.min_face_px]
        return sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y))


def open_detector(kind: str, min_face_px: int = 40) -> Detector:
    """A detector. `kind` is `haar` or the path of a YuNet ONNX file. Faces whose box is smaller than `min_face_px` are left out.

    Raises DetectorError.
    """
    if kind == "haar":
        return Detector(_haar(), min_face_px)
    return Detector(_yunet(Path(kind)), min_face_px)


# ---- the cascade


def _haar() -> Callable[[Image, float], list[Face]]:
    # OpenCV 5 has neither the class nor the files. The pin in pyproject.toml excludes it, but another environment may have it.
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
        raise DetectorError(f"OpenCV {cv2.__version__} has no Haar cascades", "install opencv-python 4 (>=4.10,<5), or name a YuNet file")
    cascade = cv2.CascadeClassifier(str(Path(folder) / CASCADE))
    if cascade.empty():
        raise DetectorError(f"{CASCADE} is missing from {folder}", "reinstall opencv-python")

    def find(image: Image, smallest_px: float) -> list[Face]:
        side = round(max(CASCADE_PX, smallest_px, max(image.shape[:2]) * SMALLEST_SHARE))
        grey = levelled(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))
        boxes, _, weights = cascade.detectMultiScale3(
            grey, scaleFactor=HAAR_STEP, minNeighbors=HAAR_NEIGHBOURS, minSize=(side, side), outputRejectLevels=True
        )
        # Without a face OpenCV returns empty tuples instead of arrays.
        rows = np.asarray(boxes, np.float64).reshape(-1, 4)
        scores = np.asarray(weights, np.float64).reshape(-1)
        return _one_per_face([Face(Box(*map(float, row)), float(score)) for row, score in zip(rows, scores, strict=True)])

    return find


def _one_per_face(faces: list[Face]) -> list[Face]:
    """Leave out the weaker of two boxes where one lies mostly in the other.

    OpenCV joins only boxes of similar size. A head with much hair is therefore found twice, and would be two tracks at the gate and
    `several_faces` at enrolment.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < NESTED * min(face.box.area, other.box.area) for other in kept):
            kept.append(face)
    return kept


def levelled(grey: np.ndarray) -> np.ndarray:
    """A grey picture, uint8, stretched to the full range with its median in the middle, by one curve for the whole picture.

    Without this the cascade finds nothing in the dark. Full histogram equalisation brightens dark pictures too, but it loses a tenth of the
    faces in good light because it changes the contrast inside the faces. A stretch and a gamma curve do not.
    """
    share = np.cumsum(np.bincount(grey.reshape(-1), minlength=256)) / grey.size
    dark, light = int(np.searchsorted(share, DARK)), int(np.searchsorted(share, LIGHT))
    stretched = np.clip((np.arange(256) - dark) / max(light - dark, 16), 0, 1)
    median = min(max(float(stretched[int(np.searchsorted(share, 0.5))]), 0.01), 0.98)
    gamma = min(max(np.log(MIDDLE) / np.log(median), 0.4), 1.6)
    table = np.asarray(np.rint(255 * stretched**gamma), np.uint8)
    return np.asarray(table[grey], np.uint8)


# ---- YuNet


def _yunet(path: Path) -> Callable[[Image, float], list[Face]]:
    if not path.is_file():
        raise DetectorError(f"{path}: no such detector file", "detector.kind is `haar` or the path of a YuNet ONNX file")
    try:
        net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_SCORE, YUNET_OVERLAP)
        rows = net.detect(np.zeros((320, 320, 3), np.uint8))[1]
    except cv2.error as error:
        hint = "detector.kind is `haar`, or the path of an ONNX file for cv2.FaceDetectorYN"
        reason = first_line(error).rpartition("error: ")[2]  # without the place in OpenCV's source
        raise DetectorError(f"{path}: not a YuNet file ({reason})", hint) from None
    if rows is not None:
        raise DetectorError(f"{path}: finds faces in a black picture", "the file is damaged or not a YuNet file; fetch it again")

    def find(image: Image, smallest_px: float) -> list[Face]:
        net.setInputSize((image.shape[1], image.shape[0]))
        found: Any = net.detect(image)[1]
        return [] if found is None else [_yunet_face(row) for row in found]

    return find


def _yunet_face(row: np.ndarray) -> Face:
    # YuNet names its points from the person's view (right eye, left eye, nose, right and left corner of the mouth). The person's right eye
    # is on the picture's left, so this is already the order of `Face.landmarks`.
    return Face(Box(*map(float, row[:4])), float(row[14]), np.array(row[4:14], np.float32).reshape(5, 2))


def _scaled(face: Face, kx: float, ky: float) -> Face:
    box = Box(face.box.x * kx, face.box.y * ky, face.box.width * kx, face.box.height * ky)
    points = None if face.landmarks is None else np.asarray(face.landmarks * (kx, ky), np.float32)
    return Face(box, face.score, points)


def _finite(face: Face) -> bool:
    box = face.box
    numbers = np.array([box.x, box.y, box.width, box.height, face.score])
    sound = bool(np.isfinite(numbers).all()) and box.width > 0 and box.height > 0
    return sound and (face.landmarks is None or bool(np.isfinite(face.landmarks).all()))
