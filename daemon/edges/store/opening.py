"""Opening a state folder: its lock, its file, its key, and what an earlier run owes it."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from daemon.edges.store import schema
from daemon.edges.store.errors import StoreError, VaultError, translated
from daemon.edges.store.keys import KeyPlace, key_place, make_key, promote, read_key, tidy
from daemon.edges.store.mending import mend
from daemon.edges.store.records import Sealer
from daemon.edges.store.store import Store
from daemon.edges.store.vault import Vault

BUSY_S = 0.2
"""How long a reader (`ostiaryd check`, say) may hold up the writer before it goes on without having emptied the log."""
FUTURE_S = 60.0
"""No command from further ahead of this clock was ever applied."""


def open_store(folder: Path, read_only: bool = False, key_file: Path | None = None) -> Store:
    """Open (and make, unless read-only) the store of a state folder.

    The key is systemd's credential `ostiary.key`, else `key_file`, else `key` in the folder; it is made where there is no sealed store
    yet. Raises StoreError, and VaultError where it is the key that is at fault.
    """
    path = gallery_file(folder)
    if read_only:
        if not path.is_file():
            raise StoreError(f"{path}: no gallery there", "enrol somebody with a running daemon first, or give photos with --enroll")
        with opening(path):
            return open_for_reading(path, key_place(folder, key_file))
    lock = lock_folder(folder)
    try:
        forget_staged(folder)
        with opening(path):
            return open_for_writing(path, lock, key_place(folder, key_file))
    except BaseException:
        lock.close()
        raise


def lock_folder(folder: Path) -> TextIO:
    """The folder, made where it is missing, for one process alone until the file is closed. Raises StoreError."""
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
    return lock


def staged_file(folder: Path) -> Path:
    """Where a restored database waits until it is whole."""
    return folder / "restoring.sqlite"


def forget_staged(folder: Path) -> None:
    """Remove what a restore that was cut off left. Needs the folder's lock."""
    with suppress(OSError):
        for path in folder.glob(staged_file(folder).name + "*"):
            path.unlink(missing_ok=True)


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """What SQLite and Python raise within becomes StoreError."""
    try:
        with translated("opened"):
            yield
    except UnicodeDecodeError:  # Python's sqlite3, when SQLite complains about a text and quotes what a flipped bit made of it
        raise StoreError(f"{path}: damaged: its tables cannot be read", "restore a backup") from None


def gallery_file(folder: Path) -> Path:
    """The database of a state folder."""
    return folder / "gallery.sqlite"


def open_for_reading(path: Path, place: KeyPlace) -> Store:
    """The database at `path` as it is. Raises StoreError, VaultError, sqlite3.DatabaseError."""
    db = _connect(path.absolute().as_uri() + "?mode=ro", 5.0)
    try:
        version = schema.version(db)
        if version == 1:
            raise StoreError(f"{path} is of an earlier version and not encrypted yet", "start the daemon once: it converts the gallery")
        _need_version(version, path)
        schema.need_tables(db, path)
        sealer, _ = _proven(db, path, place)
        return Store(db, None, sealer)
    except BaseException:
        db.close()
        raise


def open_for_writing(path: Path, lock: TextIO | None, place: KeyPlace) -> Store:
    """The database at `path`, checked, converted where it is older, and mended. Raises StoreError, VaultError, sqlite3.DatabaseError."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its side files the same mode
    db = _connect(path.absolute().as_uri(), BUSY_S)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            db.execute(f"PRAGMA {pragma}")
        schema.need_sound(db, path)
        version = schema.version(db)
        if version == 0:
            schema.create(db, _sealer(place), path)
        elif version == 1:
            schema.migrate(db, _sealer(place))
        else:
            _need_version(version, path)
        schema.need_tables(db, path)
        sealer, with_next = _proven(db, path, place)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        schema.finish_migration(db)
        if with_next:
            with suppress(StoreError):  # its folder may be read-only here (the unit sees /etc so): it serves from where it is
                promote(place)
        elif not place.credential:
            tidy(place)
        store = Store(db, lock, sealer, lost_messages=mend(db, sealer, time.time() + FUTURE_S))
        store.audit.inspect()
        return store
    except BaseException:
        db.close()
        raise


def _connect(uri: str, busy_s: float) -> sqlite3.Connection:
    db = sqlite3.connect(uri, timeout=busy_s, isolation_level=None, uri=True)
    # A damaged text must not hide the rows beside it; whatever it was bound to does not open with a replaced letter.
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    return db


def _need_version(version: int, path: Path) -> None:
    if version != schema.SCHEMA:
        raise StoreError(f"{path} has schema {version}, this daemon reads {schema.SCHEMA}", "run the daemon version that wrote it")


def _sealer(place: KeyPlace) -> Sealer:
    """For a store in which nothing is sealed yet: with the key that is there, else a new one."""
    key = read_key(place)
    return Sealer(Vault(key if key is not None else make_key(place)))


def _proven(db: sqlite3.Connection, path: Path, place: KeyPlace) -> tuple[Sealer, bool]:
    """The key that opens the store, and whether it is the next one: then a rotation was cut off before the key took its place.

    Raises VaultError for a missing or wrong key, StoreError for a file that is damaged.
    """
    row = db.execute("SELECT value FROM meta WHERE key = 'proof'").fetchone()
    proof = row[0] if row is not None else None
    current, following = read_key(place), None
    if current is not None and Sealer(Vault(current)).opens_proof(proof):
        return Sealer(Vault(current)), False
    if not place.credential:
        following = read_key(place.next)
        if following is not None and Sealer(Vault(following)).opens_proof(proof):
            return Sealer(Vault(following)), True
    if current is None:
        raise VaultError(
            f"{place.path}: the key of {path} is missing",
            "restore the key from its backup (nothing else opens the gallery), or move state_dir away and enrol anew",
        )
    for key in (current, following):
        if key is not None and _opens_something(db, Sealer(Vault(key))):
            raise StoreError(f"{path}: damaged: the key is right, but the proof of it does not open", "restore a backup")
    raise VaultError(
        f"{place.path}: not the key of {path}: nothing in it opens with this key",
        "restore the key that belongs to this gallery from its backup, or move state_dir away and enrol anew",
    )


def _opens_something(db: sqlite3.Connection, sealer: Sealer) -> bool:
    for table, key, opens in (
        ("people", "person", sealer.open_person),
        ("orders", "person", sealer.open_order),
        ("results", "command_id", sealer.open_result),
    ):
        for name, sealed in db.execute(f"SELECT {key}, sealed FROM {table} LIMIT 20"):
            try:
                opens(sealed, name)
            except VaultError:
                continue
            return True
    return False
