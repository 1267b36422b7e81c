"""The whole store and its key in one file, sealed with a passphrase. A daemon may serve meanwhile."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from daemon.edges.files import placed
from daemon.edges.store import schema
from daemon.edges.store.database import Database
from daemon.edges.store.errors import BackupError, StoreError, VaultError, translated
from daemon.edges.store.keys import KeyPlace, key_place
from daemon.edges.store.opening import open_store
from daemon.edges.store.passphrase import need_strong
from daemon.edges.store.proof import FittingKey, fitting_key
from daemon.edges.store.sealed_file import CHUNK_BYTES, read_sealed, write_sealed
from daemon.edges.store.store import Store

_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Manifest:
    """What precedes the database in the file. `made_at` is in UTC seconds, `key` is the key that the database is sealed with."""

    made_at: float
    key: bytes
    database_bytes: int


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds. `damaged` are people whose record does not open, neither in the store nor in the backup."""

    people: int
    templates: int
    revision: int
    damaged: tuple[str, ...]


def back_up(
    folder: Path, target: Path, passphrase: str, made_at: float, key_file: Path | None = None, force: bool = False
) -> BackedUp:  # fmt: skip
    """Write the store of a state folder and its key to `target`, sealed. This needs room for twice the database there.

    The copy is of one instant, and a daemon may serve meanwhile. Raises FileError, StoreError, VaultError, and then leaves no file.
    """
    need_strong(passphrase)
    store = open_store(folder, read_only=True, key_file=key_file)
    try:
        with placed(target, force) as file, _copy(store, target) as (copy, path):
            copied, key = _checked(copy, path, key_place(folder, key_file))
            manifest = Manifest(made_at, key, path.stat().st_size)
            write_sealed(file, _parts(manifest, path), passphrase)
            return copied
    finally:
        store.close()


@contextmanager
def _copy(store: Store, target: Path) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A copy of the database beside the target, deleted after the block. Its records are sealed as in the store."""
    path = target.with_name(target.name + ".copy")
    path.unlink(missing_ok=True)
    path.touch(0o600, exist_ok=False)
    with translated("copied"):
        copy = sqlite3.connect(path, isolation_level=None)
    try:
        with translated("copied"):
            copy.execute("PRAGMA journal_mode = OFF")
            store.database.connection.backup(copy)  # in one step: with pauses, every change by a daemon would restart it
        yield copy, path
    finally:
        copy.close()
        with suppress(OSError):
            path.unlink()


def _checked(copy: sqlite3.Connection, path: Path, place: KeyPlace) -> tuple[BackedUp, bytes]:
    """What the copy holds and the key it is sealed with. Raises StoreError for a copy that could not be restored."""
    with translated("copied"):
        found = str(copy.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if found != "ok":
            raise BackupError(f"the gallery is damaged: {' '.join(found.split())}", "keep the backups you have; `ostiaryd check` says more")
        schema.need_tables(copy, path)
        found_key = box_key(copy, place)
        store = Store(Database(copy, found_key.sealer))
        people, templates = len(store.people()), sum(store.template_counts().values())
        return BackedUp(people, templates, store.revision(), store.damage().people), found_key.key


def box_key(connection: sqlite3.Connection, place: KeyPlace) -> FittingKey:
    """The key that opens this database. During a rotation that may be the next key. Raises VaultError."""
    found = fitting_key(connection, place)
    if found is None:
        raise VaultError(f"{place.path}: not the key of the gallery", "try again, in case the key was changed just now")
    return found


def _parts(manifest: Manifest, path: Path) -> Iterator[bytes]:
    encoded = msgspec.msgpack.encode(manifest)
    yield len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            yield part


def unpack(backup: Path, passphrase: str, into: BinaryIO) -> Manifest:
    """Write the database of a backup into a file; all of it is authentic. Raises BackupError, and OSError for `into`."""
    try:
        file = backup.open("rb")
    except OSError as error:
        raise BackupError(f"{backup}: cannot be read ({error.strerror})", "give the file that `ostiaryd backup` wrote") from None
    with file:
        try:
            parts = _readable(read_sealed(file, passphrase))
            head = next(parts)
            length = int.from_bytes(head[:_LENGTH_BYTES], "big")
            manifest = msgspec.msgpack.decode(head[_LENGTH_BYTES : _LENGTH_BYTES + length], type=Manifest)
            size = into.write(head[_LENGTH_BYTES + length :]) + sum(into.write(part) for part in parts)
        except StoreError as error:
            raise BackupError(f"{backup}: {error.message}", error.hint) from None
        except msgspec.MsgspecError:  # it is authentic, so a later daemon wrote it
            raise BackupError(f"{backup}: cannot be read", "use the daemon version that wrote it") from None
    if size != manifest.database_bytes:
        raise BackupError(f"{backup}: holds {size} bytes of {manifest.database_bytes}", "take another copy of it, or an earlier backup")
    return manifest


def _readable(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same parts. A disk error while reading the backup becomes BackupError, unlike one while writing its content."""
    try:
        yield from parts
    except OSError as error:
        raise BackupError(f"cannot be read ({error.strerror})", "take another copy of it, or an earlier backup") from None
