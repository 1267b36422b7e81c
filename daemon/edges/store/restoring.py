"""Restoring a backup into a state folder: everything is prepared in a file of its own, and one renaming puts it in place.

The restored records are sealed with this box's own key, so that this key, whether file or credential, stays as it is.
"""

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.core.audit import BackupRestored
from daemon.core.messages import utc
from daemon.edges.files import sync_folder
from daemon.edges.store.backup import box_key, unpack
from daemon.edges.store.database import Database
from daemon.edges.store.errors import BackupError, StoreError, VaultError, translated
from daemon.edges.store.keys import KeyPlace, key_place, make_key, read_key
from daemon.edges.store.opening import forget_staged, gallery_file, lock_folder, open_for_reading, open_for_writing, opening, staged_file
from daemon.edges.store.records import Sealer
from daemon.edges.store.since import bring_over, distrust
from daemon.edges.store.store import Store
from daemon.edges.store.tables import reseal
from daemon.edges.store.vault import Vault

_ASIDE = "gallery.before-restore-"


@dataclass(frozen=True, slots=True)
class Restored:
    """What is in place now. `made_at` is when the backup was made (UTC seconds), `aside` is where the earlier store is kept.

    `suspended` counts the people who were not suspended in the backup, `revoked` those who were revoked since and are not restored.
    """

    made_at: float
    people: int
    suspended: int
    revoked: int
    damaged: tuple[str, ...]
    aside: Path | None


def restore(
    folder: Path, backup: Path, passphrase: str, now: float, key_file: Path | None = None, replace: bool = False, active: bool = False
) -> Restored:
    """Restore a backup into a state folder without a gallery or, with `replace`, in place of a gallery that opens. `now` in UTC seconds.

    People who may have been revoked since the backup come back suspended, unless `active`. From a gallery that is replaced, revocations and
    suspensions are taken over. Until the last step nothing in the folder changes but files of the restore itself.
    Raises StoreError, VaultError.
    """
    lock = lock_folder(folder)
    try:
        _tidy(folder)
        before = _before(folder, key_file, replace)
        try:
            return _put(folder, backup, passphrase, now, key_place(folder, key_file), before, active)
        finally:
            if before is not None:
                before.close()
            forget_staged(folder)
    finally:
        lock.close()


def _tidy(folder: Path) -> None:
    """Remove what an interrupted restore left: half a database, and a second name of the database that serves."""
    forget_staged(folder)
    gallery = gallery_file(folder)
    for aside in folder.glob(f"{_ASIDE}*"):
        with suppress(OSError):
            if aside.samefile(gallery):
                aside.unlink()


def _before(folder: Path, key_file: Path | None, replace: bool) -> Store | None:
    gallery = gallery_file(folder)
    if not gallery.is_file():
        # SQLite would apply a log without its database to the restored one.
        if next(folder.glob(f"{gallery.name}*"), None) is not None:
            raise BackupError(f"{folder}: holds parts of a gallery", "move them away, or give an empty state_dir")
        return None
    if not replace:
        raise BackupError(f"{gallery}: there is a gallery already", "give --replace to move it aside, or an empty state_dir")
    try:
        with opening(gallery):
            return open_for_writing(gallery, None, key_place(folder, key_file))
    except (StoreError, VaultError) as error:
        raise BackupError(
            f"{error.message}; so nobody can tell who was revoked since the backup",
            "move the files of state_dir away and restore into the empty folder; people then come back suspended",
        ) from None


def _put(folder: Path, backup: Path, passphrase: str, now: float, place: KeyPlace, before: Store | None, active: bool) -> Restored:
    staged = staged_file(folder)
    try:
        with os.fdopen(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            manifest = unpack(backup, passphrase, file)
    except OSError as error:
        raise StoreError(f"{staged}: cannot be written ({error.strerror})", "is the disk full, or state_dir read-only?") from None
    try:
        with opening(staged):
            store = open_for_writing(staged, None, KeyPlace(backup, credential=True, held=manifest.key))
    except (StoreError, VaultError) as error:
        raise BackupError(f"{backup}: the gallery in it cannot be used: {error.message}", error.hint) from None
    try:
        found = store.integrity()
        if found != "ok":
            raise BackupError(f"{backup}: the gallery in it is damaged: {' '.join(found.split())}", "take an earlier backup")
        key = _key(place, before)
        with store.transaction():
            reseal(store.tables, Sealer(Vault(key)))
        restored = Store(Database(store.database.connection, Sealer(Vault(key))))
        with restored.transaction():
            counts = bring_over(restored, before, active) if before is not None else distrust(restored, manifest.made_at, now, active)
            told = BackupRestored(utc(manifest.made_at), len(restored.people()), counts.revoked, counts.suspended, restored.revision())
            restored.audit.append(now, told)
        people, damaged = len(restored.people()), restored.damage().people
        _settle(store.database, staged)
    finally:
        store.close()
    with opening(staged):
        open_for_reading(staged, KeyPlace(place.path, held=key)).close()
    aside = _swap(folder, staged, before, now)
    return Restored(manifest.made_at, people, counts.suspended, counts.revoked, damaged, aside)


def _key(place: KeyPlace, before: Store | None) -> bytes:
    """This box's key; a new one where there is neither a key nor a gallery."""
    if before is not None:
        return box_key(before.database.connection, place).key
    key = read_key(place)
    return key if key is not None else make_key(place)


def _settle(database: Database, path: Path) -> None:
    """Move everything into the one file, without a log beside it."""
    mode = ""
    with translated("settled"), suppress(sqlite3.OperationalError):  # locked
        mode = str(database.execute("PRAGMA journal_mode = DELETE").fetchone()[0])
    if mode != "delete":
        raise StoreError(f"{path}: a reader holds the gallery", "end the reader (`ostiaryd check`, a backup?) and try again")


def _swap(folder: Path, staged: Path, before: Store | None, now: float) -> Path | None:
    """The restored database takes the place of the gallery, if there is one, in one step."""
    gallery, aside = gallery_file(folder), None
    if before is not None:
        _settle(before.database, gallery)
        before.close()
        if next(folder.glob(f"{gallery.name}-*"), None) is not None:  # SQLite would apply it to the restored one
            raise StoreError(f"{gallery}: a reader has left a log", "end the reader (`ostiaryd check`, a backup?) and try again")
    try:
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        if before is not None:
            aside = folder / f"{_ASIDE}{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.sqlite"
            os.link(gallery, aside)  # a second name, so that there is a gallery at every instant
        staged.replace(gallery)
        sync_folder(folder)
    except OSError as error:
        _tidy(folder)
        raise StoreError(f"{gallery}: cannot be put in place ({error.strerror})", "nothing has changed; look at the disk") from None
    return aside
