"""Aligned crops moved as a detector's box moves them, and where the landmarks are then: what the aligner learns from.

A crop is aligned, so its landmarks lie on the template. Moving it by a known amount needs no label.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.faces.align import TEMPLATE
from daemon.core.faces.glimpse import CENTRE, GLIMPSE_PX, TO_GLIMPSE
from trainer.people import augment
from trainer.people.augment import Picture
from trainer.recipes.values import Augment

CAMERA = Augment(low=0.4, low_from_px=28, low_to_px=80, jpeg=0.3, blur=0.25, light=0.8, grey=0.0, shade=0.3, noise=0.25)
"""How the moved crops are disturbed."""
MIRROR = np.array([[-1.0, 0.0, 2 * float(TEMPLATE[:, 0].mean())], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
BORDERS = (cv2.BORDER_REPLICATE, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)
"""A crop ends where it was cut off, a frame does not: the aligner must not lean on either."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of the moves, in pixels of the crop; `wild` is the share of moves twice as wide. Against landmarks, the cascade's
    boxes are moved by 0.08, 3.7 degrees and 2.2 px (whole LFW pictures)."""

    log_scale: float = 0.09
    turn_deg: float = 6.0
    shift_px: float = 3.0
    wild: float = 0.25


def move(spread: Spread, rng: np.random.Generator) -> NDArray[np.float64]:
    """A drawn turn, scale and shift around the middle of what a glimpse shows, float64 [3, 3], from the aligned crop to the moved one."""
    wide = 2.0 if rng.random() < spread.wild else 1.0
    scale, turn = np.exp(rng.normal(0, wide * spread.log_scale)), np.radians(rng.normal(0, wide * spread.turn_deg))
    middle = np.array(CENTRE)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.eye(3)
    matrix[:2, :2] = rotation
    matrix[:2, 2] = middle - rotation @ middle + rng.normal(0, wide * spread.shift_px, 2)
    return matrix


def glimpse(crop: Picture, moved: NDArray[np.float64], border: int = cv2.BORDER_REPLICATE) -> NDArray[np.uint8]:
    """The glimpse, grey uint8 [GLIMPSE_PX, GLIMPSE_PX], at a crop uint8 [112, 112, 3] RGB that was moved by a matrix [3, 3]."""
    colours = cv2.warpAffine(crop, (TO_GLIMPSE @ moved)[:2], (GLIMPSE_PX, GLIMPSE_PX), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)


def example(crop: Picture, spread: Spread, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A glimpse of the crop, moved and disturbed; and its landmarks in pixels of the moved crop, float32 [5, 2]."""
    moved = move(spread, rng)
    side = int(rng.integers(CAMERA.low_from_px, CAMERA.low_to_px + 1)) if rng.random() < CAMERA.low else augment.SIDE_PX
    image = crop
    if side != augment.SIDE_PX:
        image = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    image = augment.filmed(image, CAMERA, rng)
    if side != augment.SIDE_PX:
        image = np.asarray(cv2.resize(image, crop.shape[:2], interpolation=cv2.INTER_LINEAR), np.uint8)
    whole = moved @ MIRROR if rng.random() < 0.5 else moved
    picture = glimpse(image, whole, BORDERS[int(rng.integers(len(BORDERS)))])
    # The mirror image is mirrored about the template's own middle, so its landmarks lie on the template again.
    points = TEMPLATE @ moved[:2, :2].T + moved[:2, 2]
    return picture, np.asarray(points, np.float32)
