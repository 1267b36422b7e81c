"""An open database: its connection, what seals its records, and its transactions. Every table of the store works on one of these."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from daemon.edges.store.errors import StoreError, VaultError, translated
from daemon.edges.store.records import Sealer


class Database:
    """One connection, used by one thread. Every change belongs within a `transaction`."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self.connection, self.sealer = connection, sealer
        self.unsettled = False
        """Whether a change of the gallery is only in the log: a reader keeps old pages there, perhaps those of somebody who was revoked."""
        self.settles_later = False
        """Whether the owner calls `settle` itself, instead of every transaction that needs it."""
        self.settle_due = False
        """Whether `settle` has something to do."""
        self.rolled_back = 0
        """How many transactions were rolled back: what was read within them does not hold."""

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it returns. Raises StoreError when the disk does not take it."""
        with self._transaction():
            yield
        self.settle_due = self.unsettled
        if not self.settles_later:
            self.settle()

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """All or nothing, durable with the next `transaction`: a power failure before that undoes it. Raises StoreError."""
        with translated("written"):
            self.connection.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                yield
        finally:
            self.connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated("written"):
            self.connection.execute("BEGIN IMMEDIATE")
        try:
            with translated("written"):
                yield
                self.connection.execute("COMMIT")
        except BaseException:
            self.rolled_back += 1
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def gallery_changes(self) -> None:
        """Say that this transaction changes the gallery: who is enrolled, and what shuts somebody out.

        After the commit the change is then moved from the log into the file (`settle`). SQLite drops a damaged log without an error, so a
        revocation that is only in the log could be undone; and no page of a revoked person should stay in the log.
        """
        self.unsettled = True

    def settle(self) -> None:
        """Move changes of the gallery from the log into the file, if there are any."""
        self.settle_due = False
        if self.unsettled:
            with suppress(StoreError):  # the change is durable in the log, and the next transaction tries again
                self.unsettled = not self.empty_log()

    def empty_log(self) -> bool:
        """Move everything from the log into the file; False while a reader prevents it. Raises StoreError."""
        with translated("written"):
            busy, _, _ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run a statement. SQLite's errors come as they are: call this within `transaction` or `reading`."""
        return self.connection.execute(statement, values)

    def execute_each(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run a statement once for every row of values, within a transaction."""
        self.connection.executemany(statement, rows)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """SQLite's errors within the block become StoreError."""
        with translated("read"):
            yield

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """All rows of a query. Raises StoreError."""
        with self.reading():
            return self.connection.execute(query, values).fetchall()

    def row(self, query: str, values: tuple[object, ...] = ()) -> Any:
        """The first row of a query, or None. Raises StoreError."""
        with self.reading():
            return self.connection.execute(query, values).fetchone()

    def integrity(self) -> str:
        """SQLite's own check of the whole file: `ok`, or what it found. Raises StoreError."""
        return str(self.row("PRAGMA integrity_check")[0])

    def reseal(self, table: str, column: str, again: Callable[[Any, object], bytes]) -> int:
        """Replace what is sealed in each row of a table by `again(key, sealed)`; returns in how many rows. `column` is the table's key."""
        # One row at a time: a gallery may be larger than the memory.
        keys = self.rows(f"SELECT {column} FROM {table}")
        return sum(self.reseal_row(table, {column: key}, partial(again, key)) for (key,) in keys)

    def reseal_row(self, table: str, key: Mapping[str, object], again: Callable[[object], bytes]) -> int:
        """Replace what is sealed in the row with this key by `again(sealed)`; 1, or 0 where there is no row or it raises VaultError."""
        where, values = " AND ".join(f"{column} = ?" for column in key), tuple(key.values())
        row = self.execute(f"SELECT sealed FROM {table} WHERE {where}", values).fetchone()
        if row is None:
            return 0
        try:
            sealed = again(row[0])
        except VaultError:
            return 0
        return self.execute(f"UPDATE {table} SET sealed = ? WHERE {where}", (sealed, *values)).rowcount


def counter(row: tuple[object, ...] | None) -> int:
    """The counter in the first column of a row. A damaged file can hold anything there, or have no such row. Raises StoreError."""
    if row is None or not isinstance(row[0], int):
        raise StoreError("the gallery cannot be read: a counter is damaged", "restore a backup")
    return row[0]
