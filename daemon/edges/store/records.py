"""The sealed records in the rows of the store: how they are written, and which place each is bound to.

A field with a default may be added without a new schema: old records get the default.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import numpy as np

from daemon.core.audit import Place
from daemon.core.counts import counted, persons
from daemon.core.values import Person, Vector
from daemon.edges.store.errors import VaultError
from daemon.edges.store.vault import Vault

FORMAT = 2
"""The schema of the records. Each is bound to it."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person, and the random name of their enrolment: a template opens only with the record it was enrolled with.

    Without that, templates that a damaged deletion left behind would become valid again when their number is given to somebody else.
    `pseudonym` is the person's name in the audit chain until they are revoked; nothing else connects the two.
    """

    enrolment: bytes
    person: Person
    pseudonym: str = ""


def new_enrolment() -> bytes:
    """The random name of a new enrolment."""
    return os.urandom(16)


def new_pseudonym() -> str:
    """A person's name in the audit chain: random, so that it says nothing about them."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class AuditEnds:
    """Where the audit chain begins (the place before its first record) and where it ends."""

    first: Place
    last: Place


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    """`created_at` in UTC seconds.

    Crops and vectors are sealed separately, in tables of their own, because a start reads every vector of its model and nothing else.
    """

    created_at: float


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message of the outbox. `valid_until` and `at`, when it was stored, in UTC seconds; `at` is 0 where that is not known."""

    topic: str
    payload: bytes
    valid_until: float | None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Damage:
    """What did not open: people, template numbers (also those without a person), and how many messages could not be sent."""

    people: tuple[str, ...] = ()
    templates: tuple[int, ...] = ()
    messages: int = 0

    def __bool__(self) -> bool:
        return bool(self.people or self.templates or self.messages)

    def __str__(self) -> str:
        return (
            f"{persons(len(self.people))} and {counted(len(self.templates), 'template')} do not open and serve nobody,"
            f" {counted(self.messages, 'message')} lost"
        )


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals and opens records. Every `open_` raises VaultError."""

    vault: Vault
    _encode: Callable[[object], bytes] = field(default=msgspec.msgpack.Encoder().encode)

    def person(self, record: PersonRecord) -> bytes:
        return self.vault.seal(self._encode(record), FORMAT, "people", record.person.person)

    def open_person(self, sealed: object, person: object) -> PersonRecord:
        record = _decoded(self.vault.open(sealed, FORMAT, "people", _key(person)), PersonRecord)
        if record.person.person != person:
            raise VaultError("a record belongs to another person", "restore a backup")
        return record

    def template(self, record: TemplateRecord, number: int, person: str, enrolment: bytes) -> bytes:
        return self.vault.seal(self._encode(record), FORMAT, "templates", number, person, enrolment)

    def open_template(self, sealed: object, number: int, person: str, enrolment: bytes) -> TemplateRecord:
        return _decoded(self.vault.open(sealed, FORMAT, "templates", number, person, enrolment), TemplateRecord)

    def crop(self, crop: bytes, number: int, person: str, enrolment: bytes) -> bytes:
        return self.vault.seal(crop, FORMAT, "crops", number, person, enrolment)

    def open_crop(self, sealed: object, number: int, person: str, enrolment: bytes) -> bytes:
        return self.vault.open(sealed, FORMAT, "crops", number, person, enrolment)

    def vector(self, vector: Vector, number: int, person: str, model: str, enrolment: bytes) -> bytes:
        """Sealed as float32, little-endian."""
        plain = np.ascontiguousarray(vector, "<f4").tobytes()
        return self.vault.seal(plain, FORMAT, "vectors", number, person, model, enrolment)

    def open_vector(self, sealed: object, number: int, person: str, model: object, enrolment: bytes) -> Vector:
        plain = self.vault.open(sealed, FORMAT, "vectors", number, person, _key(model), enrolment)
        return np.frombuffer(plain, "<f4")

    def order(self, issued_at: float, person: str) -> bytes:
        return self.vault.seal(self._encode(issued_at), FORMAT, "orders", person)

    def open_order(self, sealed: object, person: object) -> float:
        return _decoded(self.vault.open(sealed, FORMAT, "orders", _key(person)), float)

    def result(self, result: bytes, command_id: str) -> bytes:
        return self.vault.seal(result, FORMAT, "results", command_id)

    def open_result(self, sealed: object, command_id: object) -> bytes:
        return self.vault.open(sealed, FORMAT, "results", _key(command_id))

    def message(self, record: MessageRecord, row: int, gate: str) -> bytes:
        return self.vault.seal(self._encode(record), FORMAT, "outbox", row, gate)

    def open_message(self, sealed: object, row: int, gate: object) -> MessageRecord:
        return _decoded(self.vault.open(sealed, FORMAT, "outbox", row, _key(gate)), MessageRecord)

    def audit_ends(self, ends: AuditEnds) -> bytes:
        return self.vault.seal(self._encode(ends), FORMAT, "meta", "audit")

    def open_audit_ends(self, sealed: object) -> AuditEnds:
        return _decoded(self.vault.open(sealed, FORMAT, "meta", "audit"), AuditEnds)

    def secret(self, secret: bytes, name: str) -> bytes:
        return self.vault.seal(secret, FORMAT, "meta", name)

    def open_secret(self, sealed: object, name: str) -> bytes:
        return self.vault.open(sealed, FORMAT, "meta", name)

    def proof(self) -> bytes:
        """A sealed constant. The key that opens it is the key of this store."""
        return self.vault.seal(b"the key of this store", FORMAT, "meta", "proof")

    def opens_proof(self, sealed: object) -> bool:
        try:
            self.vault.open(sealed, FORMAT, "meta", "proof")
        except VaultError:
            return False
        return True


def _key(value: object) -> str:
    """A row key as text. A damaged file can hold a number or nothing there."""
    if not isinstance(value, str):
        raise VaultError("the key of a row is damaged", "restore a backup")
    return value


def _decoded(plain: bytes, kind: type[R]) -> R:
    try:
        return msgspec.msgpack.decode(plain, type=kind)
    except msgspec.MsgspecError as error:  # it opened, so a later daemon wrote it
        raise VaultError(f"a sealed record cannot be read: {error}", "run the daemon version that wrote it") from None
