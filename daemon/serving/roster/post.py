"""Records on their way to the fleet. One stays due until a head of the roster counts it: until then, only this box has it for sure."""

from collections import deque
from dataclasses import dataclass, field

from daemon.core.people.roster_wire import topic
from daemon.core.values import Outgoing, Published
from daemon.edges.store import Store
from daemon.serving.sender import Broker


@dataclass(slots=True)
class Post:
    """Owned by the engine. `refused` is what the broker said about the last record that it did not take on this connection."""

    site: str
    store: Store
    link: Broker
    refused: str | None = None
    _queue: deque[int] = field(default_factory=deque)
    _offered: dict[int, bytes] = field(default_factory=dict)
    _taken: dict[int, bytes] = field(default_factory=dict)

    def connected(self) -> None:
        """There is a new connection: all that is due goes out, again perhaps. Raises StoreError."""
        self._queue = deque(self.store.roster.due())
        self._offered.clear()
        self._taken.clear()
        self.refused = None

    def add(self, row: int, *, first: bool = False) -> None:
        """A record is due. `first`: it shuts somebody out."""
        if first:
            self._queue.appendleft(row)
        else:
            self._queue.append(row)

    def send(self) -> None:
        """Offer what waits, as far as the connection takes it. Raises StoreError."""
        while self._queue and self.link.connected:
            held = self.store.roster.at(self._queue[0])
            if held is not None:
                out = Outgoing(self._queue[0], topic(self.site, held.ident, held.writer), held.payload, retain=True)
                if not self.link.publish(out):
                    return
                self._offered[self._queue[0]] = held.digest
            self._queue.popleft()

    def answered(self, published: Published) -> None:
        """The broker has taken a record, or refused it."""
        digest = self._offered.pop(published.row, None)
        if published.error is not None:
            self.refused = published.error
        elif digest is not None:
            self._taken[published.row] = digest

    def counted(self) -> None:
        """A keeper counts everything that this box has written: what the broker has taken is due no more. Raises StoreError."""
        if self._taken:
            self.store.roster_sent(list(self._taken.items()))
            self._taken.clear()
