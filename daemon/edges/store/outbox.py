"""The outbox: messages that the broker has not taken yet, in order."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.edges.store.database import Database
from daemon.edges.store.errors import VaultError
from daemon.edges.store.numbers import next_number
from daemon.edges.store.records import MessageRecord, Sealer


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that the broker has not taken yet. `valid_until` (UTC seconds) is set for a message that loses its meaning with time; `at`
    is when it was stored (UTC seconds), 0 where that is not known."""

    row: int
    gate: str
    topic: str
    payload: bytes
    valid_until: float | None
    at: float = 0.0


class OutboxTable:
    """Messages by their row; rows only grow. The rows of every gate are kept in memory, so that a turn costs the same however many wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[str, list[int]] = {}
        self._read_at: int | None = None  # the count of rolled back transactions when `_rows` was last right

    def put(self, gate: str, topic: str, payload: bytes, valid_until: float | None = None, at: float = 0.0) -> int:
        """Add a message; returns its row."""
        rows = self._known()
        row = next_number(self._database, "outbox", "row")
        sealed = self._database.sealer.message(MessageRecord(topic, payload, valid_until, at), row, gate)
        self._database.execute("INSERT INTO outbox VALUES (?,?,?)", (row, gate, sealed))
        rows.setdefault(gate, []).append(row)
        return row

    def rows(self, gate: str) -> Sequence[int]:
        """The rows of a gate's messages, in order. Raises StoreError."""
        return self._known().get(gate, [])

    def get(self, row: int, gate: str) -> Pending | None:
        """A message of a gate; None if there is none or it does not open. Raises StoreError."""
        found = self._database.row("SELECT sealed FROM outbox WHERE row = ?", (row,))
        message = self._opened(found[0], row, gate) if found is not None else None
        return Pending(row, gate, message.topic, message.payload, message.valid_until, message.at) if message is not None else None

    def containing(self, part: bytes) -> list[tuple[str, bytes]]:
        """(topic, payload) of every message whose payload contains these bytes, by gate and then in order. Raises StoreError."""
        waiting = (self.get(row, gate) for gate, rows in sorted(self._known().items(), key=str) for row in rows)
        return [(message.topic, message.payload) for message in waiting if message is not None and part in message.payload]

    def depth(self) -> int:
        """How many messages wait. Raises StoreError."""
        return sum(map(len, self._known().values()))

    def remove(self, rows: Iterable[int]) -> None:
        """Delete messages that need not be sent any more."""
        gone = list(rows)
        known = self._known()
        self._database.execute_each("DELETE FROM outbox WHERE row = ?", [(row,) for row in gone])
        for row in gone:
            for waiting in known.values():
                place = bisect_left(waiting, row)
                if place < len(waiting) and waiting[place] == row:
                    del waiting[place]

    def clear(self) -> None:
        """Delete every message."""
        self._database.execute("DELETE FROM outbox")
        self._read_at = None

    def damaged(self) -> list[int]:
        """The rows of messages that do not open. Raises StoreError."""
        with self._database.reading():
            rows = self._database.execute("SELECT row, gate, sealed FROM outbox")
            return [row for row, gate, sealed in rows if self._opened(sealed, row, gate) is None]

    def take_over(self, other: "OutboxTable") -> None:
        """The messages of another store take the place of these."""
        self.clear()
        for row, gate, sealed in other._database.rows("SELECT row, gate, sealed FROM outbox ORDER BY row"):
            message = other._opened(sealed, row, gate)
            if message is not None:
                self.put(gate, message.topic, message.payload, message.valid_until, message.at)

    def reseal(self, new: Sealer) -> int:
        """Seal every message that opens with another key; returns how many."""
        old, gates = self._database.sealer, dict(self._database.rows("SELECT row, gate FROM outbox"))
        return self._database.reseal(
            "outbox", "row", lambda row, sealed: new.message(old.open_message(sealed, row, gates[row]), row, gates[row])
        )

    def _known(self) -> dict[str, list[int]]:
        """The rows by gate. A transaction that was rolled back may have changed them, so they are read again after one."""
        if self._read_at != self._database.rolled_back:
            self._rows = {}
            for gate, row in self._database.rows("SELECT gate, row FROM outbox ORDER BY row"):
                self._rows.setdefault(gate, []).append(row)
            self._read_at = self._database.rolled_back
        return self._rows

    def _opened(self, sealed: object, row: int, gate: object) -> MessageRecord | None:
        try:
            return self._database.sealer.open_message(sealed, row, gate)
        except VaultError:
            return None
