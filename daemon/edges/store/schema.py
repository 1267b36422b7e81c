"""The tables, whether a file has exactly these, and the way from schema 1 (nothing sealed) to schema 2."""

import json
import sqlite3
from pathlib import Path

import numpy as np

from daemon.core.values import Person
from daemon.edges.store import audit
from daemon.edges.store.errors import StoreError
from daemon.edges.store.records import MessageRecord, PersonRecord, Sealer, TemplateRecord, new_enrolment, new_pseudonym
from daemon.edges.store.templates import put_template, put_vector

SCHEMA = 2

# Names, vectors, crops, answers and messages are sealed. Open are only row keys, counters, the day from which an answer may go, and the
# audit chain, which names nobody and is to be followed without the key.
_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "CREATE TABLE people (person TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE templates (\n"
    "  number INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL REFERENCES people(person) ON DELETE CASCADE,\n"
    "  sealed BLOB NOT NULL)",
    "CREATE TABLE crops (number INTEGER PRIMARY KEY REFERENCES templates(number) ON DELETE CASCADE, sealed BLOB NOT NULL)",
    "CREATE TABLE vectors (\n"
    "  number INTEGER NOT NULL REFERENCES templates(number) ON DELETE CASCADE, model TEXT NOT NULL, sealed BLOB NOT NULL,\n"
    "  PRIMARY KEY (number, model))",
    "CREATE INDEX templates_by_person ON templates(person)",
    "CREATE TABLE orders (person TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE results (command_id TEXT PRIMARY KEY, sealed BLOB NOT NULL, at REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE sequences (gate TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE outbox (row INTEGER PRIMARY KEY AUTOINCREMENT, gate TEXT NOT NULL, sealed BLOB NOT NULL)",
    "CREATE TABLE audit (number INTEGER PRIMARY KEY, record BLOB NOT NULL, digest BLOB NOT NULL)",
)


_CHECKED = ("meta", "people", "templates", "vectors", "orders", "results", "sequences", "outbox")


def version(db: sqlite3.Connection) -> int:
    """The schema of the file; 0 for one that was just made."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def create(db: sqlite3.Connection, sealer: Sealer, path: Path) -> None:
    """The tables of an empty file, in one transaction. Raises StoreError for a file that only says it is empty."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path}: damaged: it has tables and no schema version", "restore a backup")
    db.execute("BEGIN IMMEDIATE")
    _make_tables(db, sealer, 0)
    db.execute("COMMIT")


def _make_tables(db: sqlite3.Connection, sealer: Sealer, revision: int) -> None:
    for statement in _TABLES:
        db.execute(statement)
    db.execute("INSERT INTO meta VALUES ('revision', ?), ('proof', ?)", (revision, sealer.proof()))
    audit.begin(db, sealer)
    db.execute(f"PRAGMA user_version = {SCHEMA}")


def need_sound(db: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError unless SQLite's own check finds nothing: in any table, or, once it is sealed, in any but crops and audit chain.

    A page that is out of order would let a deletion miss its row, and somebody revoked would be back at the next start. Crops and
    chain are most of the file and nobody is accepted by them, so a start does not wait for them; `ostiaryd check` reads everything.
    """
    tables = [f"('{table}')" for table in _CHECKED] if version(db) == SCHEMA else [""]
    for table in tables:
        found = str(db.execute(f"PRAGMA integrity_check{table}").fetchone()[0])
        if found != "ok":
            hint = "restore a backup, or move state_dir away and enrol anew"
            raise StoreError(f"{path}: damaged: {' '.join(found.split())}", hint)


def need_tables(db: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError unless the tables are these to the letter."""
    look = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    model = sqlite3.connect(":memory:")
    try:
        for statement in _TABLES:
            model.execute(statement)
        expected = model.execute(look).fetchall()
    finally:
        model.close()
    if db.execute(look).fetchall() != expected:
        raise StoreError(f"{path}: damaged: its tables are not those of schema {SCHEMA}", "restore a backup")


def migrate(db: sqlite3.Connection, sealer: Sealer) -> None:
    """From schema 1, in one transaction. `finish_migration` is owed afterwards, and notes it in the file until it is done."""
    db.execute("BEGIN IMMEDIATE")
    old = ("meta", "people", "templates", "orders", "results", "sequences", "outbox")
    db.execute("DROP INDEX templates_by_person")
    for table in old:
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    _make_tables(db, sealer, db.execute("SELECT value FROM meta_1 WHERE key = 'revision'").fetchone()[0])
    enrolments = _migrate_people(db, sealer)
    for number, person, model, vector, crop, created in db.execute(
        "SELECT number, person, model, vector, crop, created_at FROM templates_1"
    ):
        if person not in enrolments:  # nobody's: it serves nobody and is not brought over
            continue
        put_template(db, sealer, TemplateRecord(created), crop, number, person, enrolments[person])
        put_vector(db, sealer, np.frombuffer(vector, "<f4"), number, person, model, enrolments[person])
    for person, issued_at in db.execute("SELECT person, issued_at FROM orders_1"):
        db.execute("INSERT INTO orders VALUES (?,?)", (person, sealer.order(issued_at, person)))
    for command_id, result, at in db.execute("SELECT command_id, result, at FROM results_1"):
        db.execute("INSERT INTO results VALUES (?,?,?)", (command_id, sealer.result(result, command_id), at))
    db.execute("INSERT INTO sequences SELECT gate, sequence FROM sequences_1")
    for row, gate, topic, payload, until in db.execute("SELECT row, gate, topic, payload, valid_until FROM outbox_1"):
        db.execute("INSERT INTO outbox VALUES (?,?,?)", (row, gate, sealer.message(MessageRecord(topic, payload, until), row, gate)))
    for table in ("templates", "outbox"):  # no number is ever used again, also not those of rows that are gone
        used = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (f"{table}_1",)).fetchone()
        if used is not None:
            db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            db.execute("INSERT INTO sqlite_sequence VALUES (?,?)", (table, used[0]))
    for table in ("templates", "people", "meta", "orders", "results", "sequences", "outbox"):  # templates refer to people
        db.execute(f"DROP TABLE {table}_1")
    db.execute("INSERT INTO meta VALUES ('plain', 1)")
    db.execute("COMMIT")


def _migrate_people(db: sqlite3.Connection, sealer: Sealer) -> dict[str, bytes]:
    enrolments: dict[str, bytes] = {}
    for person, name, suspended, since, until, gates, consent, enrolled in db.execute(
        "SELECT person, name, suspended, valid_from, valid_until, gates, consent, enrolled_at FROM people_1"
    ):
        known = Person(
            person=person,
            name=name,
            suspended=bool(suspended),
            valid_from=since,
            valid_until=until,
            gates=tuple(json.loads(gates)) if gates is not None else None,
            consent=consent,
            enrolled_at=enrolled,
        )
        enrolments[person] = new_enrolment()
        db.execute("INSERT INTO people VALUES (?,?)", (person, sealer.person(PersonRecord(enrolments[person], known, new_pseudonym()))))
    return enrolments


def finish_migration(db: sqlite3.Connection) -> None:
    """Write the file anew, so that no page of the plain tables stays in it or in the log. Does nothing where none is owed."""
    if db.execute("SELECT 1 FROM meta WHERE key = 'plain'").fetchone() is None:
        return
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("DELETE FROM meta WHERE key = 'plain'")
