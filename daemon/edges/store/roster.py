"""The tables of the roster: the records that this box holds, as they travel, and the people whose record it still has to write.

A record is sealed with the site's key and signed by its writer, and whoever reads it checks both. So it lies here as it came. Without a
roster in the configuration a store has none of these tables.
"""

from collections.abc import Collection
from dataclasses import dataclass

from daemon.edges.store.database import Database


@dataclass(frozen=True, slots=True)
class Held:
    """A record of one writer about the person who is `ident` in topics. `digest` is the SHA-256 of the payload, `due` says that the broker
    has to be given it."""

    ident: str
    writer: str
    digest: bytes
    due: bool
    payload: bytes


class RosterTable:
    """Every method but `exists` and `note` needs the tables. Methods that change something belong within a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._exists: bool | None = None

    def exists(self) -> bool:
        """Whether this store has ever been part of a roster. Raises StoreError."""
        if self._exists is None:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'roster'"
            self._exists = self._database.row(query) is not None
        return self._exists

    def made(self) -> None:
        """The tables were made just now."""
        self._exists = None

    # ---- records

    def of(self, ident: str) -> list[Held]:
        """All records about a person. Raises StoreError."""
        rows = self._database.rows("SELECT ident, writer, digest, due, payload FROM roster WHERE ident = ? ORDER BY writer", (ident,))
        return [Held(i, writer, digest, bool(due), payload) for i, writer, digest, due, payload in rows]

    def row(self, ident: str, writer: str) -> tuple[int, bytes] | None:
        """Row and digest of a writer's record about a person. Raises StoreError."""
        found: tuple[int, bytes] | None = self._database.row(
            "SELECT row, digest FROM roster WHERE ident = ? AND writer = ?", (ident, writer)
        )
        return found

    def put(self, record: Held, key: int) -> int:
        """Hold a record, in place of the one of that writer about that person; returns its row. `key` is the number of the key that seals
        it."""
        found = self._database.execute(
            "INSERT INTO roster (ident, writer, digest, key, due, payload) VALUES (?,?,?,?,?,?) ON CONFLICT(ident, writer) DO UPDATE SET"
            " digest = excluded.digest, key = excluded.key, due = excluded.due, payload = excluded.payload RETURNING row",
            (record.ident, record.writer, record.digest, key, record.due, record.payload),
        )
        return int(found.fetchone()[0])

    def at(self, row: int) -> Held | None:
        """The record in a row. Raises StoreError."""
        found = self._database.row("SELECT ident, writer, digest, due, payload FROM roster WHERE row = ?", (row,))
        return Held(found[0], found[1], found[2], bool(found[3]), found[4]) if found is not None else None

    def digests(self, after: int = 0, limit: int = -1) -> list[tuple[int, str, str, bytes]]:
        """Row, person, writer and digest of the records behind a row. Raises StoreError."""
        query = "SELECT row, ident, writer, digest FROM roster WHERE row > ? ORDER BY row LIMIT ?"
        return [(row, ident, writer, digest) for row, ident, writer, digest in self._database.rows(query, (after, limit))]

    def due(self) -> list[int]:
        """The rows of the records that the fleet has to be given. Raises StoreError."""
        return [row for (row,) in self._database.rows("SELECT row FROM roster WHERE due ORDER BY row")]

    def dues(self) -> int:
        """How many these are. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM roster WHERE due")[0])

    def call_due(self, rows: Collection[int]) -> None:
        """The broker has lost these records."""
        self._database.execute_each("UPDATE roster SET due = 1 WHERE row = ?", [(row,) for row in rows])

    def settle(self, records: Collection[tuple[int, bytes]]) -> None:
        """The fleet has these records: rows, each with the digest that was sent."""
        self._database.execute_each("UPDATE roster SET due = 0 WHERE row = ? AND digest = ?", list(records))

    def old(self, writer: str, key: int, limit: int) -> list[Held]:
        """Some of a writer's records that are sealed with a key before this one. Raises StoreError."""
        query = "SELECT ident, writer, digest, due, payload FROM roster WHERE writer = ? AND key < ? LIMIT ?"
        return [Held(i, w, digest, bool(due), payload) for i, w, digest, due, payload in self._database.rows(query, (writer, key, limit))]

    def sealed_before(self, key: int) -> int:
        """How many records are sealed with a key before this one. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM roster WHERE key < ?", (key,))[0])

    def drop(self, row: int) -> None:
        """Forget the record in a row."""
        self._database.execute("DELETE FROM roster WHERE row = ?", (row,))

    def clear(self) -> None:
        """Drop all records."""
        self._database.execute("DELETE FROM roster")

    # ---- people whose record is to be written

    def note(self, person: str) -> None:
        """A command has changed a person: this box has to write their record. Does nothing in a store without a roster."""
        if self.exists():
            self._database.execute("INSERT OR IGNORE INTO unwritten VALUES (?)", (person,))

    def note_all(self) -> None:
        """Everybody who is enrolled."""
        self._database.execute("INSERT OR IGNORE INTO unwritten SELECT person FROM people")

    def unwritten(self, limit: int) -> list[str]:
        """Some of the people whose record is to be written. Raises StoreError."""
        return [person for (person,) in self._database.rows("SELECT person FROM unwritten LIMIT ?", (limit,))]

    def unwritten_total(self) -> int:
        """How many they are. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM unwritten")[0])

    def wrote(self, person: str) -> None:
        """The record of a person is written."""
        self._database.execute("DELETE FROM unwritten WHERE person = ?", (person,))

    def take_over(self, other: "RosterTable") -> None:
        """The records that another store has not given the broker, and the people whose record it has not written."""
        if other.exists() and self.exists():
            for person in other.unwritten(-1):
                self.note(person)
            for row in other._database.rows("SELECT ident, writer, digest, key, due, payload FROM roster WHERE due"):
                self._database.execute("INSERT OR REPLACE INTO roster (ident, writer, digest, key, due, payload) VALUES (?,?,?,?,?,?)", row)
