"""The roster's head: what the keeper says the whole roster is, and for how long that counts.

A broker can lose records, hide them, or come back from an old backup. So nobody from the roster is accepted unless a fresh head says that
what this box holds is everything. For each writer the head has the number of records and a sum over them (each one's SHA-256 as a number,
modulo 2^256: Bellare and Micciancio 1997; whoever cannot sign records cannot choose them). A sum can be followed record by record.

There is one sum for each writer, because only the records of one writer reach everybody in one order. Two desks at work at the same time
are heard in a different order by each box, and then no box ever holds exactly what the keeper held at any instant.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from daemon.core import signing
from daemon.core.people.roster_wire import MOST_BYTES, MOST_WRITERS, RosterError, WriterName, topic, writer_of

SETTLE_S = 20.0
"""A head and the records that it counts come from different senders. For so long they may disagree."""
LONGEST_LIFE_S = 3600.0
CLOCKS_S = 60.0
"""How far the keeper's clock may be ahead."""
HEAD = "head"
"""Stands in the place of a person's id in the topics."""
_MODULUS = 1 << 256
_PASTS, _WAITING = 20_000, 64
"""How many earlier states of each writer's records, and how many heads that wait for records, a box remembers."""

Standing = Literal["complete", "no_head", "stale", "incomplete"]
"""Whether a box holds the whole roster: yes; no head was ever heard; the newest head has expired; records are missing."""
Number = Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the roster has of one writer."""

    records: Annotated[int, Meta(ge=1, le=(1 << 53) - 1, description="how many records")]
    sum: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="their sum, 64 hexadecimal digits")]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper says the roster is. It travels signed, on a topic that names the site and the keeper."""

    number: Annotated[Number, Meta(description="grows with every head")]
    writers: Annotated[dict[WriterName, Part], Meta(max_length=MOST_WRITERS, description="what there is of each writer")]
    made_at: Annotated[float, Meta(description="UTC seconds")]
    expires_at: Annotated[float, Meta(description="UTC seconds; nothing counts from then on")]


@dataclass(frozen=True, slots=True)
class Sum:
    """The number of records, and their sum."""

    records: int = 0
    value: int = 0

    def changed(self, before: bytes | None, after: bytes) -> "Sum":
        """With one record (its `digest`) in the place of another, or beside the others."""
        value = self.value + _number(after) - (_number(before) if before is not None else 0)
        return Sum(self.records + (before is None), value % _MODULUS)

    @property
    def text(self) -> str:
        return f"{self.value:064x}"


def total(writers: Mapping[str, Sum]) -> Sum:
    """The sum over all writers. Two boxes with the same one hold the same records."""
    return Sum(sum(one.records for one in writers.values()), sum(one.value for one in writers.values()) % _MODULUS)


def made_head(writers: Mapping[str, Sum], *, number: int, now: float, life_s: float) -> Head:
    """The head of these records (UTC seconds)."""
    parts = {name: Part(one.records, one.text) for name, one in sorted(writers.items()) if one.records}
    return Head(number=number, writers=parts, made_at=now, expires_at=now + life_s)


def head_said(head: Head, site: str, keeper: str, signer: Ed25519PrivateKey) -> tuple[str, bytes]:
    """Topic and payload of a head, signed by the keeper."""
    to = topic(site, HEAD, keeper)
    return to, signing.signed(signer, to, msgspec.json.encode(head))


def read_head(on: str, payload: bytes, keepers: Mapping[str, Ed25519PublicKey]) -> Head:
    """The head of this payload on this topic. Raises RosterError for one that nobody has to believe."""
    ident, keeper = writer_of(on)
    if ident != HEAD or keeper not in keepers:
        raise RosterError(f"{keeper} is not among the roster's keepers", "unknown_keeper")
    if len(payload) > MOST_BYTES or not signing.said_by(keepers[keeper], on, payload):
        raise RosterError(f"it is not signed by {keeper}", "bad_signature")
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RosterError("it says what this version does not know", "unreadable") from None


