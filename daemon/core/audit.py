"""The audit chain: what was asked of the box and what it decided. Each record proves all records before it.

A record is canonical JSON (keys in order, no blanks, UTF-8) with its number, time and kind. Its digest is SHA-256 over the digest before
it (32 bytes) and the record's bytes, so anybody can follow the chain with SHA-256 alone. The chain begins at an anchor: 32 random bytes in
a new store, later the digest of the last record that was deleted. People are named by the random pseudonym of their enrolment, which a
revocation erases. Nothing here is computed from an id, and no id, name, similarity or free text is included.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import msgspec

from daemon.core.faults import Fault
from daemon.core.messages import DecisionMessage, utc

DIGEST_BYTES = 32
_HINT = "keep a copy of state_dir for an investigation: from this record on the chain proves nothing"

Row = tuple[object, object, object]
"""Number, record and digest as found in the store. A damaged file may hold anything there."""


class AuditError(Fault):
    """The chain is not what was written, from the record `number` on."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"the audit chain is broken at record {number}: {message}", _HINT)
        self.number = number


class HeadError(Fault):
    """The chain is whole, but it does not pass through a head that somebody kept."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(
            f"the audit chain is whole, but none of its records {first} to {last} has that head",
            "the chain was set back or rewritten, or the head is of another store or of a deleted record",
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a chain: the number of a record, and the digest that proves it and all records before it."""

    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class CommandAnswered:
    """A command was answered. `reason` is one word; the answer's detail may name people and is left out. `key` is the name of the key that
    signed the command, or None."""

    KIND: ClassVar[str] = "command"
    gate: str
    command_id: str | None
    op: str | None
    status: str
    reason: str | None
    pseudonym: str | None
    gallery_revision: int
    key: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """A decision about a passage, as it is published. `threshold` is a cosine: a rule of the gate, not a measurement of a person."""

    KIND: ClassVar[str] = "decision"
    gate: str
    event_id: str
    sequence: int
    passage: str
    supersedes: str | None
    decision: str
    reason: str
    pseudonym: str | None
    model: str
    policy: str
    threshold: float | None
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class Started:
    """A daemon started to serve."""

    KIND: ClassVar[str] = "start"
    boot_id: str
    version: str
    model: str
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """Everything in the store was sealed with a new key."""

    KIND: ClassVar[str] = "key"


@dataclass(frozen=True, slots=True)
class BackupRestored:
    """A backup made at `made_at` (RFC 3339) was restored. `revoked` of its people were left out, `suspended` were suspended."""

    KIND: ClassVar[str] = "restore"
    made_at: str
    people: int
    revoked: int
    suspended: int
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class MessagesDropped:
    """Messages that waited for the broker were dropped because the outbox was `full` or they were too `old`: `decisions` from number
    `first` to `last`, and `answers` to commands."""

    KIND: ClassVar[str] = "dropped"
    gate: str
    reason: str
    decisions: int
    first: int | None
    last: int | None
    answers: int


@dataclass(frozen=True, slots=True)
class RosterApplied:
    """Somebody was `enrolled`, `changed` or `revoked` here because another box said so. `op` has the word."""

    KIND: ClassVar[str] = "roster"
    op: str
    pseudonym: str | None
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class BreakFound:
    """The records before this one do not end where the store's seal says: at `sealed`, or None where the seal does not open."""

    KIND: ClassVar[str] = "break"
    sealed: int | None


def decided(message: DecisionMessage, threshold: float | None, pseudonym: str | None) -> DecisionMade:
    """A decision as it is published, with a pseudonym instead of the person."""
    return DecisionMade(
        gate=message.gate,
        event_id=message.event_id,
        sequence=message.sequence,
        passage=message.passage,
        supersedes=message.supersedes,
        decision=message.decision,
        reason=message.reason,
        pseudonym=pseudonym,
        model=message.model,
        policy=message.policy,
        threshold=threshold,
        gallery_revision=message.gallery_revision,
    )


Entry = CommandAnswered | DecisionMade | Started | KeyChanged | BackupRestored | MessagesDropped | RosterApplied | BreakFound


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What can be read in a record of any kind, even of a kind that a later daemon added."""

    number: int
    at: str
    kind: str
    gate: str | None = None
    pseudonym: str | None = None
    op: str | None = None
    status: str | None = None
    decision: str | None = None
    reason: str | None = None
    version: str | None = None
    model: str | None = None
    key: str | None = None


_reader = msgspec.json.Decoder(Record)


def record_bytes(number: int, at_s: float, entry: Entry) -> bytes:
    """The canonical record of what happened at `at_s` (UTC seconds).

    A member with a default was added later, and is left out where it has the default.
    """
    body = {f.name: value for f in fields(entry) if (value := getattr(entry, f.name)) != f.default}
    return _canonical({**body, "number": number, "at": utc(at_s), "kind": entry.KIND})


def link(before: Place, record: bytes) -> Place:
    """The place of the record that follows `before`."""
    return Place(before.number + 1, hashlib.sha256(before.digest + record).digest())


def read(record: object) -> Record | None:
    """A stored record, or None where it is not one."""
    try:
        return _reader.decode(record) if isinstance(record, bytes) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def followed(anchor: Place, rows: Iterable[Row]) -> Iterator[Place]:
    """The place of each record after `anchor`, in order. Raises AuditError at the first record that does not fit."""
    place = anchor
    for row in rows:
        place = _next(place, *row)
        yield place


def _next(before: Place, number: object, record: object, digest: object) -> Place:
    expected = before.number + 1
    if number != expected:
        raise AuditError(expected, f"it is missing, the next one is {number if isinstance(number, int) else 'none'}")
    if not isinstance(record, bytes):
        raise AuditError(expected, "it is not a record")
    place = link(before, record)
    if digest != place.digest:
        raise AuditError(expected, "its digest does not fit: it was changed or moved")
    kind = _kind(expected, record)
    if kind == BreakFound.KIND:
        raise AuditError(expected, "the daemon found there that records before it were changed or are gone")
    return place


def _kind(number: int, record: bytes) -> object:
    """The kind of a record whose digest fits. Raises AuditError for a record that no daemon writes."""
    try:
        body = json.loads(record)
        sound = isinstance(body, dict) and body.get("number") == number and _canonical(body) == record
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise AuditError(number, "it is not a canonical record of that number")
    return body.get("kind")


def _canonical(body: dict[str, object]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
