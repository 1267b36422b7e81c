"""Another key for the whole store. Wherever it is cut off, the next opening finds the key that fits (proof.py)."""

import time
from pathlib import Path

from daemon.core.audit import KeyChanged
from daemon.edges.store.errors import StoreError, VaultError
from daemon.edges.store.keys import key_place, make_key, promote
from daemon.edges.store.opening import gallery_file, open_store
from daemon.edges.store.records import Sealer
from daemon.edges.store.tables import reseal
from daemon.edges.store.vault import Vault


def rotate_key(folder: Path, key_file: Path | None = None) -> int:
    """Seal everything with a new key; returns how many records that were.

    1. The new key is durable beside the old one. 2. Every record and the proof change in one transaction, which is moved from the log into
    the file. 3. The new key takes the place of the old one. No daemon may use the folder meanwhile. A record that does not open stays as it
    is. Raises StoreError, VaultError.
    """
    if not gallery_file(folder).is_file():
        raise StoreError(f"{gallery_file(folder)}: no gallery there", "give the state_dir of a daemon that has run")
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
            count = reseal(store.tables, new)
        if not store.database.empty_log():
            raise StoreError("a reader holds the gallery, so the new key waits beside the old one", "end the reader and start the daemon")
        promote(place)
        return count
    finally:
        store.close()
