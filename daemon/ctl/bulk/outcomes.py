"""What came of each person, and of each picture that was left out; and refusals in plain words."""

from dataclasses import dataclass
from typing import Literal

from daemon.core.people.enrol import PHOTO_REASONS, bad_photo

Status = Literal["done", "refused", "failed", "unanswered"]

UNREADABLE, NO_PICTURE, TOO_MANY_PICTURES = "unreadable", "no_picture", "too_many_pictures"
"""Reasons that are found here, before a gate is asked."""

_NEXT = {
    NO_PICTURE: "add a picture with one face",
    TOO_MANY_PICTURES: "a command takes 10 pictures; keep the best ones",
    "duplicate_of": "somebody has this face already: is it one person under two numbers, or the wrong picture?",
    "lookalike": "the gate could take one for the other: give better pictures, or use --force (needs a grant)",
    "inconsistent": "the pictures show several people, or not the one enrolled: give the right ones, or use --replace (needs a grant)",
    "superseded": "a newer command about this person was carried out; look at `ostiaryctl get`, then run this again",
    "unknown_gate": "correct the gate's name, or add it to the gate's configuration",
    "unknown_schedule": "correct the schedule's name, or add it to the gate's configuration",
    "unknown_person": "nobody has this number at the gate (any more); run it again",
    "wrong_gate": "the key may not do this there: use another key, or name only its gates",
    "expired": "the gate's clock and this one differ, or the gate is very busy: check both, and run it again",
    "internal": "see the gate's log",
}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that was not enrolled."""

    file: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a gate answered about one person. `gate` is empty where no gate was asked."""

    where: str
    person: str
    op: str
    gate: str
    status: Status
    reason: str | None = None
    detail: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    took_ms: float = 0.0
    earlier: bool = False
    """Whether it was answered in an earlier run."""


def next_step(reason: str, detail: str | None) -> str:
    """What to do about a refusal, in one line."""
    if reason in PHOTO_REASONS:
        return bad_photo(reason, None).detail
    if reason == UNREADABLE:
        return detail or "give a picture that can be read"
    return _NEXT.get(reason, detail or "see the gate's log")
