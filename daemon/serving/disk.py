"""Whether the disk takes writes, and the commands that wait until it does."""

import logging
from collections.abc import Callable, Iterable

from daemon.core.values import Delivery
from daemon.edges.store import Store, StoreError

log = logging.getLogger("ostiary")

RETRY_S = 2.0


class Disk:
    """Owned by the engine. `clock` never steps (seconds). `trouble` says why the disk takes no writes; None while it works."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self.trouble: str | None = None
        self._tried_s = 0.0
        self._owed: list[Delivery] = []

    @property
    def works(self) -> bool:
        """Whether the last write succeeded."""
        return self.trouble is None

    def failed(self, detail: str) -> None:
        """A write has failed."""
        if self.works:
            log.error("gate closed: %s", detail)
        self.trouble, self._tried_s = detail, self._clock()

    def recovered(self) -> bool:
        """Whether a disk that has failed takes writes again. Tries it every RETRY_S seconds."""
        if self.works or self._clock() - self._tried_s < RETRY_S:
            return False
        self._tried_s = self._clock()
        try:
            self._store.probe()
        except StoreError:
            return False
        self.trouble = None
        log.info("the disk takes writes again; the gate reopens")
        return True

    def owe(self, deliveries: Iterable[Delivery]) -> None:
        """These commands were refused, or done in memory only, because the disk failed: they are dealt with again when it works."""
        for delivery in deliveries:
            # The broker delivers it again after each reconnect, and only the newest receipt counts.
            self._owed = [owed for owed in self._owed if _what(owed) != _what(delivery)] + [delivery]

    @property
    def owes(self) -> int:
        """How many commands wait until the disk works."""
        return len(self._owed)

    def take_owed(self) -> list[Delivery]:
        """The commands to deal with again, oldest first. They are owed no longer."""
        owed, self._owed = self._owed, []
        return owed


def _what(delivery: Delivery) -> tuple[str, str, bytes]:
    return delivery.gate, delivery.topic, delivery.payload
