"""Opening a state folder: its lock, its file, its key, and what a run that was cut off left to do."""

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from daemon.edges.store import schema
from daemon.edges.store.database import Database
from daemon.edges.store.errors import StoreError, translated
from daemon.edges.store.keys import KeyPlace, key_place, make_key, promote, read_key, tidy
from daemon.edges.store.proof import need_fitting_key
from daemon.edges.store.records import Sealer
from daemon.edges.store.store import Store
from daemon.edges.store.vault import Vault

BUSY_S = 0.2
"""How long the writer waits for a reader (for example `ostiaryd check`) before it goes on without emptying the log."""
FUTURE_S = 60.0
"""No command that was issued further ahead of this clock was ever applied."""


def open_store(folder: Path, read_only: bool = False, key_file: Path | None = None) -> Store:
    """Open the store of a state folder; make it where there is none, unless `read_only`.

    The key is systemd's credential `ostiary.key`, else `key_file`, else `key` in the folder; it is made together with the store.
    Raises StoreError, and VaultError where the key is at fault.
    """
    path = gallery_file(folder)
    if read_only:
        if not os.path.lexists(path):
            raise StoreError(f"{path}: no gallery there", "enrol somebody with a running daemon first, or give photos with --enroll")
        need_private(folder)
        os.close(open_own(path, os.O_RDONLY))
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
    """Make the folder where it is missing, and reserve it for this process until the returned file is closed. Raises StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}", "state_dir must be a folder that the daemon's user may write to") from None
    need_private(folder)
    lock = os.fdopen(open_own(folder / "lock", os.O_RDWR | os.O_CREAT), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(f"{folder} is in use by another daemon", "stop the other daemon, or give this one its own state_dir") from None
    return lock


def need_private(folder: Path) -> None:
    """Raises StoreError unless the folder is this user's and nobody else may enter it.

    Somebody who may write to it could put an older gallery in the place of this one, in which nobody was revoked yet.
    """
    try:
        seen = folder.stat()
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}", "state_dir must be a folder that the daemon's user may write to") from None
    if seen.st_uid != os.geteuid():
        hint = "run this as that user (sudo -u ostiary ...), or give the folder to the daemon's user (chown)"
        raise StoreError(f"{folder} belongs to user {seen.st_uid}, and this is user {os.geteuid()}", hint)
    if seen.st_mode & 0o077:
        raise StoreError(f"{folder} has mode {stat.S_IMODE(seen.st_mode):04o}, so others may enter it", f"chmod 700 {folder}")


def open_own(path: Path, flags: int) -> int:
    """Open a regular file of the state folder, without following links; returns its descriptor. Raises StoreError."""
    try:
        # NONBLOCK: a pipe in its place must not stop the daemon.
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened ({error.strerror})", _NOT_OWN) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise StoreError(f"{path} is not a regular file", _NOT_OWN)
    return file


_NOT_OWN = "move what is there away: the daemon makes a regular file of its own, or restore a backup"


def staged_file(folder: Path) -> Path:
    """Where a restored database is built until it is complete."""
    return folder / "restoring.sqlite"


def forget_staged(folder: Path) -> None:
    """Remove what an interrupted restore left. Needs the folder's lock."""
    with suppress(OSError):
        for path in folder.glob(staged_file(folder).name + "*"):
            path.unlink(missing_ok=True)


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """What SQLite and Python raise within the block becomes StoreError."""
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
    connection = _connect(path.absolute().as_uri() + "?mode=ro", 5.0)
    try:
        schema.need_version(connection, path)
        schema.need_tables(connection, path)
        return Store(Database(connection, need_fitting_key(connection, path, place).sealer))
    except BaseException:
        connection.close()
        raise


def open_for_writing(path: Path, lock: TextIO | None, place: KeyPlace) -> Store:
    """The database at `path`, made where there is none, checked and mended. Raises StoreError, VaultError, sqlite3.DatabaseError."""
    os.close(open_own(path, os.O_RDWR | os.O_CREAT))  # SQLite gives its side files the same mode
    connection = _connect(path.absolute().as_uri(), BUSY_S)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        schema.need_sound(connection, path)
        if schema.version(connection) == 0:
            schema.need_new(connection, path)
            schema.create(Database(connection, _new_sealer(place)))
        schema.need_version(connection, path)
        schema.need_tables(connection, path)
        found = need_fitting_key(connection, path, place)
        database = Database(connection, found.sealer)
        database.unsettled = not database.empty_log()
        if found.is_next:
            with suppress(StoreError):  # its folder may be read-only here (the unit sees /etc so): it serves from where it is
                promote(place)
        elif not place.credential:
            tidy(place)
        store = Store(database, lock)
        store.mend(time.time() + FUTURE_S)
        store.audit.inspect()
        return store
    except BaseException:
        connection.close()
        raise


def _connect(uri: str, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, timeout=busy_s, isolation_level=None, uri=True)
    # A damaged text must not hide the rows beside it. A record that was bound to the text does not open when a letter is replaced.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def _new_sealer(place: KeyPlace) -> Sealer:
    """For a store in which nothing is sealed yet: with the key that is there, else a new one."""
    key = read_key(place)
    return Sealer(Vault(key if key is not None else make_key(place)))