_decoder = msgspec.json.Decoder(Head)


@dataclass(slots=True)
class _Waiting:
    """A head that was heard, and what is missing for it: the sums that the records of these writers have to come to."""

    since: float
    missing: dict[str, Sum]


@dataclass(slots=True)
class Coverage:
    """Whether a box holds the whole roster. `highest` is the number of the newest head that this box has ever believed; the box keeps it,
    so that an older head cannot come back. `writers` has what the box holds of each writer. Times are UTC seconds.

    While a believed head is fresh, a box is never `complete` if a record that some believed head counts has been missing for SETTLE_S.
    Records that no head counts yet take nothing from it.
    """

    highest: int = 0
    writers: dict[str, Sum] = field(default_factory=dict)
    head: Head | None = None
    _matched: bool = False
    _waiting: list[_Waiting] = field(default_factory=list)
    """The oldest first."""
    _pasts: dict[str, dict[Sum, None]] = field(default_factory=dict)
    """What each writer's records came to before. Whoever has gone past a sum holds all that it counts, or what replaced it."""

    @property
    def sum(self) -> Sum:
        """Over all records that are held."""
        return total(self.writers)

    def change(self, writer: str, before: bytes | None, after: bytes) -> None:
        """A record was taken (its `digest`), in the place of the writer's record with the digest `before`."""
        held = self.writers.get(writer, Sum())
        pasts = self._pasts.setdefault(writer, {})
        pasts[held] = None
        if len(pasts) > _PASTS:
            del pasts[next(iter(pasts))]
        self.writers[writer] = new = held.changed(before, after)
        caught_up = 0
        for number, waiting in enumerate(self._waiting, 1):
            if waiting.missing.get(writer) == new:
                del waiting.missing[writer]
            if not waiting.missing:
                caught_up = number
        if caught_up:  # what an older head counts, a newer one counts too
            self._matched = True
            del self._waiting[:caught_up]

    def hear(self, head: Head, now: float) -> bool:
        """Take a head that a keeper has signed. Whether it counts: an older, expired or too long-lived one does not, nor a second one with
        the same number."""
        life = head.expires_at - head.made_at
        if head.number < self.highest or not 0 < life <= LONGEST_LIFE_S or not head.made_at - CLOCKS_S <= now < head.expires_at:
            return False
        if self.head is not None and head.number == self.head.number:
            return head == self.head
        self.highest, self.head = head.number, head
        missing = {name: wanted for name, part in head.writers.items() if not self._has(name, wanted := _sum(part))}
        if not missing:
            self._matched = True
            self._waiting.clear()
        elif len(self._waiting) < _WAITING:
            self._waiting.append(_Waiting(now, missing))
        else:
            self._waiting[-1] = _Waiting(self._waiting[-1].since, missing)
        return True

    def begin_anew(self) -> None:
        """The records were exchanged: only what a head says from now on counts."""
        self.head, self._matched = None, False
        self._waiting.clear()
        self._pasts.clear()

    def standing(self, now: float) -> Standing:
        if self.head is None:
            return "no_head"
        if not self.head.made_at - CLOCKS_S <= now < self.head.expires_at:
            return "stale"
        # A clock that went back does not give more time.
        late = any(not 0 <= now - waiting.since < SETTLE_S for waiting in self._waiting)
        return "complete" if self._matched and not late else "incomplete"

    def lacking(self) -> tuple[str, ...]:
        """The writers of whom records are missing for the newest head."""
        return tuple(sorted(self._waiting[-1].missing)) if self._waiting else ()

    def _has(self, writer: str, wanted: Sum) -> bool:
        return self.writers.get(writer) == wanted or wanted in self._pasts.get(writer, ())


def _sum(part: Part) -> Sum:
    return Sum(part.records, int(part.sum, 16))


def _number(digest: bytes) -> int:
    return int.from_bytes(hashlib.sha256(digest).digest(), "big")
