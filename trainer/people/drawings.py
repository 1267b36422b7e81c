"""A drawing from a picture file, in the form of the sets of drawings: white ink on black, one channel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.people.data import DataError, resized

BOX = 20 / 28
"""How much of an MNIST picture the longer side of its digit takes."""
INK = 0.3
"""Ink is what is brighter than this share of the brightest."""


def read(path: Path, side: int, digit: bool) -> NDArray[np.uint8]:
    """A picture of any size as a drawing uint8 [side, side, 1]. The paper is what the picture's edge shows, dark or light. A picture of
    another size is made square; a `digit` is then brought to the place and size that MNIST gives it. Raises DataError."""
    image = _grey(path)
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    image = 255 - image if np.median(edge) > 127 else image
    if image.shape == (side, side):
        return image[:, :, None]
    return (_as_mnist(image, side, path) if digit else resized(_square(image)[None], side)[0])[:, :, None]


def _grey(path: Path) -> NDArray[np.uint8]:
    """uint8 [height, width]; what is transparent is white paper."""
    try:
        content = np.fromfile(path, np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if len(content) else None
    except (OSError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) else "too large, or damaged"
        raise DataError(f"{path} cannot be read: {reason}", "give a PNG or JPEG picture of a drawing") from error
    if image is None:
        raise DataError(f"{path} is not a picture", "give a PNG or JPEG picture of a drawing")
    values = image.astype(np.float32) / (257 if image.dtype == np.uint16 else 1)
    if values.ndim == 3 and values.shape[2] == 4:
        opaque = values[:, :, 3:] / 255
        values = values[:, :, :3] * opaque + 255 * (1 - opaque)
    return np.asarray(np.rint(values.mean(axis=2) if values.ndim == 3 else values), np.uint8)


def _square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The drawing in the middle of a square of paper."""
    height, width = image.shape
    whole = max(height, width)
    top, left = (whole - height) // 2, (whole - width) // 2
    return np.asarray(
        cv2.copyMakeBorder(image, top, whole - height - top, left, whole - width - left, cv2.BORDER_CONSTANT, value=0), np.uint8
    )


def _as_mnist(image: NDArray[np.uint8], side: int, path: Path) -> NDArray[np.uint8]:
    """The ink in a box of 20/28 of the side, its centre of mass in the middle (LeCun et al. 1998). Raises DataError without ink."""
    there = image > INK * max(1, int(image.max()))
    if not there.any():
        raise DataError(f"{path} shows nothing drawn", "give a picture of dark ink on light paper, or light on dark")
    down, across = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    ink = _square(image[down[0] : down[-1] + 1, across[0] : across[-1] + 1])
    box = max(1, round(BOX * side))
    small = np.zeros((side, side), np.uint8)
    small[:box, :box] = resized(ink[None], box)[0]
    weight = small.astype(np.float64) / small.sum()
    middle = (side - 1) / 2
    dy, dx = middle - weight.sum(axis=1) @ np.arange(side), middle - weight.sum(axis=0) @ np.arange(side)
    return np.asarray(cv2.warpAffine(small, np.array([[1, 0, dx], [0, 1, dy]]), (side, side), flags=cv2.INTER_LINEAR), np.uint8)
