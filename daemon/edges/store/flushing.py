"""Making durable aside what `unhurried` transactions have changed: the owner of the store never waits for the disk."""

import sqlite3
from pathlib import Path

from daemon.edges.store.errors import StoreError, translated

BUSY_S = 1.0


def flush(path: Path) -> bool:
    """Move everything that is committed from the log of the database into its file, and wait until the disk has it. For a thread aside:
    it has a connection of its own. Returns True; raises StoreError, also while a reader prevents a part of it."""
    with translated("written"):
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            _, log, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            connection.close()
    if moved < log:
        raise StoreError("a reader holds the gallery", "end the reader (`ostiaryd check`, a backup?)")
    return True
