"""The audit chain in the store. A record is appended in the transaction it tells of; the chain is read in pages; old records are deleted.

The first row is the anchor: an empty record, and the digest that the next record builds on. Both ends are also sealed (`meta`): without
the key, whoever can write the file can change or cut the chain, but not unnoticed.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace

from daemon.core.audit import DIGEST_BYTES, AuditError, BreakFound, Entry, HeadError, Place, Row, followed, link, read, record_bytes
from daemon.core.messages import utc
from daemon.edges.store.database import Database
from daemon.edges.store.errors import StoreError, VaultError
from daemon.edges.store.records import AuditEnds, Sealer

PAGE = 1000
_BEYOND = 2**53
"""No chain gets this long: a greater number is a flipped bit, and no record could follow it."""
_NEWEST = "audit WHERE number < ? ORDER BY number DESC LIMIT 1"
_SEAL = "(SELECT value FROM meta WHERE key = 'audit')"
_PUT_SEAL = "INSERT INTO meta VALUES ('audit', ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
_PUT_ROW = "INSERT INTO audit VALUES (?,?,?)"
_OVERTAKEN = 3
"""How many times a walk starts again because old records were deleted during it."""


@dataclass(frozen=True, slots=True)
class Walked:
    """A chain that was followed from end to end and is whole. It begins after `first`."""

    first: Place
    last: Place


class AuditTable:
    """The chain of one store. `broken` is the record from which on it was found broken, at the opening or since then; only the ends of the
    chain are looked at for that. Methods that write belong within a transaction. All may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.broken: int | None = None

    # ---- writing

    def begin(self) -> None:
        """Write the anchor of a new store: random, so that no two stores share a chain."""
        anchor = Place(0, os.urandom(DIGEST_BYTES))
        self._database.execute(_PUT_ROW, (anchor.number, b"", anchor.digest))
        self._seal(AuditEnds(anchor, anchor))

    def append(self, at_s: float, entry: Entry) -> Place:
        """Add a record of `at_s` (UTC seconds). Where the chain does not end as its seal says, a record of that comes first, and stays."""
        tail, ends = self._tail()
        if ends is None or ends.last != tail:
            self.broken = tail.number + 1
            tail = self._put(tail, at_s, BreakFound(ends.last.number if ends is not None else None))
            ends = AuditEnds(ends.first if ends is not None else self._first(), tail)
        last = self._put(tail, at_s, entry)
        self._seal(replace(ends, last=last))
        return last

    def _put(self, before: Place, at_s: float, entry: Entry) -> Place:
        record = record_bytes(before.number + 1, at_s, entry)
        place = link(before, record)
        self._database.execute(_PUT_ROW, (place.number, record, place.digest))
        return place

    def _seal(self, ends: AuditEnds, sealer: Sealer | None = None) -> None:
        self._database.execute(_PUT_SEAL, ((sealer or self._database.sealer).audit_ends(ends),))

    def reseal(self, new: Sealer) -> None:
        """Seal the ends with another key. Where they do not open they stay as they are."""
        ends = self._tail()[1]
        if ends is not None:
            self._seal(ends, new)

    def take_over(self, other: "AuditTable") -> None:
        """The chain of another store takes the place of this one, as it is: what is broken in it stays so. Nothing changes where that
        chain cannot be read."""
        ends = other._tail()[1]
        self._database.execute("SAVEPOINT chain")
        try:
            self._database.execute("DELETE FROM audit")
            self._database.execute_each(_PUT_ROW, other.rows())
        except StoreError:
            self._database.execute("ROLLBACK TO chain")
            return
        finally:
            self._database.execute("RELEASE chain")
        if ends is None:  # the next record says so
            self._database.execute("DELETE FROM meta WHERE key = 'audit'")
        else:
            self._seal(ends)

    def prune(self, before_s: float, now_s: float, limit: int = PAGE) -> int:
        """Delete the oldest records, as long as they are older than `before_s`, at most `limit`; returns how many. The rest still verifies.

        A record that cannot be read, or that says it is of after `now_s`, is deleted together with the record after it.
        """
        before, now = utc(before_s), utc(now_s)
        ends = self._tail()[1]
        if ends is None:
            return 0
        anchor: Place | None = None
        for number, record, digest in self._page(ends.first.number, limit):
            at = getattr(read(record), "at", None)
            if at is not None and before <= at <= now:
                break
            if at is not None and at < before and isinstance(number, int) and isinstance(digest, bytes):
                anchor = Place(number, digest)
        if anchor is None:
            return 0
        self._database.execute("UPDATE audit SET record = x'' WHERE number = ?", (anchor.number,))
        gone = self._database.execute("DELETE FROM audit WHERE number < ?", (anchor.number,)).rowcount
        self._seal(replace(ends, first=anchor))
        return int(gone)

    # ---- reading

    def head(self) -> Place:
        """The newest record. Whoever keeps this elsewhere can tell later whether the chain still passes through it."""
        return _place(self._database.row(f"SELECT number, '', digest FROM {_NEWEST}", (_BEYOND,)))

    def inspect(self) -> None:
        """Look at both ends of the chain only, because a start must not wait longer. Sets `broken`."""
        tail, ends = self._tail()
        rows = self._database.rows("SELECT number, record, digest FROM audit ORDER BY number DESC LIMIT 2")
        if ends is None or ends.last != tail:
            self.broken = tail.number + 1
        elif ends.first != self._first():
            self.broken = ends.first.number + 1
        elif len(rows) == 2:
            try:
                list(followed(_place(rows[1]), rows[:1]))
            except AuditError as error:
                self.broken = error.number

    def rows(self, after: int = -1) -> Iterator[Row]:
        """Every row with a number above `after`, in order, with the anchor. In pages, so that no reader blocks the daemon."""
        while page := self._page(after, PAGE):
            yield from page
            number = page[-1][0]
            if not isinstance(number, int) or number <= after:  # rows out of order, in a damaged file
                return
            after = number

    def verify(self, head: bytes | None = None) -> Walked:
        """Follow the whole chain. A daemon may go on writing meanwhile.

        Raises AuditError, HeadError where it does not pass through the digest `head`, and StoreError for what cannot be read.
        """
        for _ in range(_OVERTAKEN):
            first = self._first()
            try:
                return self._walk(first, head)
            except AuditError:
                if self._first().number <= first.number:
                    raise
        raise StoreError("the audit chain cannot be followed: its old records are deleted faster than it is read", "try again")

    def _walk(self, first: Place, head: bytes | None) -> Walked:
        anchor = next(iter(self._page(-1, 1)), None)
        if anchor is not None and anchor[1] != b"":
            raise AuditError(first.number, "the digest that it builds on is missing: the records before it are gone")
        if anchor is None or len(first.digest) != DIGEST_BYTES:
            raise AuditError(first.number + 1, "the digest that it builds on is missing")
        last, passed = first, head in (None, first.digest)
        while True:
            for place in followed(last, self.rows(last.number)):
                last, passed = place, passed or place.digest == head
            # The seal is read after the rows, so it may be ahead of them and never behind.
            ends = self._tail()[1]
            if ends is None:
                raise AuditError(last.number + 1, "the seal on both ends of the chain does not open")
            if ends.last.number <= last.number or not self._page(last.number, 1):
                break
        if ends.first != first:
            raise AuditError(first.number + 1, f"records before it are gone: by its seal the chain begins at {ends.first.number + 1}")
        if ends.last != last:
            at = min(ends.last.number, last.number) + 1
            raise AuditError(at, f"the chain ends at {last.number}, by its seal at {ends.last.number}")
        if not passed:
            raise HeadError(first.number + 1, last.number)
        return Walked(first, last)

    # ---- the ends

    def _tail(self) -> tuple[Place, AuditEnds | None]:
        """The place of the newest record as it stands there, and the sealed ends, None where they do not open; read at one instant."""
        row = self._database.row(f"SELECT number, '', digest, {_SEAL} FROM {_NEWEST}", (_BEYOND,))
        sealed = row[3] if row is not None else self._database.row(f"SELECT {_SEAL}")[0]
        try:
            ends = self._database.sealer.open_audit_ends(sealed)
        except VaultError:
            ends = None
        return _place(row), ends

    def _first(self) -> Place:
        return _place(next(iter(self._page(-1, 1)), None))

    def _page(self, after: int, limit: int) -> list[Row]:
        try:
            return self._database.execute(
                "SELECT number, record, digest FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
            ).fetchall()
        except sqlite3.DatabaseError as error:
            message = f"the audit chain cannot be read after record {max(after, 0)}: {error}"
            raise StoreError(message, "look at the disk; `ostiaryd check` says more") from error


def _place(row: tuple[object, ...] | None) -> Place:
    """The place in a row, as found. Where the digest is not bytes it becomes empty, and nothing that builds on it verifies."""
    number, digest = (row[0], row[2]) if row is not None else (0, b"")
    return Place(number if isinstance(number, int) else 0, digest if isinstance(digest, bytes) else b"")
