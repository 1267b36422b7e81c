"""Removes old audit records and old answers, a slice at a time, between the turns of the engine."""

import logging
from dataclasses import dataclass

from daemon.commands.order import Order
from daemon.edges.store import KEEP_RESULTS_S, Store, StoreError

log = logging.getLogger("ostiary")

SLICE = 500
"""At most this many records are removed, and this many answers looked at, in one turn, which takes some milliseconds."""
PAUSE_S = 1.0
REST_S = 3600.0
UNPROVED_S = 30 * 86_400
"""Our clock is believed here only up to this long after the newest time that a command has proved: a clock that is years ahead must not
cost the records of those years."""


@dataclass(slots=True)
class Retention:
    """Owned by the engine, like the store. Records are kept for `keep_s` seconds, and answers for KEEP_RESULTS_S."""

    store: Store
    order: Order
    keep_s: float
    _due_s: float = 0.0
    _after_id: str = ""

    def tend(self, clock_s: float, now: float, reached: float | None = None) -> None:
        """Remove a slice of what is too old at `now` (UTC seconds), if it is due; `clock_s` is of a clock that never steps. `reached` is
        noted for the next run, as what this one has counted."""
        if clock_s < self._due_s:
            return
        self._due_s = clock_s + REST_S
        try:
            if reached is not None:
                with self.store.transaction():
                    self.store.put_counted_time(reached)
            proved = self.order.proved_time()
            if proved is None:  # no command yet, so nobody is enrolled and hardly anything recorded
                return
            now = min(now, proved + UNPROVED_S)
            with self.store.transaction():
                gone = self.store.audit.prune(now - self.keep_s, now, SLICE)
                after_id = self.store.prune_results(now - KEEP_RESULTS_S, self._after_id, SLICE)
            self._after_id = after_id or ""
        except StoreError as error:  # old evidence stays; the gate's own writes will tell whether the disk fails
            log.warning("old audit records and answers are kept for now: %s; %s", error.message, error.hint)
            return
        if gone or after_id:
            self._due_s = clock_s + PAUSE_S
