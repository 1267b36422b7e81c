"""Reading the whole roster from the broker, a group of topics at a time: a broker drops what is more than a client's queue takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from daemon.core.people.roster_wire import GROUP, groups
from daemon.edges.store import Store

QUIET_S = 0.3
"""When nothing has come for so long, the broker has sent all that it retains of a group."""
AGAIN_S, LONGEST_S = 20.0, 600.0
PAGE = 2000

Ask = Callable[[Sequence[str]], bool]


@dataclass(slots=True)
class Reading:
    """Goes through the groups. `seen` is what the broker has sent since the beginning: person and writer to the digest of the record.
    Times are seconds of a clock that never steps."""

    site: str
    ask: Ask
    seen: dict[tuple[str, str], bytes] = field(default_factory=dict)
    done: bool = False
    """Whether the broker has sent everything once, on this connection."""
    _left: list[str] = field(default_factory=list)
    _together: int = 1
    """So many shards are asked for at a time."""
    _asked: int = 0
    _came: int = 0
    _last_s: float = 0.0
    _wait_s: float = AGAIN_S
    _over_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the broker has not sent everything."""
        return bool(self._left or self._asked)

    def begin(self, records: int | None) -> None:
        """Read all from the beginning; `records` is how many there are, as far as that is known."""
        together = groups(self.site, records)
        self._left, self._together = [one for group in together for one in group], len(together[0])
        self._asked, self._came, self._over_s = 0, 0, None
        self.seen.clear()

    def stop(self) -> None:
        """The connection is lost."""
        self._left, self._asked, self.done = [], 0, False

    def came(self, ident: str, writer: str, digest: bytes, now_s: float) -> None:
        """A record has come."""
        self._last_s = now_s
        if self.busy:
            self._came += 1
            self.seen[ident, writer] = digest

    def turn(self, now_s: float, *, waiting: bool) -> bool:
        """Ask for the next group when the one before has come; whether the last one has come just now. `waiting`: what has come is not yet
        dealt with."""
        if not self.busy or waiting or (self._asked and now_s - self._last_s < QUIET_S):
            return False
        if self._asked:  # as many at a time as about GROUP records need, and not many more than the last time
            least = self._asked * GROUP // max(1, self._came)
            self._together, self._asked, self._came = max(1, min(least, 4 * self._together)), 0, 0
        if self._left:
            if self.ask(self._left[: self._together]):
                self._asked, self._last_s = len(self._left[: self._together]), now_s
                del self._left[: self._together]
            return False
        self._over_s, self.done = now_s, True
        return True

    def due_again(self, now_s: float) -> bool:
        """Whether all should be read once more, because something is still missing. The waits double."""
        if self.busy or self._over_s is None or now_s - self._over_s < self._wait_s:
            return False
        self._wait_s = min(LONGEST_S, 2 * self._wait_s)
        return True

    def settled(self) -> None:
        """Nothing is missing."""
        self._wait_s = AGAIN_S


@dataclass(slots=True)
class Comparison:
    """What the broker has sent, compared with what is held, a page at a time: what it has lost."""

    store: Store
    seen: dict[tuple[str, str], bytes]
    _row: int = 0

    def page(self) -> tuple[list[int], bool]:
        """Rows that the broker has lost among the next ones, and whether these were the last. Raises StoreError."""
        rows = self.store.roster.digests(self._row, PAGE)
        if rows:
            self._row = rows[-1][0]
        lost = [row for row, ident, writer, digest in rows if self.seen.get((ident, writer)) != digest]
        return lost, len(rows) < PAGE
