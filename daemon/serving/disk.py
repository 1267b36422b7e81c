"""Whether the disk takes writes, and the commands that wait until it does."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from daemon.core.values import Delivery
from daemon.edges.metrics import Metrics
from daemon.edges.store import Store, StoreError

RETRY_S = 2.0
LOW_BYTES = 128 << 20
LOW_SHARE = 0.1
"""With less room than this, or than this share of a small disk, the disk is low: the store needs some for its log, and fails without."""
LOOK_EVERY_S = 10.0
AGAIN_S = 5.0
LATE_S = 60.0
"""A backup or a check of a large gallery reads for some seconds."""


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


class Room:
    """How much room is left on the disk of a folder. `clock` never steps (seconds)."""

    def __init__(self, folder: Path, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._folder, self._metrics, self._clock = folder, metrics, clock
        self._due_s = float("-inf")
        self._low: str | None = None

    def low(self) -> str | None:
        """How much is left, if it is little; None if there is enough, or it cannot be read."""
        if self._clock() >= self._due_s:
            self._due_s = self._clock() + LOOK_EVERY_S
            free, self._low = None, None
            try:
                disk = os.statvfs(self._folder)
            except OSError:
                pass
            else:
                free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
                if free < min(LOW_BYTES, size * LOW_SHARE):
                    self._low = f"{free / 1e6:.0f} MB of {size / 1e6:.0f} MB are"
            self._metrics.disk_free(free)
        return self._low


class Erasure:
    """Completes what a reader of the store delays: SQLite keeps old pages in its log for it, also those of somebody who was revoked.
    Owned by the engine. `clock` never steps (seconds)."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._since_s: float | None = None
        self._tried_s = 0.0

    def tend(self) -> None:
        """Try again every few seconds, also while nothing else is written."""
        if not self._store.unsettled:
            self._since_s = None
            return
        now_s = self._clock()
        if self._since_s is None:
            self._since_s = self._tried_s = now_s
        elif now_s - self._tried_s >= AGAIN_S:
            self._tried_s = now_s
            self._store.settle_again()

    def late(self) -> str | None:
        """For how long something is not erased, if that is longer than a program usually reads."""
        waits_s = 0.0 if self._since_s is None else self._clock() - self._since_s
        return f"{waits_s // 60 * 60:.0f} s" if waits_s >= LATE_S else None
