"""By which time old records, messages and recordings are deleted: see `CountedTime`. It outlives a restart in the store."""

import threading
from collections.abc import Callable

from daemon.core.wall import CountedTime


class Ages:
    """Any thread may ask. `clock` never steps (seconds), `wall` is UTC seconds, `synchronised` tells whether a time service keeps it, and
    `before` is what the last run had counted."""

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], synchronised: Callable[[], bool], before: float | None
    ) -> None:
        self._clock, self._wall, self._synchronised = clock, wall, synchronised
        self._counted = CountedTime.begin(clock(), wall(), before)
        self._lock = threading.Lock()

    def now(self) -> float:
        """The time by which to delete, in UTC seconds."""
        with self._lock:
            return self._counted.now(self._clock(), self._wall(), synchronised=self._synchronised())

    def reached(self) -> float:
        """What to begin the next run with."""
        with self._lock:
            return self._counted.reached(self._clock())
