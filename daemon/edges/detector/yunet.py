"""Finding faces with a YuNet file: boxes with five landmarks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon.core.boxes import Box
from daemon.core.faults import first_line
from daemon.core.values import Face, Image
from daemon.edges.detector.errors import DetectorError

YUNET_SCORE = 0.7
YUNET_OVERLAP = 0.3


def open_yunet(path: Path) -> Callable[[Image, float], list[Face]]:
    """A function that finds the faces of a BGR picture with their landmarks, whatever their size. Raises DetectorError."""
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
        return [] if found is None else [_face(row) for row in found]

    return find


def _face(row: np.ndarray) -> Face:
    # YuNet names its points from the person's view (right eye, left eye, nose, right and left corner of the mouth). The person's right eye
    # is on the picture's left, so this is already the order of `Face.landmarks`.
    return Face(Box(*map(float, row[:4])), float(row[14]), np.array(row[4:14], np.float32).reshape(5, 2))
