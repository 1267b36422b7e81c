"""What a model learns from, as one HTML page of pictures: crops as they are disturbed for it, and the triplets that are mined from them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.pages import template

JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Row:
    """A name, and pictures beside each other: uint8 [side, side, channels] each, RGB or grey."""

    name: str
    pictures: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Triplet:
    """Anchor, positive and negative as pictures, and the distances of the anchor from the two others."""

    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    near: float
    far: float


@dataclass(frozen=True, slots=True)
class Kind:
    """Triplets of one kind: how many of them were chosen, and some of them."""

    name: str
    meaning: str
    count: int
    triplets: Sequence[Triplet]


@dataclass(frozen=True, slots=True)
class Moment:
    """The triplets at one moment of the training."""

    title: str
    about: str
    kinds: Sequence[Kind]


@dataclass(frozen=True, slots=True)
class Look:
    """The whole page. `no_cameras` and `no_triplets` say why there are none."""

    title: str
    about: str
    augmented: Sequence[Row]
    augment: str
    cameras: Sequence[Row]
    no_cameras: str
    mining: str
    moments: Sequence[Moment]
    no_triplets: str
    faces: bool


def render(look: Look) -> str:
    """The page; it loads nothing."""
    return template.render("trainer.reports", "look.html", look=look, address=address)


def address(picture: NDArray[np.uint8]) -> str:
    """A picture as the address of an image: JPEG for colours, PNG for the few pixels of a drawing."""
    if picture.shape[-1] == 3:
        coded = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode()}"
    return f"data:image/png;base64,{base64.b64encode(cv2.imencode('.png', np.ascontiguousarray(picture))[1].tobytes()).decode()}"
