"""How a command changes a person's record, and how an answer shows a record."""

from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import msgspec

from daemon.core.messages import Enroll, PersonEntry, PersonState, Update, utc
from daemon.core.values import Person

T = TypeVar("T")


def enrolled(command: Enroll, before: Person | None, now: float, gates: tuple[str, ...] | None = None, *, confirm: bool = False) -> Person:
    """The record after an enrolment at `now` (UTC seconds). A field that the command omits stays. A suspension stays.

    Somebody new may pass `gates` unless the command names others; None is all of them. With `confirm`, photos leave the record unconfirmed.
    Only a capture ends that.
    """
    known = before or Person(command.person, enrolled_at=now, gates=gates)
    return replace(
        known,
        name=command.name if command.name is not None else known.name,
        valid_from=_seconds(command.valid_from) if command.valid_from is not None else known.valid_from,
        valid_until=_seconds(command.valid_until) if command.valid_until is not None else known.valid_until,
        gates=tuple(command.gates) if command.gates is not None else known.gates,
        consent=command.consent if command.consent is not None else known.consent,
        schedule=command.schedule if command.schedule is not None else known.schedule,
        unconfirmed=command.capture is None and (confirm or known.unconfirmed),
    )


def updated(command: Update, before: Person) -> Person:
    """The record after an update: an absent field stays, null clears it."""
    gates = _given(command.gates, None if before.gates is None else list(before.gates))
    return replace(
        before,
        name=_given(command.name, before.name),
        valid_from=before.valid_from if isinstance(command.valid_from, msgspec.UnsetType) else _seconds(command.valid_from),
        valid_until=before.valid_until if isinstance(command.valid_until, msgspec.UnsetType) else _seconds(command.valid_until),
        gates=None if gates is None else tuple(gates),
        consent=_given(command.consent, before.consent),
        schedule=_given(command.schedule, before.schedule),
    )


def state(person: Person) -> PersonState:
    """The state of a record in one word."""
    return "suspended" if person.suspended else "unconfirmed" if person.unconfirmed else "active"


def entry(person: Person, templates: int, whole: bool = False) -> PersonEntry:
    """The record as a row of an answer; `whole` adds what only `get` shows."""
    return PersonEntry(
        person=person.person,
        name=person.name,
        state=state(person),
        templates=templates,
        enrolled_at=utc(person.enrolled_at),
        valid_from=utc(person.valid_from) if person.valid_from is not None else None,
        valid_until=utc(person.valid_until) if person.valid_until is not None else None,
        gates=list(person.gates) if person.gates is not None else None,
        schedule=person.schedule,
        consent=person.consent if whole else None,
        disputed=person.disputed,
    )


def _given(value: T | msgspec.UnsetType, before: T) -> T:
    return before if isinstance(value, msgspec.UnsetType) else value


def _seconds(instant: datetime | None) -> float | None:
    return instant.timestamp() if instant is not None else None
