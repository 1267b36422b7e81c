"""Who may not come back with a backup. What happened after it was made is known only from the store that it replaces, if there is one."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from daemon.edges.store.meta import SECRETS
from daemon.edges.store.numbers import take_over_numbers
from daemon.edges.store.store import Store

DECISIONS_A_SECOND = 10
"""More than any gate makes. Consumers take no sequence number twice, so the numbers go on behind all that may have been used."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many people were active in the backup and are suspended now, and how many of the backup were revoked since."""

    suspended: int
    revoked: int


def distrust(restored: Store, made_at: float, now: float, active: bool) -> Counts:
    """Nothing is known of the time between `made_at` and `now` (UTC seconds): everybody is suspended, unless `active`.

    Messages that waited when the backup was made are out of date, and deleted. Within a transaction. Raises StoreError.
    """
    restored.tables.outbox.clear()
    restored.tables.sequences.skip(DECISIONS_A_SECOND * math.ceil(max(0.0, now - made_at)) + 1000)
    restored.next_revision()
    _leave_roster(restored)
    return Counts(0 if active else _suspend(restored), 0)


def bring_over(restored: Store, before: Store, active: bool) -> Counts:
    """From the gallery that is replaced: revocations, suspensions, orders, counters, the audit chain, the key that the box signs with, and
    messages that still wait.

    A person whose record was changed since the backup is suspended. So is one who lost a template that the backup has, because the record
    may now have another face, and one whom that gallery never knew; unless `active`.
    Within a transaction. Raises StoreError.
    """
    known = before.tables.people.records()
    damaged, ordered = before.tables.people.damaged, before.tables.orders.people()
    numbers, numbers_before = _numbers(restored), _numbers(before)
    revoked, suspended, unchanged = 0, 0, set()
    for person, record in restored.tables.people.records().items():
        if person in known:
            if known[person] == record and numbers.get(person, set()) <= numbers_before.get(person, set()):
                unchanged.add(person)
            elif known[person].person.suspended and not record.person.suspended:
                restored.put_person(replace(record.person, suspended=True))
                suspended += 1
        elif person in ordered and person not in damaged:
            restored.remove_person(person)
            revoked += 1
    _leave_roster(restored)
    _take_over(restored, before)
    return Counts(suspended + (0 if active else _suspend(restored, unchanged)), revoked)


def _leave_roster(restored: Store) -> None:
    """The roster has gone on since the backup: the box reads all of it anew before it writes or keeps anything."""
    if restored.roster.exists():
        restored.roster.clear()
        restored.tables.meta.put_roster_place(0, whole=False)


def _suspend(store: Store, trusted: Collection[str] = ()) -> int:
    """Suspend everybody but the trusted; returns how many were active."""
    count = 0
    for person in store.people():
        if person.person not in trusted and not person.suspended:
            store.put_person(replace(person, suspended=True))
            count += 1
    return count


def _numbers(store: Store) -> dict[str, set[int]]:
    """Each person's template numbers: a number never stands for another template."""
    numbers: dict[str, set[int]] = {}
    for number, person in store.owners().items():
        numbers.setdefault(person, set()).add(number)
    return numbers


def _take_over(restored: Store, before: Store) -> None:
    """Orders, counters, messages, the audit chain and the key. The messages of the backup were sent long ago; those of `before` still
    wait."""
    new, old = restored.tables, before.tables
    new.orders.take_over(old.orders)
    new.sequences.take_over(old.sequences)
    take_over_numbers(restored.database, before.database)
    new.meta.raise_revision(old.meta.revision())
    new.meta.next_revision()
    new.outbox.take_over(old.outbox)
    new.audit.take_over(old.audit)
    for name in SECRETS:
        if (secret := old.meta.secret(name)) is not None:
            new.meta.put_secret(name, secret)
    new.roster.take_over(old.roster)
