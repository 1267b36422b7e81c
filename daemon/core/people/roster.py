"""The roster: who is enrolled at a site, written by several desks, some of which may not hear each other for a while.

Every writer has a record of its own for each person it has changed, and nobody writes over another's. A record says which records of the
others its writer knew (`Stamp.seen`, a version vector). What a person may do is what the records that no other one knew of have in common:
somebody whom one desk has revoked or suspended stays out, however often another desk, which had not heard of it, has edited them.

Only the newest record of each writer counts, so rosters are joined writer by writer, and it does not matter who joins what with whom, in
which order and how often (a join-semilattice; Shapiro and others 2011, "Conflict-free Replicated Data Types"). A plain counter of changes
per person, where the higher one wins, would let two edits at one desk undo a revocation at another.
"""

from collections.abc import Collection, Mapping
from functools import reduce
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from daemon.core import messages as m

State = Literal["active", "unconfirmed", "suspended", "revoked"]
_STRICTNESS: tuple[State, ...] = ("active", "unconfirmed", "suspended", "revoked")
_FURTHEST = 1_000_000
"""How many records of another writer about one person somebody may know beyond those that are there. A claim to know more says nothing:
a stolen box could else say that it knows all that anybody will ever write."""


class Stamp(msgspec.Struct, frozen=True):
    """Who wrote a record, and how many records of each writer about this person it knows, its own one included."""

    writer: str
    seen: dict[str, int]

    @property
    def number(self) -> int:
        """The number of this record among its writer's about the person; from 1."""
        return self.seen.get(self.writer, 0)

    def knows(self, other: "Stamp") -> bool:
        """Whether whoever wrote this knew the other record."""
        return 0 <= self.seen.get(other.writer, 0) - other.number < _FURTHEST


_Time = Annotated[float, Meta(ge=0, le=32_503_680_000.0)]
"""UTC seconds, to the year 3000."""
_Gate = Annotated[str, Meta(min_length=1, max_length=64)]
_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class Face(msgspec.Struct, frozen=True):
    """A template: the aligned crop as a PNG file, and each model's vector of it (float32, little-endian), by the id of its bundle."""

    crop: Annotated[bytes, Meta(min_length=1)]
    vectors: Annotated[dict[Annotated[str, Meta(max_length=300)], Annotated[bytes, Meta(max_length=1 << 16)]], Meta(max_length=8)]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says of a person. Times are UTC seconds; no `gates` means all of them, no `schedule` any time.

    `faces` are by the SHA-256 of their crops (hexadecimal digits). `disputed` says that two desks disagree and somebody has to decide.
    """

    person: m.PersonId
    state: State = "active"
    name: m.Name | None = None
    valid_from: _Time | None = None
    valid_until: _Time | None = None
    gates: Annotated[tuple[_Gate, ...], Meta(max_length=64)] | None = None
    schedule: m.ScheduleName | None = None
    consent: m.Consent | None = None
    enrolled_at: _Time = 0.0
    faces: Annotated[dict[_Digest, Face], Meta(max_length=64)] = {}
    disputed: bool = False
    unconfirmed: bool = False
    """Beside a suspension: photos alone have enrolled the person, and a resumption does not confirm them."""


class Record(msgspec.Struct, frozen=True):
    """One writer's record of a person. `digest` is the SHA-256 of what was signed, and tells apart two records with one number, which a
    writer makes only if it has lost its memory."""

    stamp: Stamp
    card: Card
    digest: bytes

    @property
    def _age(self) -> tuple[int, bytes]:
        return self.stamp.number, self.digest


Records = Mapping[str, Record]
"""The records of one person, by writer."""


def joined(*sides: Records) -> dict[str, Record]:
    """The newest record of each writer."""
    found: dict[str, Record] = {}
    for side in sides:
        for writer, record in side.items():
            if writer not in found or record._age > found[writer]._age:
                found[writer] = record
    return found


def standing(records: Records, retired: Collection[str] = ()) -> list[Record]:
    """The records that no other one knew of, the one whose name and consent are shown first. What a `retired` writer says that it knew says
    nothing."""
    believed = [one.stamp for one in records.values() if one.stamp.writer not in retired]
    found = [one for one in records.values() if not any(other is not one.stamp and other.knows(one.stamp) for other in believed)]
    return sorted(found, key=lambda one: (sum(one.stamp.seen.values()), one.stamp.writer, one.digest), reverse=True)


def effective(records: Records, retired: Collection[str] = ()) -> Card | None:
    """What holds for the person: what all standing records allow. None if there are no records.

    A record of a `retired` writer, whose key somebody else may have, lets nobody in and brings no face: until another desk has decided,
    whoever it is about is suspended at the least. It still shuts out, so that nobody comes back because the box that revoked them is gone.
    """
    found = standing(records, retired)
    cards = [record.card for record in found if record.stamp.writer not in retired]
    faces = reduce(_common, cards).faces if cards else {}
    cards += [_shut(record.card, faces) for record in found if record.stamp.writer in retired]
    return reduce(_common, cards) if cards else None


def next_stamp(writer: str, records: Records) -> Stamp:
    """The stamp of a record that `writer` makes now, with these at hand.

    It says no more than that it knows these: what the others say that they know stays in their own records. Its number is above whatever
    they believe the writer to have written, which a writer that was restored may have forgotten.
    """
    number = 1 + (records[writer].stamp.number if writer in records else 0)
    for claim in sorted(record.stamp.seen.get(writer, 0) for record in records.values()):
        if 0 <= claim - number < _FURTHEST:
            number = claim + 1
    return Stamp(writer, {**{name: record.stamp.number for name, record in records.items()}, writer: number})


def _shut(card: Card, faces: dict[str, Face]) -> Card:
    return replace(card, state="revoked" if card.state == "revoked" else "suspended", faces=faces)


def _common(one: Card, other: Card) -> Card:
    """What both allow. Name and consent are those of `one`."""
    gates = one.gates if other.gates is None else other.gates if one.gates is None else tuple(g for g in one.gates if g in other.gates)
    schedules = sorted({schedule for schedule in (one.schedule, other.schedule) if schedule is not None})
    faces = {digest: face for digest, face in one.faces.items() if digest in other.faces}
    state = max(one.state, other.state, key=_STRICTNESS.index)
    # Two different schedules have no name in common, and two different faces no person: nobody passes until a desk has decided.
    unsettled = len(schedules) > 1 or (bool(one.faces) and bool(other.faces) and not faces)
    return Card(
        person=one.person,
        state="suspended" if unsettled and state != "revoked" else state,
        name=one.name,
        valid_from=max(_given(one.valid_from, other.valid_from), default=None),
        valid_until=min(_given(one.valid_until, other.valid_until), default=None),
        gates=gates,
        schedule=schedules[0] if schedules else None,
        consent=one.consent,
        enrolled_at=min(one.enrolled_at, other.enrolled_at),
        faces={} if state == "revoked" else faces,
        disputed=one.disputed or other.disputed or unsettled,
        unconfirmed=one.unconfirmed or other.unconfirmed or "unconfirmed" in (one.state, other.state),
    )


def _given(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]
