"""The outbox: messages that the broker has not taken yet, in order."""

from dataclasses import dataclass

from daemon.edges.store.database import Database
from daemon.edges.store.errors import VaultError
from daemon.edges.store.numbers import next_number
from daemon.edges.store.records import MessageRecord, Sealer


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that the broker has not taken yet. `valid_until` (UTC seconds) is set for a message that loses its meaning with time."""

    row: int
    gate: str
    topic: str
    payload: bytes
    valid_until: float | None


class OutboxTable:
    """Messages by their row; rows only grow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, gate: str, topic: str, payload: bytes, valid_until: float | None = None) -> int:
        """Add a message; returns its row."""
        row = next_number(self._database, "outbox", "row")
        sealed = self._database.sealer.message(MessageRecord(topic, payload, valid_until), row, gate)
        self._database.execute("INSERT INTO outbox VALUES (?,?,?)", (row, gate, sealed))
        return row

    def pending(self, gate: str, after: int, limit: int) -> list[Pending]:
        """The oldest messages of a gate with a row above `after`, in order. What does not open is left out. Raises StoreError."""
        waiting: list[Pending] = []
        with self._database.reading():
            for row, sealed in self._database.execute(
                "SELECT row, sealed FROM outbox WHERE gate = ? AND row > ? ORDER BY row", (gate, after)
            ):
                if len(waiting) == limit:
                    break
                message = self._opened(sealed, row, gate)
                if message is not None:
                    waiting.append(Pending(row, gate, message.topic, message.payload, message.valid_until))
        return waiting

    def containing(self, part: bytes) -> list[tuple[str, bytes]]:
        """(topic, payload) of every message whose payload contains these bytes, by gate and then in order. Raises StoreError."""
        gates = [gate for (gate,) in self._database.rows("SELECT DISTINCT gate FROM outbox ORDER BY gate")]
        waiting = [message for gate in gates for message in self.pending(gate, 0, self.depth())]
        return [(message.topic, message.payload) for message in waiting if part in message.payload]

    def depth(self) -> int:
        """How many messages wait. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM outbox")[0])

    def remove(self, rows: list[int]) -> None:
        """Delete messages that need not be sent any more."""
        self._database.execute_each("DELETE FROM outbox WHERE row = ?", [(row,) for row in rows])

    def clear(self) -> None:
        """Delete every message."""
        self._database.execute("DELETE FROM outbox")

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
                self.put(gate, message.topic, message.payload, message.valid_until)

    def reseal(self, new: Sealer) -> int:
        """Seal every message that opens with another key; returns how many."""
        old, gates = self._database.sealer, dict(self._database.rows("SELECT row, gate FROM outbox"))
        return self._database.reseal(
            "outbox", "row", lambda row, sealed: new.message(old.open_message(sealed, row, gates[row]), row, gates[row])
        )

    def _opened(self, sealed: object, row: int, gate: object) -> MessageRecord | None:
        try:
            return self._database.sealer.open_message(sealed, row, gate)
        except VaultError:
            return None
