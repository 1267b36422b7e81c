"""Finding faces with the Haar cascade that comes with OpenCV: boxes without landmarks."""

from pathlib import Path

import cv2
import numpy as np

from daemon.core.boxes import Box, overlap
from daemon.core.values import Face, Image
from daemon.edges.detector.errors import DetectorError
from daemon.edges.detector.finder import Finder

CASCADE = "haarcascade_frontalface_alt2.xml"
# Chosen by measurement on LFW pictures and office clips. Of the three frontal cascades `default` gives ten times the false boxes;
# `alt` finds no more faces and takes half as long again.
HAAR_STEP = 1.1
HAAR_NEIGHBOURS = 4
NESTED = 0.5
WANTED_PX, LONGEST_PX = 40.0, 1280
"""Of faces of 20 px the cascade finds 79 %, of 24 px 89 %, of 40 px 92 to 98 % (bench/recall.py). Pictures are scaled down to 1280 px: in
640 px it finds a tenth of the faces of 120 px in a picture of 3840×2160, in 1920 px it takes twice the time of 1280."""
LEAST_SHARE = 1 / 32
"""The cascade looks for no face smaller than this share of the longer side (20 px of 640, 60 px of 1920, 120 px of 3840), even if the
configuration asks for less: its time grows with the square of (picture side / smallest face)."""
CASCADE_PX = 20
DARK, LIGHT, MIDDLE = 0.01, 0.99, 0.45


def open_cascade() -> Finder:
    """A finder of square boxes without landmarks. Raises DetectorError."""
    # OpenCV 5 has neither the class nor the files. The pin in pyproject.toml excludes it, but another environment may have it.
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
        raise DetectorError(f"OpenCV {cv2.__version__} has no Haar cascades", "install opencv-python 4 (>=4.10,<5), or name a YuNet file")
    cascade = cv2.CascadeClassifier(str(Path(folder) / CASCADE))
    if cascade.empty():
        raise DetectorError(f"{CASCADE} is missing from {folder}", "reinstall opencv-python")

    def find(image: Image, smallest_px: float) -> list[Face]:
        side = round(max(CASCADE_PX, smallest_px))
        grey = levelled(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))
        boxes, _, weights = cascade.detectMultiScale3(
            grey, scaleFactor=HAAR_STEP, minNeighbors=HAAR_NEIGHBOURS, minSize=(side, side), outputRejectLevels=True
        )
        # Without a face OpenCV returns empty tuples instead of arrays.
        rows = np.asarray(boxes, np.float64).reshape(-1, 4)
        scores = np.asarray(weights, np.float64).reshape(-1)
        return one_per_face([Face(Box(*map(float, row)), float(score), square=True) for row, score in zip(rows, scores, strict=True)])

    return Finder(find, WANTED_PX, LONGEST_PX, LEAST_SHARE)


def one_per_face(faces: list[Face]) -> list[Face]:
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
    share = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256])) / grey.size
    dark, light = int(np.searchsorted(share, DARK)), int(np.searchsorted(share, LIGHT))
    stretched = np.clip((np.arange(256) - dark) / max(light - dark, 16), 0, 1)
    median = min(max(float(stretched[int(np.searchsorted(share, 0.5))]), 0.01), 0.98)
    gamma = min(max(np.log(MIDDLE) / np.log(median), 0.4), 1.6)
    table = np.asarray(np.rint(255 * stretched**gamma), np.uint8)
    return np.asarray(cv2.LUT(grey, table), np.uint8)
