"""The audit chain in the store: appended within the very transaction it tells of, walked in pages, let go from its old end.

The first row is the anchor: an empty record and the digest that the next one builds on. Both ends are sealed besides (`meta`): whoever
can write the file and has not the key can change or cut the chain, but not so that it goes unnoticed.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace

from daemon.core.audit import DIGEST_BYTES, AuditError, BreakFound, Entry, HeadError, Place, Row, followed, link, read, record_bytes
from daemon.core.messages import utc
from daemon.edges.store.errors import StoreError, VaultError, translated
from daemon.edges.store.records import AuditEnds, Sealer

PAGE = 1000
_BEYOND = 2**53
"""No chain gets there: such a number is a flipped bit, and nothing could be counted on from it."""
_NEWEST = "audit WHERE number < ? ORDER BY number DESC LIMIT 1"
_SEAL = "(SELECT value FROM meta WHERE key = 'audit')"
_PUT_SEAL = "INSERT INTO meta VALUES ('audit', ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
_PUT_ROW = "INSERT INTO audit VALUES (?,?,?)"
_OVERTAKEN = 3
"""How often a walk begins anew because old records were let go under it."""


def begin(db: sqlite3.Connection, sealer: Sealer) -> None:
    """The anchor of a new store: random, so that no two stores share a chain."""
    anchor = Place(0, os.urandom(DIGEST_BYTES))
    db.execute(_PUT_ROW, (anchor.number, b"", anchor.digest))
    db.execute(_PUT_SEAL, (sealer.audit_ends(AuditEnds(anchor, anchor)),))


def reseal_ends(db: sqlite3.Connection, old: Sealer, new: Sealer) -> None:
    """The ends, sealed with another key. Raises VaultError where they do not open."""
    row = db.execute(f"SELECT {_SEAL}").fetchone()
    db.execute(_PUT_SEAL, (new.audit_ends(old.open_audit_ends(row[0])),))


@dataclass(frozen=True, slots=True)
class Walked:
    """A chain that was followed from end to end and is whole: it begins after `first`."""

    first: Place
    last: Place


class AuditTable:
    """The chain of one store. `broken` is the record from which on it was found broken, at the opening or since; not the whole chain is
    looked at for that, only its ends. Methods that write belong within a transaction of the store. All may raise StoreError."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self._db, self._sealer = connection, sealer
        self.broken: int | None = None

    # ---- writing

    def append(self, at_s: float, entry: Entry) -> Place:
        """One record more, of `at_s` (UTC seconds). Where the chain does not end as sealed, a record of that comes first, for good."""
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
        self._db.execute(_PUT_ROW, (place.number, record, place.digest))
        return place

    def _seal(self, ends: AuditEnds) -> None:
        self._db.execute(_PUT_SEAL, (self._sealer.audit_ends(ends),))

    def take_over(self, other: "AuditTable") -> None:
        """The chain of another store in place of this one, as it is: what is broken in it stays so. Unless it cannot be read at all."""
        ends = other._tail()[1]
        self._db.execute("SAVEPOINT chain")
        try:
            self._db.execute("DELETE FROM audit")
            self._db.executemany(_PUT_ROW, other.rows())
        except StoreError:
            self._db.execute("ROLLBACK TO chain")
            return
        finally:
            self._db.execute("RELEASE chain")
        if ends is None:  # the next record says so
            self._db.execute("DELETE FROM meta WHERE key = 'audit'")
        else:
            self._seal(ends)

    def prune(self, before_s: float, now_s: float, most: int = PAGE) -> int:
        """Let go of the oldest records, as far as they are of before `before_s`; how many, at most `most`. The rest still verifies.

        What cannot be read, or claims to be of after `now_s`, goes along with what comes after it.
        """
        before, now = utc(before_s), utc(now_s)
        ends = self._tail()[1]
        if ends is None:
            return 0
        anchor: Place | None = None
        for number, record, digest in self._page(ends.first.number, most):
            at = getattr(read(record), "at", None)
            if at is not None and before <= at <= now:
                break
            if at is not None and at < before and isinstance(number, int) and isinstance(digest, bytes):
                anchor = Place(number, digest)
        if anchor is None:
            return 0
        self._db.execute("UPDATE audit SET record = x'' WHERE number = ?", (anchor.number,))
        gone = self._db.execute("DELETE FROM audit WHERE number < ?", (anchor.number,)).rowcount
        self._seal(replace(ends, first=anchor))
        return int(gone)

    # ---- reading

    def head(self) -> Place:
        """The newest record: whoever keeps this elsewhere can tell later whether the chain still passes through it."""
        with translated("read"):
            return _place(self._db.execute(f"SELECT number, '', digest FROM {_NEWEST}", (_BEYOND,)).fetchone())

    def inspect(self) -> None:
        """Look at both ends of the chain, as far as a start can wait for: sets `broken`."""
        tail, ends = self._tail()
        rows = self._db.execute("SELECT number, record, digest FROM audit ORDER BY number DESC LIMIT 2").fetchall()
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
        """Every row with a number above `after`, in order, also the anchor. In pages, so that no reader holds up the daemon."""
        while page := self._page(after, PAGE):
            yield from page
            number = page[-1][0]
            if not isinstance(number, int) or number <= after:  # rows out of order, in a damaged file
                return
            after = number

    def verify(self, head: bytes | None = None) -> Walked:
        """Follow the whole chain, also beside a daemon that goes on writing.

        Raises AuditError, HeadError where it does not pass through the digest `head`, and StoreError for what cannot be read.
        """
        for _ in range(_OVERTAKEN):
            first = self._first()
            try:
                return self._walk(first, head)
            except AuditError:
                if self._first().number <= first.number:
                    raise
        raise StoreError("the audit chain cannot be followed: its old records go faster than it is read", "try again")

    def _walk(self, first: Place, head: bytes | None) -> Walked:
        anchor = next(iter(self._page(-1, 1)), None)
        if anchor is not None and anchor[1] != b"":
            raise AuditError(first.number, "nothing says what it builds on: what was before it is gone")
        if anchor is None or len(first.digest) != DIGEST_BYTES:
            raise AuditError(first.number + 1, "nothing says what it builds on")
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
        """The newest record's place as it stands there, and the sealed ends, None where they do not open; both of one instant."""
        with translated("read"):
            row = self._db.execute(f"SELECT number, '', digest, {_SEAL} FROM {_NEWEST}", (_BEYOND,)).fetchone()
            sealed = row[3] if row is not None else self._db.execute(f"SELECT {_SEAL}").fetchone()[0]
        try:
            ends = self._sealer.open_audit_ends(sealed)
        except VaultError:
            ends = None
        return _place(row), ends

    def _first(self) -> Place:
        return _place(next(iter(self._page(-1, 1)), None))

    def _page(self, after: int, most: int) -> list[Row]:
        try:
            return self._db.execute(
                "SELECT number, record, digest FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, most)
            ).fetchall()
        except sqlite3.DatabaseError as error:
            message = f"the audit chain cannot be read after record {max(after, 0)}: {error}"
            raise StoreError(message, "look at the disk; `ostiaryd check` says more") from error


def _place(row: tuple[object, ...] | None) -> Place:
    """As found: a digest that is none cannot be built on, and whatever is built on it does not verify."""
    number, digest = (row[0], row[2]) if row is not None else (0, b"")
    return Place(number if isinstance(number, int) else 0, digest if isinstance(digest, bytes) else b"")
