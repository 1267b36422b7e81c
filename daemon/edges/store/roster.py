"""The tables of the roster: the records that this box holds, as they travel, and the people whose record it still has to write.

A record is sealed with the site's key and signed by its writer, and whoever reads it checks both. So it lies here as it came. Without a
roster in the configuration a store has none of these tables.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from daemon.edges.store.database import Database

PAGE = 1000


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

    def digest(self, ident: str, writer: str) -> bytes | None:
        """What is held of a writer about a person. Raises StoreError."""
        row = self._database.row("SELECT digest FROM roster WHERE ident = ? AND writer = ?", (ident, writer))
        return row[0] if row is not None else None

    def put(self, record: Held, key: int) -> None:
        """Hold a record, in place of the one of that writer about that person. `key` is the number of the key that seals it."""
        self._database.execute(
            "INSERT INTO roster (ident, writer, digest, key, due, payload) VALUES (?,?,?,?,?,?) ON CONFLICT(ident, writer)"
            " DO UPDATE SET digest = excluded.digest, key = excluded.key, due = excluded.due, payload = excluded.payload",
            (record.ident, record.writer, record.digest, key, record.due, record.payload),
        )

    def digests(self) -> Iterator[tuple[str, str, bytes]]:
        """Person, writer and digest of every record. Raises StoreError."""
        last = 0
        while rows := self._database.rows("SELECT row, ident, writer, digest FROM roster WHERE row > ? ORDER BY row LIMIT ?", (last, PAGE)):
            yield from ((ident, writer, digest) for _, ident, writer, digest in rows)
            last = rows[-1][0]

    def due(self, limit: int, after: int = 0) -> list[tuple[int, Held]]:
        """The next records behind a row that the broker has to be given, each with its row. Raises StoreError."""
        query = "SELECT row, ident, writer, digest, due, payload FROM roster WHERE due AND row > ? ORDER BY row LIMIT ?"
        return [(row, Held(i, w, d, bool(due), p)) for row, i, w, d, due, p in self._database.rows(query, (after, limit))]

    def dues(self) -> int:
        """How many records the broker has to be given. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM roster WHERE due")[0])

    def call_due(self, ident: str, writer: str) -> None:
        """The broker has lost a record."""
        self._database.execute("UPDATE roster SET due = 1 WHERE ident = ? AND writer = ?", (ident, writer))

    def settle(self, rows: Collection[tuple[int, bytes]]) -> None:
        """The broker has these records: rows, each with the digest that it was given."""
        self._database.execute_each("UPDATE roster SET due = 0 WHERE row = ? AND digest = ?", list(rows))

    def sealed_before(self, key: int) -> int:
        """How many records are sealed with a key before this one. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM roster WHERE key < ?", (key,))[0])

    def forget_others(self, own: str) -> None:
        """Drop the records about everybody of whom `own` has written nothing."""
        self._database.execute("DELETE FROM roster WHERE ident NOT IN (SELECT ident FROM roster WHERE writer = ?)", (own,))

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
