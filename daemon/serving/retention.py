"""Removes old audit records, a slice at a time, between the turns of the engine."""

import logging
from dataclasses import dataclass

from daemon.commands.order import Order
from daemon.edges.store import Store, StoreError

log = logging.getLogger("ostiary")

SLICE = 500
"""At most this many records are removed in one turn, which takes some milliseconds."""
PAUSE_S = 1.0
REST_S = 3600.0
UNPROVED_S = 30 * 86_400
"""Our clock is believed here only up to this long after the newest time that a command has proved: a clock that is years ahead must not
cost the records of those years."""


@dataclass(slots=True)
class Retention:
    """Owned by the engine, like the store. Records are kept for `keep_s` seconds."""

    store: Store
    order: Order
    keep_s: float
    _due_s: float = 0.0

    def tend(self, clock_s: float, now: float) -> None:
        """Remove a slice of what is too old at `now` (UTC seconds), if it is due; `clock_s` is of a clock that never steps."""
        if clock_s < self._due_s:
            return
        self._due_s = clock_s + REST_S
        try:
            proved = self.order.proved_time()
            if proved is None:  # no command yet, so nobody is enrolled and hardly anything recorded
                return
            now = min(now, proved + UNPROVED_S)
            with self.store.transaction():
                gone = self.store.audit.prune(now - self.keep_s, now, SLICE)
        except StoreError as error:  # old evidence stays; the gate's own writes will tell whether the disk fails
            log.warning("old audit records are kept for now: %s", error.message)
            return
        if gone:
            self._due_s = clock_s + PAUSE_S
