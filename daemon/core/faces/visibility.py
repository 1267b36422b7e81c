"""Whether a crop shows an upright face with nothing before it: the judgement over a small model's answers, and the model's card.

The model is one ONNX file: input `image` uint8 [N, 112, 112, 3] RGB (aligned crops), outputs `turn` float32 [N, 4], the probabilities that
the face is upright or turned by 90, 180 or 270 degrees, and `covered` float32 [N, 2], the probabilities that the eyes, and nose and mouth,
are behind something. The ONNX metadata key `ostiary_visibility` holds the card as JSON.
"""

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.core.bundle import golden_crop
from daemon.core.faces.align import ALIGNMENT
from daemon.core.faults import Fault
from daemon.core.values import Quality

CARD_KEY = "ostiary_visibility"
SCHEMA = 1
TURNS, REGIONS = 4, 2
MIN_UPRIGHT, MAX_COVERED = 0.5, 0.5
"""What a face may be at most and at least, if nobody says otherwise: chosen on val crops, see the card's figures."""
GOLDEN_WITHIN = 1e-4

Answers = npt.NDArray[np.float32]
"""Float32 [N, TURNS + REGIONS]: `turn` and `covered` of each crop side by side."""

Sees = Callable[[npt.NDArray[np.uint8]], Answers]


class VisibilityError(Fault):
    """The model that judges whether a face is upright and visible cannot be used. `hint` says what to do about it."""


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model must answer to `golden_crop(seed)`."""

    seed: int
    answer: tuple[float, ...]


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of `crops` val crops of this kind, the share whose answer is `not_upright`, and the share whose answer is `covered`."""

    kind: str
    crops: int
    not_upright: float
    covered: float


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says about itself. `schema` 1; `created` in UTC, ISO 8601; `data_digest` is the sha256 of the crops that it learned
    from. `figures` are measured on people it did not learn from, at the probability `max_covered`."""

    schema: int
    created: str
    alignment: str
    data_digest: str
    licence: str
    notes: str
    max_covered: float
    figures: tuple[Figure, ...]
    golden: tuple[Golden, ...]


def read_card(text: str | None) -> Card:
    """The card from the file's metadata. Raises VisibilityError."""
    again = "install Ostiary again: the file is damaged, or of another release"
    if text is None:
        raise VisibilityError("the model has no card", again)
    try:
        card = msgspec.json.decode(text, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VisibilityError(f"the card cannot be read: {error}", again) from error
    if card.schema != SCHEMA or card.alignment != ALIGNMENT.id:
        raise VisibilityError(f"schema {card.schema}, alignment {card.alignment!r}: not of this release", again)
    if not card.golden or any(len(one.answer) != TURNS + REGIONS for one in card.golden):
        raise VisibilityError("the card's golden answers are missing or of the wrong length", again)
    return card


def check_golden(card: Card, sees: Sees) -> None:
    """Compare the answers to the golden crops with the card. Raises VisibilityError."""
    found = sees(np.stack([golden_crop(one.seed) for one in card.golden]))
    wanted = np.array([one.answer for one in card.golden], np.float32)
    if found.shape != wanted.shape or not bool((np.abs(found - wanted) <= GOLDEN_WITHIN).all()):
        raise VisibilityError(
            "golden check failed: the model does not answer what it was exported with",
            "install Ostiary again: the file is damaged, or the runtime computes something else",
        )


def judge(answer: npt.NDArray[np.float32], min_upright: float = MIN_UPRIGHT, max_covered: float = MAX_COVERED) -> Quality:
    """NOT_UPRIGHT, COVERED or OK from one crop's answer, float32 [TURNS + REGIONS]. With the limits 0 and 1 every face passes, but an
    answer that is NaN never does."""
    if not float(answer[0]) >= min_upright:
        return Quality.NOT_UPRIGHT
    if not float(answer[TURNS:].max()) <= max_covered:
        return Quality.COVERED
    return Quality.OK
