"""A glimpse: the small grey picture of a roughly placed face in which the aligner finds its landmarks, and the way back into the frame."""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from daemon.core.faces.align import ALIGNMENT, warped
from daemon.core.values import Image

GLIMPSE_PX = 56
CENTRE, SIDE = (56.0, 64.0), 84.0
"""A glimpse shows this square of a crop, in pixels of the crop: the face, with some room to be moved in."""
_SCALE = GLIMPSE_PX / SIDE
TO_GLIMPSE = np.array(
    [
        [_SCALE, 0.0, (GLIMPSE_PX - 1) / 2 - _SCALE * CENTRE[0]],
        [0.0, _SCALE, (GLIMPSE_PX - 1) / 2 - _SCALE * CENTRE[1]],
        [0.0, 0.0, 1.0],
    ]
)
"""From pixels of a crop to pixels of its glimpse, float64 [3, 3]."""
TO_GLIMPSE.flags.writeable = False

CARD_KEY = "ostiary_aligner"
SCHEMA = 1
GOLDEN_PX = 0.1
"""An aligner's landmarks for golden glimpses may differ from its card's by this many pixels of the crop."""

Glimpse = npt.NDArray[np.uint8]
"""Grey, uint8 [GLIMPSE_PX, GLIMPSE_PX]."""


class AlignerError(ValueError):
    """An aligner that must not be used; the text says why."""


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the aligner answers to the golden glimpse of this seed: ten numbers, x and y of each landmark."""

    seed: int
    landmarks: tuple[float, ...]


class AlignerCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an aligner's file says about itself: the `alignment` its landmarks belong to, the picture it takes, what it learned from."""

    schema: int
    created: str
    alignment: str
    glimpse: tuple[float, ...]
    data_digest: str
    licence: str
    notes: str
    golden: tuple[Golden, ...]


def geometry() -> tuple[float, ...]:
    """The numbers that say what a glimpse is: an aligner that learned from other glimpses cannot be used."""
    return (float(GLIMPSE_PX), *CENTRE, SIDE)


def glimpse(image: Image, matrix: npt.NDArray[np.float64]) -> Glimpse:
    """The glimpse at a face that a transform [2, 3] brings from a BGR frame into its crop. Where the frame ends, its edge is repeated."""
    into = TO_GLIMPSE @ np.vstack([matrix, [0.0, 0.0, 1.0]])
    return np.asarray(cv2.cvtColor(warped(image, into[:2], GLIMPSE_PX, cv2.BORDER_REPLICATE), cv2.COLOR_BGR2GRAY), np.uint8)


def in_frame(landmarks: npt.NDArray[np.float32], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Landmarks [5, 2] of a crop in pixels of the frame that a transform [2, 3] brings into this crop."""
    return np.asarray((landmarks - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T, np.float32)


def golden_glimpse(seed: int) -> Glimpse:
    """A glimpse from a fixed integer formula, the same on every machine."""
    y, x = np.mgrid[:GLIMPSE_PX, :GLIMPSE_PX]
    return np.asarray((x * (seed + 2) + y * (3 * seed + 1) + (x * y * (seed + 1)) // 7) % 256, np.uint8)


def read_card(text: str) -> AlignerCard:
    """A card from its JSON. Raises AlignerError."""
    try:
        card = msgspec.json.decode(text, type=AlignerCard)
    except msgspec.DecodeError as error:
        raise AlignerError(f"the aligner's card cannot be read: {error}") from error
    if card.schema != SCHEMA or card.alignment != ALIGNMENT.id or card.glimpse != geometry():
        raise AlignerError("the aligner was made for another version of the daemon")
    if not card.golden or any(len(golden.landmarks) != 10 for golden in card.golden):
        raise AlignerError("the aligner's card has no golden glimpses")
    return card


def check(card: AlignerCard, answer: npt.NDArray[np.float32]) -> None:
    """Raises AlignerError unless these are the landmarks, [G, 5, 2], that the card promises for its golden glimpses."""
    promised = np.array([golden.landmarks for golden in card.golden], np.float64)
    away = float(np.abs(promised - answer.reshape(-1, 10)).max())
    if not away <= GOLDEN_PX:
        raise AlignerError(f"the aligner answers golden glimpses {away:.2g} px beside what its card promises")
