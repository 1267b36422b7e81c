"""What desks change here becomes records of this box."""

import logging
from dataclasses import dataclass, field

from daemon.core.people import roster_cards
from daemon.core.people.roster_wire import RosterError
from daemon.pipeline.serving import Current
from daemon.serving.roster.book import Book
from daemon.serving.roster.post import Post
from daemon.serving.roster.state import State

log = logging.getLogger("ostiary")

MOST = 16
"""So many records are written in a turn."""


@dataclass(slots=True)
class Writing:
    """Owned by the engine."""

    book: Book
    current: Current
    post: Post
    state: State
    _too_long: set[str] = field(default_factory=set)

    def turn(self) -> None:
        """Write the records of some people whom commands have changed. To be called before anything is taken: what is taken would hide the
        change. Raises StoreError."""
        edition, store = self.state.edition, self.book.store
        if edition is None or not self.state.whole:
            return
        people = [one for one in store.roster.unwritten(MOST + len(self._too_long)) if one not in self._too_long]
        if not people:
            self._rewrite(edition.keys.newest)
            return
        rows, alone = [], []
        with self.book.transaction():
            for person in people:
                record = self.current.people.get(person)
                card = roster_cards.card_of(record, store.templates_of(person)) if record is not None else roster_cards.revoked(person)
                try:
                    rows.append((self.book.write(card), record is None or record.suspended))
                except RosterError as error:
                    self._too_long.add(person)
                    log.error("a change is not shared with the other boxes: %s; give the person fewer templates (enroll, replace)", error)
                    continue
                store.roster.wrote(person)
                if record is not None and (record.shared or record.disputed):  # this box has the last word now
                    alone.append(roster_cards.person_of(card, record, shared=False))
                    store.put_person(alone[-1])
        for record in alone:
            self.current.put(record)
        for row, shuts_out in rows:
            self.post.add(row, first=shuts_out)

    def _rewrite(self, key: int) -> None:
        """The site has a new key: what this box has written is written anew, a few people at a time."""
        store = self.book.store
        if not (old := store.roster.old(self.book.name, key, MOST)):
            return
        with self.book.transaction():
            for held in old:
                record = self.book.records(held.ident).get(self.book.name)
                if record is not None:
                    store.roster.note(record.card.person)
