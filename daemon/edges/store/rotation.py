"""Another key for the whole store. Whenever it is cut off, the next opening finds the key that fits (opening.py)."""

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from daemon.core.audit import KeyChanged
from daemon.edges.store.audit import reseal_ends
from daemon.edges.store.errors import StoreError, VaultError, translated
from daemon.edges.store.keys import key_place, make_key, promote
from daemon.edges.store.opening import gallery_file, open_store
from daemon.edges.store.records import Sealer
from daemon.edges.store.store import Store
from daemon.edges.store.vault import Vault


def rotate_key(folder: Path, key_file: Path | None = None) -> int:
    """Seal everything anew with a new key; how many records that were.

    1. the new key is durable beside the old one; 2. every record and the proof change in one transaction, which is brought from the log
    into the file; 3. the new key takes the place of the old one. Needs the folder for itself. What does not open stays as it is, and
    closed. Raises StoreError, VaultError.
    """
    if not gallery_file(folder).is_file():
        raise StoreError(f"{gallery_file(folder)}: no gallery there", "there is nothing to seal anew")
    place = key_place(folder, key_file)
    if place.credential:
        raise VaultError(
            f"{place.path}: a credential cannot be replaced from here",
            "put the key into store.key_file, rotate it outside the unit, and give it back to systemd (deploy/README.md)",
        )
    store = open_store(folder, key_file=key_file)
    try:
        new = Sealer(Vault(make_key(place.next)))
        with store.transaction():
            store.audit.append(time.time(), KeyChanged())
            count = _seal_anew(store._db, store._sealer, new)
        with translated("written"):
            busy, _, _ = store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreError("a reader holds the gallery, so the new key waits beside the old one", "end it and start the daemon")
        promote(place)
        return count
    finally:
        store.close()


def _seal_anew(db: sqlite3.Connection, old: Sealer, new: Sealer) -> int:
    """Every record that opens, one at a time: a gallery may be larger than the memory."""
    count, enrolments = 0, {}
    for (person,) in db.execute("SELECT person FROM people").fetchall():
        with suppress(VaultError):
            record = old.open_person(_sealed(db, "people", "person", person), person)
            enrolments[person] = record.enrolment
            count += _put(db, "people", "person", person, new.person(record))
    for number, person in db.execute("SELECT number, person FROM templates").fetchall():
        place = (number, person, enrolments.get(person, b""))
        with suppress(VaultError):
            template = old.open_template(_sealed(db, "templates", "number", number), *place)
            count += _put(db, "templates", "number", number, new.template(template, *place))
        with suppress(VaultError):
            crop = old.open_crop(_sealed(db, "crops", "number", number), *place)
            count += _put(db, "crops", "number", number, new.crop(crop, *place))
        for model, sealed in db.execute("SELECT model, sealed FROM vectors WHERE number = ?", (number,)).fetchall():
            with suppress(VaultError):
                vector = old.open_vector(sealed, number, person, model, place[2])
                anew = new.vector(vector, number, person, model, place[2])
                count += db.execute("UPDATE vectors SET sealed = ? WHERE number = ? AND model = ?", (anew, number, model)).rowcount
    for (person,) in db.execute("SELECT person FROM orders").fetchall():
        with suppress(VaultError):
            issued_at = old.open_order(_sealed(db, "orders", "person", person), person)
            count += _put(db, "orders", "person", person, new.order(issued_at, person))
    for (command_id,) in db.execute("SELECT command_id FROM results").fetchall():
        with suppress(VaultError):
            result = old.open_result(_sealed(db, "results", "command_id", command_id), command_id)
            count += _put(db, "results", "command_id", command_id, new.result(result, command_id))
    for row, gate in db.execute("SELECT row, gate FROM outbox").fetchall():
        with suppress(VaultError):
            message = old.open_message(_sealed(db, "outbox", "row", row), row, gate)
            count += _put(db, "outbox", "row", row, new.message(message, row, gate))
    with suppress(VaultError):
        reseal_ends(db, old, new)
    db.execute("UPDATE meta SET value = ? WHERE key = 'proof'", (new.proof(),))
    return count


def _sealed(db: sqlite3.Connection, table: str, column: str, key: object) -> object:
    row = db.execute(f"SELECT sealed FROM {table} WHERE {column} = ?", (key,)).fetchone()
    return row[0] if row is not None else None


def _put(db: sqlite3.Connection, table: str, column: str, key: object, sealed: bytes) -> int:
    return db.execute(f"UPDATE {table} SET sealed = ? WHERE {column} = ?", (sealed, key)).rowcount


def reseal(store: Store, new: Sealer) -> int:
    """Every record that opens and the proof, within a transaction; the store itself goes on with its old key. Raises StoreError."""
    return _seal_anew(store._db, store._sealer, new)
