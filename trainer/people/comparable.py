"""Single picture files in the form that a model takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.faces.align import CROP_PX
from daemon.edges.detector import Detector, open_detector
from trainer.people import drawings as drawing
from trainer.people.data import DataError
from trainer.people.prepare import crop_of

Read = Callable[[Sequence[Path]], NDArray[np.uint8]]
"""Files to pictures uint8 [n, side, side, channels]. Raises DataError, which names the file."""


def faces(detector: str) -> Read:
    """Aligned crops RGB. Pictures that are not crops are detected and aligned."""

    def read(files: Sequence[Path]) -> NDArray[np.uint8]:
        machine: Detector | None = None
        crops: list[NDArray[np.uint8]] = []
        for path in files:
            image = _picture(path)
            if image.shape[:2] == (CROP_PX, CROP_PX):
                crops.append(image[:, :, ::-1])
                continue
            machine = machine or open_detector(detector)
            crop = crop_of(path, machine)
            if isinstance(crop, str):
                raise DataError(f"{path}: {crop}", f"give a photo of one clear face, or an aligned {CROP_PX}x{CROP_PX} crop")
            crops.append(crop)
        return np.stack(crops)

    return read


def drawings(side: int, digits: bool) -> Read:
    """Drawings of this side, white ink on black."""
    return lambda files: np.stack([drawing.read(path, side, digits) for path in files])


def _picture(path: Path) -> NDArray[np.uint8]:
    try:
        content = np.fromfile(path, np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    except (OSError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) else "too large, or damaged"
        raise DataError(f"{path} cannot be read: {reason}", "give a JPEG or PNG picture") from error
    if image is None:
        raise DataError(f"{path} is not a picture", "give a JPEG or PNG picture")
    return np.asarray(image, np.uint8)
