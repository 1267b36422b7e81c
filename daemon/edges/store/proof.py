"""Which key opens a database: every store holds a sealed constant, the proof of its key."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from daemon.edges.store.errors import StoreError, VaultError
from daemon.edges.store.keys import KeyPlace, read_key
from daemon.edges.store.meta import stored_proof
from daemon.edges.store.records import Sealer
from daemon.edges.store.vault import Vault


@dataclass(frozen=True, slots=True)
class FittingKey:
    """The key of a database. `is_next` where it is the next key: a rotation was cut off before it took the place of the old one."""

    key: bytes
    is_next: bool

    @property
    def sealer(self) -> Sealer:
        return Sealer(Vault(self.key))


def fitting_key(connection: sqlite3.Connection, place: KeyPlace) -> FittingKey | None:
    """The key at its place or the next one, whichever opens the database; None where neither does. Raises VaultError."""
    proof = stored_proof(connection)
    for where in _places(place):
        key = read_key(where)
        if key is not None and Sealer(Vault(key)).opens_proof(proof):
            return FittingKey(key, where != place)
    return None


def need_fitting_key(connection: sqlite3.Connection, path: Path, place: KeyPlace) -> FittingKey:
    """The key of the database at `path`. Raises VaultError for a missing or wrong key, StoreError for a damaged file."""
    found = fitting_key(connection, place)
    if found is not None:
        return found
    keys = [read_key(where) for where in _places(place)]
    if keys[0] is None:
        raise VaultError(
            f"{place.path}: the key of {path} is missing",
            "restore the key from its backup (nothing else opens the gallery), or move state_dir away and enrol again",
        )
    for key in keys:
        if key is not None and _opens_something(connection, Sealer(Vault(key))):
            raise StoreError(f"{path}: damaged: the key is right, but the proof of it does not open", "restore a backup")
    raise VaultError(
        f"{place.path}: not the key of {path}: nothing in it opens with this key",
        "restore the key of this gallery from its backup, or move state_dir away and enrol again",
    )


def _places(place: KeyPlace) -> list[KeyPlace]:
    return [place] if place.credential else [place, place.next]


def _opens_something(connection: sqlite3.Connection, sealer: Sealer) -> bool:
    for table, key, opens in (
        ("people", "person", sealer.open_person),
        ("orders", "person", sealer.open_order),
        ("results", "command_id", sealer.open_result),
    ):
        for name, sealed in connection.execute(f"SELECT {key}, sealed FROM {table} LIMIT 20"):
            try:
                opens(sealed, name)
            except VaultError:
                continue
            return True
    return False
