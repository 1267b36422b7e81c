"""What is put right when a store with damaged records is opened, so that nothing old comes to life and nothing waits for ever."""

import sqlite3
from collections.abc import Callable

from daemon.edges.store.errors import VaultError
from daemon.edges.store.records import Sealer

EVERYBODY = ""
"""The key of an order that holds for everybody without one of their own. No person has it: ids are not empty."""

PUT_ORDER = "INSERT INTO orders VALUES (?,?) ON CONFLICT(person) DO UPDATE SET sealed=excluded.sealed"


def mend(db: sqlite3.Connection, sealer: Sealer, issued_before: float) -> int:
    """How many messages were lost. Damaged people and templates stay where they are: they are closed, and somebody may want to look.

    - Messages that do not open are dropped: nobody could ever send them.
    - The last order about a person, where it does not open, becomes `issued_before` (UTC seconds), which is later than any command that
      was applied: an old command that lets somebody in stays superseded. Its key may be what is damaged, so the same holds for everybody
      of whom no order is known.
    """
    people = [p for p, sealed in db.execute("SELECT person, sealed FROM orders") if not _opens(sealer.open_order, sealed, p)]
    rows = [
        row
        for row, gate, sealed in db.execute("SELECT row, gate, sealed FROM outbox")
        if not _opens(sealer.open_message, sealed, row, gate)
    ]
    if people or rows:
        db.execute("BEGIN IMMEDIATE")
        for person in {*map(str, people), EVERYBODY} if people else ():
            db.execute(PUT_ORDER, (person, sealer.order(issued_before, person)))
        db.executemany("DELETE FROM outbox WHERE row = ?", [(row,) for row in rows])
        db.execute("COMMIT")
    return len(rows)


def _opens(opening: Callable[..., object], sealed: object, *place: object) -> bool:
    try:
        opening(sealed, *place)
    except VaultError:
        return False
    return True
