"""What the fleet says, a few messages a turn: records become people here, heads say what there is, and the administrator gives keys.

Nothing of it takes long: a turn stops when a view waits, and what has come is made durable aside before it is acknowledged (`Receipts`).
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.core.buckets import Bucket
from daemon.core.people import site_keys
from daemon.core.people.roster_head import HEAD, read_head
from daemon.core.people.roster_wire import RosterError, writer_of
from daemon.core.people.site_keys import KEY
from daemon.core.values import Delivery
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import SITE, StoreError
from daemon.serving.roster.book import Book, Word
from daemon.serving.roster.changes import Change, Changes
from daemon.serving.roster.keeper import Keeper
from daemon.serving.roster.mail import Mail
from daemon.serving.roster.post import Post
from daemon.serving.roster.reading import Reading
from daemon.serving.roster.receipts import Receipts
from daemon.serving.roster.state import State
from daemon.serving.sender import Broker

log = logging.getLogger("ostiary")

LONGEST_S = 0.01
"""So long a turn deals with records while no view waits,"""
LEAST_S = 0.003
"""and so long when one does."""
REVIEWED = 32
REPAIRS = (20.0, 500.0)
"""Records given back to the broker in answer to others that came in their place: so many a second, and so many at once."""


@dataclass(slots=True)
class Inbox:
    """Owned by the engine. `exchange` is the key that the site's keys are sealed to, `admin` whose word they are, `keepers` whose heads
    count; `keeper` is there if this box is one. `views_wait` says that somebody stands at a gate."""

    book: Book
    changes: Changes
    post: Post
    reading: Reading
    receipts: Receipts
    mail: Mail
    link: Broker
    state: State
    exchange: X25519PrivateKey
    admin: Ed25519PublicKey
    keepers: Mapping[str, Ed25519PublicKey]
    metrics: Metrics
    views_wait: Callable[[], bool]
    keeper: Keeper | None
    _repairs: Bucket = field(default_factory=lambda: Bucket(*REPAIRS))
    _logged: deque[bytes] = field(default_factory=lambda: deque(maxlen=1000))

    def turn(self, now_s: float, now: float) -> list[Change]:
        """Deal with some of what has come, in its order, at `now_s` (a clock that never steps) and `now` (UTC seconds); what it has changed
        in store and memory. Raises StoreError."""
        changes = self._review(now)
        begun_s = time.perf_counter()
        while self.mail and not self._enough(begun_s):
            changes += self._slice(now_s, now, begun_s)
        return changes

    def _enough(self, begun_s: float) -> bool:
        spent_s = time.perf_counter() - begun_s
        return spent_s >= LONGEST_S or (spent_s >= LEAST_S and self.views_wait())

    def _slice(self, now_s: float, now: float, begun_s: float) -> list[Change]:
        """Records up to the next head or key in one transaction, and then that."""
        taken: list[Delivery] = []
        changes: list[Change] = []
        people: set[str] = set()
        try:
            with self.book.transaction(unhurried=True):
                while (delivery := self.mail.take()) is not None:
                    taken.append(delivery)
                    what, writer = _place(delivery.topic)
                    if what in (HEAD, KEY):
                        break
                    if what in people:  # memory follows when the transaction is over
                        self.mail.give_back([taken.pop()])
                        break
                    people.add(what)
                    if (change := self._record(delivery, what, writer, now_s, now)) is not None:
                        changes.append(change)
                    if self._enough(begun_s):
                        break
        except StoreError:
            self.mail.give_back(taken)
            raise
        except Exception as error:  # noqa: BLE001  no message ends the process
            self._failed(taken, error)
            return []
        self.changes.enter(changes)
        if taken and _place(taken[-1].topic)[0] in (HEAD, KEY):
            self._said(taken[-1], now)
        self.receipts.took(delivery.receipt for delivery in taken)
        return changes

    # ---- records

    def _record(self, delivery: Delivery, ident: str, writer: str, now_s: float, now: float) -> Change | None:
        """Hold a record if it is newer than what is held. Within a transaction."""
        digest = hashlib.sha256(delivery.payload).digest()
        self.reading.came(ident, writer, digest, now_s)
        if self.book.has(ident, writer, digest):
            return None
        try:
            if digest in self._logged:  # it was looked at before
                raise RosterError("it counts for nothing", "repeated")
            record = self.book.read(delivery.topic, delivery.payload)
            if not self.book.take(ident, record, delivery.payload):
                raise RosterError("it is older than what this box holds", "old")
        except RosterError as error:
            self.state.missed = self.state.missed or error.reason in ("no_key", "unknown_key")
            if error.reason != "no_key":
                self._reject(delivery, digest, error)
            self._repair(ident, writer, now_s)
            return None
        return self._apply(ident, now)

    def _apply(self, ident: str, now: float) -> Change | None:
        """What all records say of a person, in force here. Within a transaction.

        A box that is set up anew or restored may read its own old records before those that revoke: until it has everything, everybody in
        them counts as shared, and is rejected."""
        word = self.book.word(ident)
        if word is None:
            return None
        return self.changes.write(word if self.state.whole else Word(word.card, shared=True), now)

    def _review(self, now: float) -> list[Change]:
        """This box holds everything now: who is only its own counts as its own again. And whom a retired box let in is let in no more."""
        if self.state.reviewed is None or self.state.edition is None:
            return []
        found: list[Change] = []
        rows = self.book.store.roster.digests(self.state.reviewed, REVIEWED)
        if due := [ident for _, ident, writer, _ in rows if writer == self.book.name or writer in self.book.retired]:
            with self.book.transaction(unhurried=True):
                found = [change for ident in dict.fromkeys(due) if (change := self._apply(ident, now)) is not None]
            self.changes.enter(found)
        self.state.reviewed = rows[-1][0] if rows else None
        return found

    def _repair(self, ident: str, writer: str, now_s: float) -> None:
        """Somebody has put something else in the place of a record at the broker. A keeper puts it back, and so does its writer."""
        if self.keeper is None and writer != self.book.name:
            return
        found = self.book.store.roster.row(ident, writer)
        if found is not None and self._repairs.allows(now_s):
            self.book.store.roster.call_due([found[0]])
            self.post.add(found[0])

    # ---- heads and keys

    def _said(self, delivery: Delivery, now: float) -> None:
        try:
            if _place(delivery.topic)[0] == KEY:
                self._keys(delivery)
            else:
                self._head(delivery, now)
        except RosterError as error:
            self._reject(delivery, hashlib.sha256(delivery.payload).digest(), error)

    def _head(self, delivery: Delivery, now: float) -> None:
        coverage, state = self.book.coverage, self.state
        mine = self.keeper if _place(delivery.topic)[1] == self.book.name else None
        try:
            head = read_head(delivery.topic, delivery.payload, self.keepers)
        except RosterError:
            if mine is not None:
                mine.again()
            raise
        state.newest = max(state.newest, head.number)
        if delivery.retained and not state.whole:
            # A broker may have come back from an old backup, with an old head. Who has held everything knows the numbers; a new box waits
            # for the keeper itself.
            coverage.highest = max(coverage.highest, head.number)
            return
        if not coverage.hear(head, now):
            if mine is not None and head.number < coverage.highest:
                mine.again()  # somebody has put an old one in its place
            raise RosterError(f"the head {head.number} is old, or not of this time", "head_not_believed")
        self.book.store.put_roster_place(coverage.highest, state.whole)

    def _keys(self, delivery: Delivery) -> None:
        state, store = self.state, self.book.store
        given = site_keys.opened(self.book.site, self.book.name, delivery.payload, self.exchange, self.admin)
        before, edition = state.edition, site_keys.advanced(state.edition, given)
        if edition == before:
            return
        with store.transaction():
            store.put_secret(SITE, site_keys.to_bytes(edition))
        state.edition = self.book.holder = edition
        log.info("the site's keys, edition %d: new records are sealed with key %d", edition.number, edition.keys.newest)
        more = before is None or set(edition.keys.sealing) - set(before.keys.sealing)
        state.wanted = state.wanted or bool(more and (state.missed or not state.whole))

    # ---- what counts for nothing

    def _reject(self, delivery: Delivery, digest: bytes, error: RosterError) -> None:
        """It is counted, and said once."""
        self.metrics.roster_rejected(error.reason)
        if digest not in self._logged and error.reason != "old":
            self._logged.append(digest)
            log.warning(
                "the roster: something on %s counts for nothing: %s; see who may publish there", delivery.topic, error,
                extra=fields(topic=delivery.topic, sha256=digest.hex(), reason=error.reason),
            )  # fmt: skip

    def _failed(self, taken: list[Delivery], error: Exception) -> None:
        """The box itself has failed at the last of these. It is not tried again."""
        *others, bad = taken
        log.error("the roster: a record could not be dealt with", exc_info=error)
        self._reject(bad, hashlib.sha256(bad.payload).digest(), RosterError(type(error).__name__, "internal"))
        self.receipts.took([bad.receipt])
        self.mail.give_back(others)


def _place(topic: str) -> tuple[str, str]:
    """The person (or `head`, `key`) and the writer of a topic; what is no topic of the roster is nobody's."""
    try:
        return writer_of(topic)
    except RosterError:
        return topic, ""
