"""A person as the box keeps them, as a card of the roster, and back."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from daemon.core.people.roster import Card, Face, State
from daemon.core.values import Person, Template, Vector

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = _PNG + b"\x00\x00\x00\rIHDR" + (112).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
"""How the PNG file of a crop begins: 112 x 112, 8 bits, RGB, not interlaced."""


def card_of(person: Person, templates: Iterable[Template]) -> Card:
    """The card of somebody who is enrolled. A template whose crop does not open stays out of it."""
    state: State = "suspended" if person.suspended else "unconfirmed" if person.unconfirmed else "active"
    return Card(
        person=person.person,
        state=state,
        name=person.name,
        valid_from=person.valid_from,
        valid_until=person.valid_until,
        gates=person.gates,
        schedule=person.schedule,
        consent=person.consent,
        enrolled_at=person.enrolled_at,
        faces={digest(one.crop): _face(one) for one in templates if one.crop},
        unconfirmed=person.unconfirmed,
    )


def revoked(person: str) -> Card:
    """The card of somebody who was revoked, or who must not be enrolled by somebody who has not heard of it."""
    return Card(person=person, state="revoked")


def person_of(card: Card, before: Person | None, *, shared: bool) -> Person:
    """Whom a card describes. The day of enrolment stays. `shared`: another box has a say in it."""
    known = before if before is not None else Person(card.person, enrolled_at=card.enrolled_at)
    return replace(
        known,
        name=card.name,
        suspended=card.state not in ("active", "unconfirmed"),
        valid_from=card.valid_from,
        valid_until=card.valid_until,
        gates=card.gates,
        consent=card.consent,
        schedule=card.schedule,
        unconfirmed=card.unconfirmed or card.state == "unconfirmed",
        shared=shared,
        disputed=card.disputed,
    )


def digest(crop: bytes) -> str:
    """What a face is called in a card."""
    return hashlib.sha256(crop).hexdigest()


def is_crop(png: bytes) -> bool:
    """Whether a file says that it is a crop. What another box sends is looked at before a decoder makes room for it."""
    return png.startswith(_HEADER)


def vectors_of(face: Face) -> dict[str, Vector]:
    """The vectors that other boxes have made of a face, by the ids of their bundles; what is no vector is left out."""
    return {model: np.frombuffer(plain, "<f4").astype(np.float32) for model, plain in face.vectors.items() if plain and len(plain) % 4 == 0}


def _face(template: Template) -> Face:
    return Face(template.crop, {model: np.ascontiguousarray(vector, "<f4").tobytes() for model, vector in template.vectors.items()})
