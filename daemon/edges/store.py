"""SQLite: the truth about people, templates, answered commands and messages still to be sent.

Every acknowledged change is one transaction, on disk (WAL, synchronous=FULL) before anything is said about it. One writer: the engine.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from daemon.core.faults import Fault
from daemon.core.values import Person, Template

SCHEMA = 1
KEEP_RESULTS_S = 30 * 86_400
"""How long the answer to a command is kept for its redelivery."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE people (
  person TEXT PRIMARY KEY, name TEXT, suspended INTEGER NOT NULL, valid_from REAL, valid_until REAL,
  gates TEXT, consent TEXT, enrolled_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE templates (
  number INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL REFERENCES people(person) ON DELETE CASCADE,
  model TEXT NOT NULL, vector BLOB NOT NULL, crop BLOB NOT NULL, created_at REAL NOT NULL);
CREATE INDEX templates_by_person ON templates(person);
CREATE TABLE orders (person TEXT PRIMARY KEY, issued_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE results (command_id TEXT PRIMARY KEY, result BLOB NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE sequences (gate TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (
  row INTEGER PRIMARY KEY AUTOINCREMENT, gate TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, valid_until REAL);
"""


class StoreError(Fault):
    """The store cannot be opened, read or written. `hint` says what to do about it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that the broker has not taken yet. `valid_until` (UTC seconds) is set for what loses its meaning with time."""

    row: int
    gate: str
    topic: str
    payload: bytes
    valid_until: float | None


class Store:
    """One daemon's folder. Not thread-safe: the engine owns it."""

    def __init__(self, connection: sqlite3.Connection, lock: TextIO | None) -> None:
        self._db, self._lock = connection, lock

    def close(self) -> None:
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it returns. Raises StoreError when the disk does not take it."""
        with _translated("written"):
            self._db.execute("BEGIN IMMEDIATE")
        try:
            with _translated("written"):
                yield
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # ---- people and templates

    def people(self) -> list[Person]:
        with _translated("read"):
            rows = self._db.execute(
                "SELECT person, name, suspended, valid_from, valid_until, gates, consent, enrolled_at FROM people ORDER BY person"
            ).fetchall()
        return [
            Person(p, name, bool(suspended), since, until, tuple(json.loads(gates)) if gates is not None else None, consent, enrolled)
            for p, name, suspended, since, until, gates, consent, enrolled in rows
        ]

    def templates(self) -> list[Template]:
        with _translated("read"):
            rows = self._db.execute("SELECT number, person, model, vector, crop FROM templates ORDER BY number").fetchall()
        return [Template(number, person, model, np.frombuffer(vector, "<f4"), crop) for number, person, model, vector, crop in rows]

    def templates_of(self, person: str) -> list[Template]:
        """One person's templates, of whatever model, oldest first."""
        with _translated("read"):
            rows = self._db.execute(
                "SELECT number, person, model, vector, crop FROM templates WHERE person = ? ORDER BY number", (person,)
            ).fetchall()
        return [Template(number, person, model, np.frombuffer(vector, "<f4"), crop) for number, person, model, vector, crop in rows]

    def template_counts(self) -> dict[str, int]:
        """How many templates each person has, of whatever model."""
        with _translated("read"):
            return dict(self._db.execute("SELECT person, count(*) FROM templates GROUP BY person").fetchall())

    def put_person(self, p: Person) -> None:
        gates = json.dumps(p.gates) if p.gates is not None else None
        self._db.execute(
            "INSERT INTO people VALUES (?,?,?,?,?,?,?,?) ON CONFLICT(person) DO UPDATE SET"
            " name=excluded.name, suspended=excluded.suspended, valid_from=excluded.valid_from,"
            " valid_until=excluded.valid_until, gates=excluded.gates, consent=excluded.consent",
            (p.person, p.name, int(p.suspended), p.valid_from, p.valid_until, gates, p.consent, p.enrolled_at),
        )

    def add_template(self, person: str, model: str, vector: np.ndarray, crop: bytes, now: float) -> int:
        """The new template's number, which no other template ever had."""
        cursor = self._db.execute(
            "INSERT INTO templates (person, model, vector, crop, created_at) VALUES (?,?,?,?,?)",
            (person, model, np.ascontiguousarray(vector, "<f4").tobytes(), crop, now),
        )
        return int(cursor.lastrowid or 0)

    def remove_person(self, person: str) -> None:
        self._db.execute("DELETE FROM people WHERE person = ?", (person,))

    # ---- order and answers of commands

    def last_issued(self, person: str) -> float | None:
        """`issued_at` of the newest command applied to the person, kept after a revoke (UTC seconds)."""
        row = self._db.execute("SELECT issued_at FROM orders WHERE person = ?", (person,)).fetchone()
        return float(row[0]) if row else None

    def put_issued(self, person: str, issued_at: float) -> None:
        self._db.execute(
            "INSERT INTO orders VALUES (?,?) ON CONFLICT(person) DO UPDATE SET issued_at = max(issued_at, excluded.issued_at)",
            (person, issued_at),
        )

    def result(self, command_id: str) -> bytes | None:
        with _translated("read"):
            row = self._db.execute("SELECT result FROM results WHERE command_id = ?", (command_id,)).fetchone()
        return bytes(row[0]) if row else None

    def put_result(self, command_id: str, result: bytes, now: float) -> None:
        self._db.execute("INSERT INTO results VALUES (?,?,?)", (command_id, result, now))
        self._db.execute("DELETE FROM results WHERE at < ?", (now - KEEP_RESULTS_S,))

    # ---- counters

    def revision(self) -> int:
        """How many times the gallery has changed."""
        with _translated("read"):
            return int(self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])

    def next_revision(self) -> int:
        return int(self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision' RETURNING value").fetchone()[0])

    def next_sequence(self, gate: str) -> int:
        """The number of the gate's next decision, from 1 on, across restarts."""
        row = self._db.execute(
            "INSERT INTO sequences VALUES (?, 1) ON CONFLICT(gate) DO UPDATE SET sequence = sequence + 1 RETURNING sequence", (gate,)
        ).fetchone()
        return int(row[0])

    def probe(self) -> None:
        """Try to write. Raises StoreError while the disk does not take it."""
        with self.transaction():
            self._db.execute("UPDATE meta SET value = value WHERE key = 'revision'")

    # ---- outbox

    def enqueue(self, gate: str, topic: str, payload: bytes, valid_until: float | None = None) -> int:
        """Put a message into the outbox; returns its row."""
        cursor = self._db.execute(
            "INSERT INTO outbox (gate, topic, payload, valid_until) VALUES (?,?,?,?)", (gate, topic, payload, valid_until)
        )
        return int(cursor.lastrowid or 0)

    def pending(self, gate: str, after: int, limit: int) -> list[Pending]:
        """The oldest messages of a gate with a row above `after`, in order."""
        with _translated("read"):
            rows = self._db.execute(
                "SELECT row, gate, topic, payload, valid_until FROM outbox WHERE gate = ? AND row > ? ORDER BY row LIMIT ?",
                (gate, after, limit),
            ).fetchall()
        return [Pending(*row) for row in rows]

    def depth(self) -> int:
        with _translated("read"):
            return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def sent(self, rows: list[int]) -> None:
        """The broker has taken these messages."""
        with self.transaction():
            self._db.executemany("DELETE FROM outbox WHERE row = ?", [(row,) for row in rows])

    def integrity(self) -> str:
        """SQLite's own check of the whole file: `ok`, or what it found."""
        with _translated("read"):
            return str(self._db.execute("PRAGMA integrity_check").fetchone()[0])


def open_store(folder: Path, read_only: bool = False) -> Store:
    """Open (and make, unless read-only) the store of a state folder. Raises StoreError."""
    path = folder / "gallery.sqlite"
    if read_only:
        if not path.is_file():
            raise StoreError(f"{path}: no gallery there", "enrol somebody with a running daemon first, or give photos with --enroll")
        with _translated("opened"):
            store = Store(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None), None)
            return _checked(store, path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}", "state_dir must be a folder the daemon's user may write to") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(
            f"{folder} is in use by another daemon", "one daemon a folder: stop the other one, or give this one its own state_dir"
        ) from None
    try:
        return _open_for_writing(path, lock)
    except BaseException:
        lock.close()
        raise


def _open_for_writing(path: Path, lock: TextIO) -> Store:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its side files the same mode
    with _translated("opened"):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                db.executescript(
                    f"BEGIN IMMEDIATE; {_TABLES} INSERT INTO meta VALUES ('revision', 0); PRAGMA user_version = {SCHEMA}; COMMIT;"
                )
            return _checked(Store(db, lock), path)
        except BaseException:
            db.close()
            raise


def _checked(store: Store, path: Path) -> Store:
    version = store._db.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA:
        store._db.close()
        raise StoreError(f"{path} has schema {version}, this daemon reads {SCHEMA}", "run the daemon version that wrote it")
    return store


@contextmanager
def _translated(verb: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the gallery cannot be {verb}: {error}", "look at the disk: is it full, read-only or damaged?") from error
