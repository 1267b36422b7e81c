"""The roster's turn in the engine: it writes what this box says, takes what the fleet says, and knows whether this box holds everything."""

import logging
from dataclasses import dataclass

from daemon.core.values import Link, Published
from daemon.edges.journal import fields
from daemon.serving.roster.book import Book
from daemon.serving.roster.changes import Change, Changes
from daemon.serving.roster.inbox import Inbox
from daemon.serving.roster.keeper import Keeper
from daemon.serving.roster.mail import Mail
from daemon.serving.roster.post import Post
from daemon.serving.roster.reading import Comparison, Reading
from daemon.serving.roster.receipts import Receipts
from daemon.serving.roster.state import At, State
from daemon.serving.roster.vectors import Vectors
from daemon.serving.roster.writing import Writing
from daemon.serving.sender import Broker

log = logging.getLogger("ostiary")

HEARD_S = 3.0
"""So long after a connection all heads and keys that the broker retains have come."""


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
    """Owned by the engine. `keeper` is there if this box is one."""

    book: Book
    changes: Changes
    writing: Writing
    inbox: Inbox
    post: Post
    reading: Reading
    vectors: Vectors
    receipts: Receipts
    mail: Mail
    link: Broker
    state: State
    keeper: Keeper | None = None
    _comparison: Comparison | None = None

    def standing(self, now: float) -> At:
        """Whether this box holds the whole roster at `now` (UTC seconds)."""
        if self.state.edition is None:
            return "no_key"
        if self.state.reviewed is not None and self.book.retired:
            return "incomplete"  # a box was retired since the last start, perhaps
        return self.book.coverage.standing(now)

    def turn(self, now_s: float, now: float) -> Turned:
        """Go on a little, at `now_s` (a clock that never steps) and `now` (UTC seconds). Raises StoreError."""
        self._events(now_s)
        self.writing.turn()
        changes = self.inbox.turn(now_s, now)
        for change in changes:
            if change.lacking is not None:
                self.vectors.need(change.lacking)
        embedded = self.vectors.turn()
        self._read_on(now_s)
        changes += self._compare(now)
        self._keep(now_s, now)
        self._settle(now)
        self.post.send()
        self.receipts.turn()
        return Turned(
            tuple(change.person for change in changes if change.barred),
            tuple(change.person for change in changes if change.record is None),
            bool(changes) or embedded,
            bool(self.mail) or self._comparison is not None or self.state.reviewed is not None,
        )

    def resync(self) -> None:
        """Read all records anew; those of others that the broker does not have are thrown away."""
        self.state.wanted = self.state.anew = True

    def close(self) -> None:
        """End what goes on aside."""
        self.vectors.close()
        self.receipts.close()

    def _events(self, now_s: float) -> None:
        state = self.state
        for event in self.mail.events():
            match event:
                case Published():
                    self.post.answered(event)
                case Link(up=False):
                    state.down, state.up_s = event.detail, None
                    state.wanted = state.wanted or self.reading.busy
                    self.reading.stop()
                case Link():
                    log.info("roster %s: broker connected", self.book.name, extra=fields(roster=self.book.name))
                    state.down, state.up_s, state.newest = None, now_s, 0
                    state.wanted = state.wanted or event.begun or not state.whole
                    self.post.connected()
                    if self.keeper is not None:
                        self.keeper.again()

    # ---- reading everything, and what the broker has lost

    def _read_on(self, now_s: float) -> None:
        state, coverage = self.state, self.book.coverage
        if state.up_s is None or state.edition is None:
            return
        heard = now_s - state.up_s >= HEARD_S
        if state.wanted:
            state.wanted, state.missed, self._comparison = False, False, None
            head = coverage.head
            self.reading.begin(sum(part.records for part in head.writers.values()) if head is not None else None)
        elif self.reading.turn(now_s, waiting=bool(self.mail)):
            seen, self.reading.seen = self.reading.seen, {}
            if state.anew or (self.keeper is not None and state.whole):
                self._comparison = Comparison(self.book.store, seen)
        elif coverage.lacking() or not state.whole:
            state.wanted = self.reading.due_again(now_s)
        if self.keeper is None or not heard or self.reading.busy:
            return
        if not state.whole and self.reading.done and not state.newest and not coverage.highest:
            self._become_whole()  # the first keeper of a new roster: nobody has ever said what is in it
        if state.whole and state.newest < coverage.highest:
            state.newest, state.wanted = coverage.highest, True
            log.warning("the broker has lost the newest head of the roster, and with it perhaps records: they are compared")

    def _compare(self, now: float) -> list[Change]:
        """Give the broker back what it has lost; after a `resync`, throw away what only this box has of others."""
        if self._comparison is None:
            return []
        changes: list[Change] = []
        lost, over = self._comparison.page()
        if lost:
            with self.book.transaction():
                changes = [change for row in lost if (change := self._lost(row, now)) is not None]
            self.changes.enter(changes)
        if over:
            self._comparison = None
            if self.state.anew:
                self.state.anew = False
                self.book.load()
                self.book.coverage.begin_anew()
        return changes

    def _lost(self, row: int, now: float) -> Change | None:
        store = self.book.store
        held = store.roster.at(row)
        if held is None:
            return None
        if not self.state.anew or held.writer == self.book.name:
            store.roster.call_due([row])
            self.post.add(row)
            return None
        record = self.book.records(held.ident).get(held.writer)
        store.roster.drop(row)
        word = self.book.word(held.ident)
        if word is not None:
            return self.changes.write(word, now)
        return self.changes.remove(record.card.person, now) if record is not None else None

    # ---- heads

    def _keep(self, now_s: float, now: float) -> None:
        state = self.state
        if self.keeper is None or state.edition is None or not state.whole or state.up_s is None or now_s - state.up_s < HEARD_S:
            return
        if not self.book.store.roster.unwritten(1):  # what it has to say itself belongs into the head
            self.keeper.tend(max(self.book.coverage.highest, state.newest) + 1, now_s, now)

    def _settle(self, now: float) -> None:
        """Note that this box holds everything, and that the fleet has what this box has written."""
        coverage = self.book.coverage
        if coverage.head is None or self.standing(now) != "complete":
            return
        if not self.state.whole:
            self._become_whole()
        self.reading.settled()
        mine, counted = coverage.writers.get(self.book.name), coverage.head.writers.get(self.book.name)
        if mine is None or (counted is not None and counted.sum == mine.text):
            self.post.counted()

    def _become_whole(self) -> None:
        self.state.whole, self.state.reviewed = True, 0
        self.book.store.put_roster_place(self.book.coverage.highest, whole=True)
        log.info("roster %s: everything is here", self.book.name, extra=fields(roster=self.book.name))
