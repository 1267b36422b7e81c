"""Who may not come back with a backup: what happened after it was made is known from the store it replaces, or from nothing."""

import math
from dataclasses import dataclass, replace

from daemon.edges.store.errors import VaultError
from daemon.edges.store.mending import EVERYBODY, PUT_ORDER
from daemon.edges.store.store import Store

DECISIONS_A_SECOND = 10
"""More than any gate decides. Consumers take no sequence number twice, so the numbers go on behind all that may have been used."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many were active in the backup and are not now, and how many of the backup were revoked since."""

    suspended: int
    revoked: int


def distrust(restored: Store, made_at: float, now: float, active: bool) -> Counts:
    """Nothing is known of the time between `made_at` and `now` (UTC seconds): everybody is suspended, unless `active`.

    Messages that waited when the backup was made are of another day, and dropped. Within a transaction. Raises StoreError.
    """
    db = restored._db
    db.execute("DELETE FROM outbox")
    passed = DECISIONS_A_SECOND * math.ceil(max(0.0, now - made_at)) + 1000
    db.execute("UPDATE sequences SET sequence = sequence + ?", (passed,))
    restored.next_revision()
    return Counts(0 if active else _suspended(restored, set()), 0)


def bring_over(restored: Store, before: Store, active: bool) -> Counts:
    """Out of the gallery that is replaced: revocations, suspensions, orders, counters, the audit chain, and messages that still wait.

    Whose record was changed since, or who lost a template that the backup has (another face may stand on the record now), is suspended,
    and so is whom that gallery never knew, unless `active`.
    Within a transaction. Raises StoreError.
    """
    known, damaged = before._records()
    ordered = {person for (person,) in before._db.execute("SELECT person FROM orders")}
    numbers, numbers_before = _numbers(restored), _numbers(before)
    revoked, suspended, unchanged = 0, 0, set()
    for person, record in restored._records()[0].items():
        if person in known:
            if known[person] == record and numbers.get(person, set()) <= numbers_before.get(person, set()):
                unchanged.add(person)
            elif known[person].person.suspended and not record.person.suspended:
                restored.put_person(replace(record.person, suspended=True))
                suspended += 1
        elif person in ordered and person not in damaged:
            restored.remove_person(person)
            revoked += 1
    _bring_orders(restored, before)
    _bring_counters(restored, before)
    _bring_messages(restored, before)
    restored.audit.take_over(before.audit)
    return Counts(suspended + (0 if active else _suspended(restored, unchanged)), revoked)


def _suspended(store: Store, but: set[str]) -> int:
    count = 0
    for person in store.people():
        if person.person not in but and not person.suspended:
            store.put_person(replace(person, suspended=True))
            count += 1
    return count


def _numbers(store: Store) -> dict[str, set[int]]:
    """Each person's template numbers: a number never stands for another template."""
    numbers: dict[str, set[int]] = {}
    for number, person in store._db.execute("SELECT number, person FROM templates"):
        numbers.setdefault(person, set()).add(number)
    return numbers


def _bring_orders(restored: Store, before: Store) -> None:
    """The later order of each. Who has none of their own has everybody's, in either store, if there is such a one."""
    one, other = _orders(restored), _orders(before)
    for person in one.keys() | other.keys():
        known = [orders.get(person, orders.get(EVERYBODY)) for orders in (one, other)]
        latest = max(issued_at for issued_at in known if issued_at is not None)
        restored._db.execute(PUT_ORDER, (person, restored._sealer.order(latest, person)))


def _orders(store: Store) -> dict[str, float]:
    """All of them: what did not open was mended when the store was opened."""
    return {person: store._sealer.open_order(sealed, person) for person, sealed in store._db.execute("SELECT person, sealed FROM orders")}


def _bring_counters(restored: Store, before: Store) -> None:
    db = restored._db
    for gate, sequence in before._db.execute("SELECT gate, sequence FROM sequences"):
        db.execute(
            "INSERT INTO sequences VALUES (?,?) ON CONFLICT(gate) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
            (gate, sequence),
        )
    for table, last in before._db.execute("SELECT name, seq FROM sqlite_sequence"):
        if db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, table)).rowcount == 0:
            db.execute("INSERT INTO sqlite_sequence VALUES (?,?)", (table, last))
    db.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'revision'", (before.revision(),))
    restored.next_revision()


def _bring_messages(restored: Store, before: Store) -> None:
    """Those of the backup are long sent; those of the gallery that is replaced are still to be."""
    restored._db.execute("DELETE FROM outbox")
    for row, gate, sealed in before._db.execute("SELECT row, gate, sealed FROM outbox ORDER BY row").fetchall():
        try:
            message = before._sealer.open_message(sealed, row, gate)
        except VaultError:
            continue
        restored.enqueue(gate, message.topic, message.payload, message.valid_until)
