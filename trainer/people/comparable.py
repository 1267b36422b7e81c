"""Single picture files in the form that a model takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.core.faces.align import CROP_PX
from daemon.edges.detector import Detector, open_detector
from trainer.people import drawings as drawing
from trainer.people import pictures
from trainer.people.data import DataError
from trainer.people.pictures import PictureError
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
            crop = crop_of(image, machine)
            if isinstance(crop, str):
                raise DataError(f"{path}: {crop}", f"give a photo of one clear face, or an aligned {CROP_PX}x{CROP_PX} crop")
            crops.append(crop)
        return np.stack(crops)

    return read


def drawings(side: int, digits: bool) -> Read:
    """Drawings of this side, white ink on black."""
    return lambda files: np.stack([drawing.read(path, side, digits) for path in files])


def _picture(path: Path) -> NDArray[np.uint8]:
    """BGR pixels of a photo of any usual kind, or of a crop."""
    try:
        return pictures.read(path)
    except PictureError as error:
        hint = "`pip install pillow-heif`" if error.reason == pictures.NO_HEIC else "give a photo or a crop as JPEG, PNG or HEIC"
        raise DataError(f"{path}: {error.reason}", hint) from error
