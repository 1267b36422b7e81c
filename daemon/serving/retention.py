"""Letting go of old audit records: a slice at a time, between the turns of the engine."""

import logging
from dataclasses import dataclass

from daemon.commands.desk import Desk
from daemon.edges.store import StoreError

log = logging.getLogger("ostiary")

SLICE = 500
"""Records a turn lets go of at most: some milliseconds."""
PAUSE_S = 1.0
REST_S = 3600.0
UNPROVED_S = 30 * 86_400
"""How far our clock may run ahead of the newest time that a command has proved and still be believed here: a clock that is years ahead must
not cost the records of these years."""


@dataclass(slots=True)
class Retention:
    """Owned by the engine, like the desk and its store."""

    desk: Desk
    keep_s: float
    _due_s: float = 0.0

    def tend(self, clock_s: float, now: float) -> None:
        """Let go of a slice of what is too old at `now` (UTC seconds), when it is time for it by a clock that never steps."""
        if clock_s < self._due_s:
            return
        self._due_s = clock_s + REST_S
        try:
            proved = self.desk.proved_time()
            if proved is None:  # no command yet, so nobody is enrolled and hardly anything recorded
                return
            now = min(now, proved + UNPROVED_S)
            with self.desk.store.transaction():
                gone = self.desk.store.audit.prune(now - self.keep_s, now, SLICE)
        except StoreError as error:  # old evidence stays; whether the disk is failing, the gate's own writes will tell
            log.warning("old audit records are kept for now: %s", error.message)
            return
        if gone:
            self._due_s = clock_s + PAUSE_S
