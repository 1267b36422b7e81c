"""The roster's turn in the engine: it takes what the fleet says, writes what this box says, and knows whether it holds everything.

Nothing of it takes long: a turn deals with a few records, stops when a view waits, and leaves embedding to a thread aside.
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.core.buckets import Bucket
from daemon.core.people import roster_cards, site_keys
from daemon.core.people.roster_head import HEAD, read_head
from daemon.core.people.roster_wire import RosterError, writer_of
from daemon.core.people.site_keys import KEY, Edition
from daemon.core.values import Delivery, Link, Published
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import SITE, Store, StoreError
from daemon.serving.roster.book import Book
from daemon.serving.roster.changes import Change, Changes
from daemon.serving.roster.keeper import Keeper
from daemon.serving.roster.mail import Mail
from daemon.serving.roster.post import Post
from daemon.serving.roster.reading import Comparison, Reading
from daemon.serving.roster.vectors import Vectors
from daemon.serving.sender import Broker

log = logging.getLogger("ostiary")

LONGEST_S = 0.03
"""So long a turn deals with records while nobody stands at a gate,"""
LEAST_S = 0.003
"""and so long when a view waits."""
HEARD_S = 3.0
"""So long after a connection all heads and keys that the broker retains have come."""
WRITTEN = 16
"""So many records are written in a turn."""

At = Literal["complete", "no_key", "no_head", "stale", "incomplete"]


@dataclass(frozen=True, slots=True)
class Turned:
    """What a turn has changed: people whose earlier evidence counts no more, people who are gone, whether there is anything new in memory,
    and whether there is more to do at once."""

    barred: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    changed: bool = False
    more: bool = False


@dataclass(slots=True)
class Roster:
    """Owned by the engine. `exchange` is the key that the site's keys are sealed to, `admin` whose word they are, `keepers` whose heads
    count. `keeper` is there if this box is one. `views_wait` says that somebody stands at a gate."""

    book: Book
    changes: Changes
    post: Post
    reading: Reading
    vectors: Vectors
    mail: Mail
    link: Broker
    exchange: X25519PrivateKey
    admin: Ed25519PublicKey
    keepers: Mapping[str, Ed25519PublicKey]
    metrics: Metrics
    views_wait: Callable[[], bool]
    keeper: Keeper | None = None
    edition: Edition | None = None
    down: str | None = "it is being opened"
    whole: bool = False
    """Whether this box has once held the whole roster. Before that it writes nothing and keeps nothing: it may have forgotten what it
    wrote."""
    _newest: int = 0
    _up_s: float | None = None
    _missed: bool = False
    _comparison: Comparison | None = None
    _resync: bool = False
    _repairs: Bucket = field(default_factory=lambda: Bucket(20.0, 500.0))
    _logged: deque[bytes] = field(default_factory=lambda: deque(maxlen=1000))
    _too_long: set[str] = field(default_factory=set)

    @property
    def store(self) -> Store:
        return self.book.store

    def standing(self, now: float) -> At:
        """Whether this box holds the whole roster at `now` (UTC seconds)."""
        return "no_key" if self.edition is None else self.book.coverage.standing(now)

    # ---- one turn

    def turn(self, now_s: float, now: float) -> Turned:
        """Go on a little, at `now_s` (a clock that never steps) and `now` (UTC seconds). Raises StoreError."""
        self._events(now_s)
        self._write()
        changes = self._take(now_s, now)
        embedded = self.vectors.turn()
        self._read_on(now_s)
        self._compare(now, changes)
        self._keep(now_s, now)
        self._settle(now)
        self.post.send()
        return Turned(
            tuple(change.person for change in changes if change.barred),
            tuple(change.person for change in changes if change.record is None),
            bool(changes) or embedded,
            bool(self.mail) or self._comparison is not None,
        )

    def close(self) -> None:
        """End what goes on aside."""
        self.vectors.close()

    def _events(self, now_s: float) -> None:
        for event in self.mail.events():
            match event:
                case Published():
                    self.post.answered(event)
                case Link(up=False):
                    self.down, self._up_s = event.detail, None
                    self.reading.stop()
                case Link():
                    log.info("roster %s: broker connected", self.book.name, extra=fields(roster=self.book.name))
                    self.down, self._up_s, self._newest = None, now_s, 0
                    self.post.connected()
                    if self.keeper is not None:
                        self.keeper.again()
                    if event.begun or not self.whole or self._missed:
                        self._begin_reading()

    # ---- what desks have changed here

    def _write(self) -> None:
        """Write the records of people whom commands have changed. Before anything is taken: what is taken would hide the change."""
        if self.edition is None or not self.whole:
            return
        people = self.store.roster.unwritten(WRITTEN + len(self._too_long))
        if not people:
            self._rewrite(self.edition.keys.newest)
            return
        rows: list[tuple[int, bool]] = []
        records = self.changes.current.people
        alone = []
        with self.book.transaction():
            for person in people:
                record = records.get(person)
                card = roster_cards.card_of(record, self.store.templates_of(person)) if record else roster_cards.revoked(person)
                try:
                    rows.append((self.book.write(card), record is None or record.suspended))
                except RosterError as error:
                    self._complain(person, error)
                    continue
                self.store.roster.wrote(person)
                if record is not None and (record.shared or record.disputed):
                    alone.append(roster_cards.person_of(card, record, shared=False))
                    self.store.put_person(alone[-1])
        for record in alone:
            self.changes.current.put(record)
        for row, shuts_out in rows:
            self.post.add(row, first=shuts_out)

    def _rewrite(self, key: int) -> None:
        """The site has a new key: what this box has written is written anew, a few people at a time."""
        if not (old := self.store.roster.old(self.book.name, key, WRITTEN)):
            return
        with self.book.transaction():
            for held in old:
                record = self.book.records(held.ident).get(self.book.name)
                if record is not None:
                    self.store.roster.note(record.card.person)

    def _complain(self, person: str, error: RosterError) -> None:
        if person not in self._too_long:
            self._too_long.add(person)
            log.error("a change is not shared with the other boxes: %s; give the person fewer templates (enroll with replace)", error)

    # ---- what the fleet says

    def _take(self, now_s: float, now: float) -> list[Change]:
        """Deal with some of what has come, in its order."""
        changes: list[Change] = []
        begun_s = time.perf_counter()
        while self.mail and (spent_s := time.perf_counter() - begun_s) < LONGEST_S:
            changes += self._slice(now_s, now, begun_s)
            if self.views_wait() and spent_s >= LEAST_S:
                break
        return changes

    def _slice(self, now_s: float, now: float, begun_s: float) -> list[Change]:
        """Records up to the next head or key in one transaction, and then that."""
        taken: list[Delivery] = []
        last: Delivery | None = None
        changes: list[Change] = []
        touched: set[str] = set()
        try:
            with self.book.transaction():
                while (delivery := self.mail.take()) is not None:
                    taken.append(delivery)
                    what, writer = _place(delivery.topic)
                    if what in (HEAD, KEY):
                        last = delivery
                        break
                    if what in touched:
                        self.mail.give_back([taken.pop()])
                        break
                    touched.add(what)
                    if (change := self._record(delivery, what, writer, now_s, now)) is not None:
                        changes.append(change)
                    spent_s = time.perf_counter() - begun_s
                    if spent_s >= LONGEST_S or (spent_s >= LEAST_S and self.views_wait()):
                        break
        except StoreError:
            self.mail.give_back(taken)
            raise
        except Exception as error:  # noqa: BLE001  no message ends the process
            self._failed(taken, error)
            return []
        self.changes.enter(changes)
        for change in changes:
            if change.lacking is not None:
                self.vectors.need(change.lacking)
        if last is not None:
            self._said(last, now_s, now)
        for delivery in taken:
            self.link.acknowledge(delivery.receipt)
        return changes

    def _record(self, delivery: Delivery, ident: str, writer: str, now_s: float, now: float) -> Change | None:
        """A record, within a transaction: held if it is newer than what is held."""
        digest = hashlib.sha256(delivery.payload).digest()
        self.reading.came(ident, writer, digest, now_s)
        if self.book.has(ident, writer, digest):
            return None
        if digest in self._logged:  # it was looked at, and counts for nothing
            self._repair(ident, writer, now_s)
            return None
        try:
            record = self.book.read(delivery.topic, delivery.payload)
        except RosterError as error:
            self._missed = self._missed or error.reason in ("no_key", "unknown_key")
            if error.reason != "no_key":
                self._reject(delivery, digest, error)
            self._repair(ident, writer, now_s)
            return None
        if not self.book.take(ident, record, delivery.payload):
            self.metrics.roster_rejected("old")
            self._repair(ident, writer, now_s)
            return None
        word = self.book.word(ident)
        return self.changes.write(word, now) if word is not None else None

    def _repair(self, ident: str, writer: str, now_s: float) -> None:
        """Somebody has put something else in the place of a record at the broker. A keeper puts it back, and so does its writer."""
        if self.keeper is None and writer != self.book.name:
            return
        found = self.store.roster.row(ident, writer)
        if found is not None and self._repairs.allows(now_s):
            self.store.roster.call_due([found[0]])
            self.post.add(found[0])

    def _said(self, delivery: Delivery, now_s: float, now: float) -> None:
        """A head, or the site's keys."""
        try:
            if _place(delivery.topic)[0] == KEY:
                self._keys(delivery, now)
            else:
                self._head(delivery, now_s, now)
        except RosterError as error:
            self._reject(delivery, hashlib.sha256(delivery.payload).digest(), error)

    def _head(self, delivery: Delivery, now_s: float, now: float) -> None:
        coverage = self.book.coverage
        mine = self.keeper is not None and _place(delivery.topic)[1] == self.book.name
        try:
            head = read_head(delivery.topic, delivery.payload, self.keepers)
        except RosterError:
            if mine and self.keeper is not None:
                self.keeper.again()
            raise
        self._newest = max(self._newest, head.number)
        if delivery.retained and not self.whole:
            # A broker may have come back from an old backup, with an old head. Who has held everything knows the numbers; a new box waits
            # for the keeper itself.
            coverage.highest = max(coverage.highest, head.number)
            return
        if not coverage.hear(head, now):
            if mine and self.keeper is not None and head.number < coverage.highest:
                self.keeper.again()  # somebody has put an old one in its place
            raise RosterError(f"the head {head.number} is old, or not of this time", "head_not_believed")
        self.store.put_roster_place(coverage.highest, self.whole)

    def _keys(self, delivery: Delivery, now: float) -> None:
        given = site_keys.opened(self.book.site, self.book.name, delivery.payload, self.exchange, self.admin)
        edition = site_keys.advanced(self.edition, given)
        if edition == self.edition:
            return
        with self.store.transaction():
            self.store.put_secret(SITE, site_keys.to_bytes(edition))
        more = self.edition is None or set(edition.keys.sealing) - set(self.edition.keys.sealing)
        self.edition = self.book.holder = edition
        log.info("the site's keys, edition %d: new records are sealed with key %d", edition.number, edition.keys.newest)
        if more and (self._missed or not self.whole):
            self._begin_reading()

    def _reject(self, delivery: Delivery, digest: bytes, error: RosterError) -> None:
        """Something counts for nothing. It is said once."""
        self.metrics.roster_rejected(error.reason)
        if digest not in self._logged:
            self._logged.append(digest)
            log.warning(
                "the roster: something on %s counts for nothing: %s; see who may publish there", delivery.topic, error,
                extra=fields(topic=delivery.topic, sha256=digest.hex(), reason=error.reason),
            )  # fmt: skip

    def _failed(self, taken: list[Delivery], error: Exception) -> None:
        """The box itself has failed at the last of these. It is not tried again."""
        *others, bad = taken
        log.error("the roster: a record could not be dealt with", exc_info=error)
        self._reject(bad, hashlib.sha256(bad.payload).digest(), RosterError(f"{type(error).__name__}", "internal"))
        self.link.acknowledge(bad.receipt)
        self.mail.give_back(others)

    # ---- reading everything, and what the broker has lost

    def resync(self) -> None:
        """Read all records anew; those of others that the broker does not have are thrown away."""
        self._resync = True
        self._begin_reading()

    def _begin_reading(self) -> None:
        if self.edition is not None:
            head = self.book.coverage.head
            self._missed, self._comparison = False, None
            self.reading.begin(sum(part.records for part in head.writers.values()) if head is not None else None)

    def _read_on(self, now_s: float) -> None:
        if self._up_s is None:
            return
        heard = now_s - self._up_s >= HEARD_S
        if self.reading.turn(now_s, waiting=bool(self.mail)):
            seen = dict(self.reading.seen)
            if self._resync or (self.keeper is not None and self.whole):
                self._comparison = Comparison(self.store, seen, None)
        elif (self.book.coverage.lacking() or not self.whole) and self.reading.due_again(now_s):
            self._begin_reading()
        if self.keeper is None or not heard:
            return
        if not self.whole and self.reading.done and not self._newest and not self.book.coverage.highest:
            self._become_whole()  # the first keeper of a new roster: nobody has ever said what is in it
        if self.whole and self._newest < self.book.coverage.highest and not self.reading.busy:
            self._newest = self.book.coverage.highest
            log.warning("the broker has lost the newest head of the roster, and with it perhaps records: they are compared")
            self._begin_reading()

    def _compare(self, now: float, changes: list[Change]) -> None:
        """Give the broker back what it has lost; after a `resync`, throw away what only this box has of others."""
        if self._comparison is None:
            return
        lost, over = self._comparison.page()
        if lost:
            with self.book.transaction():
                for row in lost:
                    self._lost(row, now, changes)
        if over:
            self._comparison = None
            if self._resync:
                self._resync = False
                self.book.load()
                self.book.coverage.begin_anew()

    def _lost(self, row: int, now: float, changes: list[Change]) -> None:
        held = self.store.roster.at(row)
        if held is None:
            return
        if not self._resync or held.writer == self.book.name:
            self.store.roster.call_due([row])
            self.post.add(row)
            return
        record = self.book.records(held.ident).get(held.writer)
        self.store.roster.drop(row)
        word = self.book.word(held.ident)
        change: Change | None = None
        if word is not None:
            change = self.changes.write(word, now)
        elif record is not None:
            change = self.changes.remove(record.card.person, now)
        if change is not None:
            self.changes.enter([change])
            changes.append(change)

    # ---- heads

    def _keep(self, now_s: float, now: float) -> None:
        if self.keeper is None or self.edition is None or not self.whole or self._up_s is None or now_s - self._up_s < HEARD_S:
            return
        if not self.store.roster.unwritten(1):  # what it has to say itself belongs into the head
            self.keeper.tend(max(self.book.coverage.highest, self._newest) + 1, now_s, now)

    def _settle(self, now: float) -> None:
        """Note that this box holds everything, and that the fleet has what this box has written."""
        coverage = self.book.coverage
        if coverage.head is None or coverage.standing(now) != "complete" or self.edition is None:
            return
        if not self.whole:
            self._become_whole()
        self.reading.settled()
        mine, counted = coverage.writers.get(self.book.name), coverage.head.writers.get(self.book.name)
        if mine is None or (counted is not None and counted.sum == mine.text):
            self.post.counted()

    def _become_whole(self) -> None:
        self.whole = True
        self.store.put_roster_place(self.book.coverage.highest, whole=True)
        log.info("roster %s: everything is here", self.book.name, extra=fields(roster=self.book.name))


def _place(topic: str) -> tuple[str, str]:
    """The person (or `head`, `key`) and the writer of a topic; what is no topic of the roster is nobody's."""
    try:
        return writer_of(topic)
    except RosterError:
        return topic, ""
