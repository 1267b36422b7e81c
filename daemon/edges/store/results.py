"""The table of results: the answers to commands, kept in case a command is delivered again."""

from daemon.edges.store.database import Database
from daemon.edges.store.errors import VaultError
from daemon.edges.store.records import Sealer

KEEP_RESULTS_S = 30 * 86_400
"""How long the answer to a command is kept for its redelivery."""


class ResultsTable:
    """Answers by the id of their command."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, command_id: str) -> bytes | None:
        """The answer that was given. None also where it does not open: the command is then applied again, as if it were new.
        Raises StoreError."""
        row = self._database.row("SELECT sealed FROM results WHERE command_id = ?", (command_id,))
        return self._opened(row[0], command_id) if row else None

    def put(self, command_id: str, result: bytes, now: float) -> None:
        """Keep an answer given at `now` (UTC seconds)."""
        self._database.execute(
            "INSERT INTO results VALUES (?,?,?) ON CONFLICT(command_id) DO UPDATE SET sealed=excluded.sealed, at=excluded.at",
            (command_id, self._database.sealer.result(result, command_id), now),
        )

    def prune(self, before: float, after_id: str, limit: int) -> str | None:
        """Delete the answers given before `before` (UTC seconds) among the next `limit` after that id. Returns the last of these ids, None
        where there are no more: a walk through the table costs little at a time. Within a transaction."""
        query = "SELECT command_id, at < ? FROM results WHERE command_id > ? ORDER BY command_id LIMIT ?"
        rows = self._database.rows(query, (before, after_id, limit))
        self._database.execute_each("DELETE FROM results WHERE command_id = ?", [(key,) for key, old in rows if old])
        last = str(rows[-1][0]) if len(rows) == limit else ""
        return last if last > after_id else None  # in a damaged file the order may be another one, and the walk must end

    def containing(self, part: bytes) -> list[tuple[float, bytes]]:
        """(UTC seconds, answer) of every answer that contains these bytes, oldest first. Raises StoreError."""
        found = []
        with self._database.reading():
            for command_id, at, sealed in self._database.execute("SELECT command_id, at, sealed FROM results ORDER BY at"):
                answer = self._opened(sealed, command_id)
                if answer is not None and part in answer:
                    found.append((at, answer))
        return found

    def reseal(self, new: Sealer) -> int:
        """Seal every answer that opens with another key; returns how many."""
        old = self._database.sealer
        return self._database.reseal("results", "command_id", lambda key, sealed: new.result(old.open_result(sealed, key), key))

    def _opened(self, sealed: object, command_id: object) -> bytes | None:
        try:
            return self._database.sealer.open_result(sealed, command_id)
        except VaultError:
            return None
