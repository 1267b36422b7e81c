"""The table of sequences: the number of each gate's last decision. Consumers take no number twice."""

from daemon.edges.store.database import Database, counter


class SequencesTable:
    """One counter for each gate, across restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, gate: str) -> int:
        """The number of the gate's next decision, from 1 on. Raises StoreError."""
        return counter(
            self._database.execute(
                "INSERT INTO sequences VALUES (?, 1) ON CONFLICT(gate) DO UPDATE SET sequence = sequence + 1 RETURNING sequence", (gate,)
            ).fetchone()
        )

    def skip(self, count: int) -> None:
        """Leave out this many numbers of every gate."""
        self._database.execute("UPDATE sequences SET sequence = sequence + ?", (count,))

    def take_over(self, other: "SequencesTable") -> None:
        """Go on behind the numbers that another store has used."""
        for gate, sequence in other._database.rows("SELECT gate, sequence FROM sequences"):
            self._database.execute(
                "INSERT INTO sequences VALUES (?,?) ON CONFLICT(gate) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
                (gate, sequence),
            )
