"""The tables of a store, and whether a file has exactly these."""

import sqlite3
from pathlib import Path

from daemon.edges.store.database import Database
from daemon.edges.store.errors import StoreError
from daemon.edges.store.tables import tables_of

SCHEMA = 2
SHARED = 3
"""The schema of a store that is, or once was, part of a roster."""

# Names, vectors, crops, answers and messages are sealed. In the clear are only the keys of rows, counters, the time of an answer, and the
# audit chain, which names nobody and can be followed without the key.
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

# Records of the roster are sealed and signed as they came; `ident` says nothing about a person.
_ROSTER = (
    "CREATE TABLE roster (\n"
    "  row INTEGER PRIMARY KEY AUTOINCREMENT, ident TEXT NOT NULL, writer TEXT NOT NULL, digest BLOB NOT NULL,\n"
    "  key INTEGER NOT NULL, due INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (ident, writer))",
    "CREATE INDEX roster_due ON roster(row) WHERE due",
    "CREATE INDEX roster_by_key ON roster(key, writer)",
    "CREATE TABLE unwritten (person TEXT PRIMARY KEY) WITHOUT ROWID",
)

# All but crops, the audit chain, and the roster's records, which the heads of the roster prove.
_CHECKED = ("meta", "people", "templates", "vectors", "orders", "results", "sequences", "outbox")


def version(connection: sqlite3.Connection) -> int:
    """The schema of the file; 0 for one that was just made."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def need_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError for a file of another version of the daemon."""
    found = version(connection)
    if found not in (SCHEMA, SHARED):
        raise StoreError(
            f"{path} has schema {found}, and this daemon knows only schemas {SCHEMA} and {SHARED}",
            "run the daemon version that wrote it, or move state_dir away and enrol again",
        )


def need_new(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError for a file that has no schema version and is not empty."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path}: damaged: it has tables and no schema version", "restore a backup")


def create(database: Database) -> None:
    """Make the tables of an empty file, in one transaction. Raises StoreError."""
    with database.transaction():
        for statement in _TABLES:
            database.execute(statement)
        database.execute("INSERT INTO meta VALUES ('revision', 0), ('proof', ?)", (database.sealer.proof(),))
        tables_of(database).audit.begin()
        database.execute(f"PRAGMA user_version = {SCHEMA}")


def share(database: Database) -> None:
    """Add the tables of the roster, once; everybody who is enrolled goes into the roster. Within a transaction. Raises StoreError."""
    if version(database.connection) == SCHEMA:
        for statement in _ROSTER:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {SHARED}")
        roster = tables_of(database).roster
        roster.note_all()


def need_sound(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError unless SQLite's own check finds nothing in any table but crops and the audit chain.

    On a page that is out of order a deletion could miss its row, and a revoked person would be back at the next start. Crops and chain are
    most of the file and nobody is accepted by them, so a start does not wait for them; `ostiaryd check` reads everything.
    """
    tables = [f"('{table}')" for table in _CHECKED] if version(connection) in (SCHEMA, SHARED) else [""]
    for table in tables:
        found = str(connection.execute(f"PRAGMA integrity_check{table}").fetchone()[0])
        if found != "ok":
            hint = "restore a backup, or move state_dir away and enrol again"
            raise StoreError(f"{path}: damaged: {' '.join(found.split())}", hint)


def need_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError unless the tables are exactly these."""
    look = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    found = version(connection)
    model = sqlite3.connect(":memory:")
    try:
        for statement in (*_TABLES, *(_ROSTER if found == SHARED else ())):
            model.execute(statement)
        expected = model.execute(look).fetchall()
    finally:
        model.close()
    if connection.execute(look).fetchall() != expected:
        raise StoreError(f"{path}: damaged: its tables are not those of schema {found}", "restore a backup")
