"""The store's errors, and SQLite's errors in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.core.faults import Fault


class StoreError(Fault):
    """The store cannot be opened, read or written, or is damaged. `hint` says what to do about it."""


class BackupError(StoreError):
    """A backup cannot be made or read, or its passphrase cannot be used. `hint` says what to do about it."""


class VaultError(Fault):
    """A key is missing, unusable or wrong, or something sealed does not open. `hint` says what to do about it."""


@contextmanager
def translated(verb: str) -> Iterator[None]:
    """SQLite's errors within the block become StoreError: the gallery cannot be <verb>."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the gallery cannot be {verb}: {error}", "look at the disk: is it full, read-only or damaged?") from error
