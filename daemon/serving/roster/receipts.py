"""What has come is acknowledged when the disk has it. The disk is waited for aside: thousands of records may come, and frames go on."""

from collections.abc import Iterable

from daemon.edges.gallery.background import Aside
from daemon.edges.store import Store, flush
from daemon.serving.sender import Broker

Receipt = tuple[int, int, int]


class Receipts:
    """Owned by the engine."""

    def __init__(self, link: Broker, store: Store, aside: Aside[bool]) -> None:
        self._link, self._store, self._aside = link, store, aside
        self._path = store.path
        self._waiting: list[Receipt] = []
        self._flushing: list[Receipt] = []

    def took(self, receipts: Iterable[Receipt]) -> None:
        """A transaction that is not durable yet has dealt with these."""
        self._waiting += receipts

    def turn(self) -> None:
        """Acknowledge what the disk has, and have it take the rest. Raises StoreError."""
        if (outcome := self._aside.outcome()) is not None:
            flushed, self._flushing = self._flushing, []
            if isinstance(outcome, Exception):
                self._waiting = flushed + self._waiting
                self._store.probe()  # a transaction like any other: durable, or an error that closes the gate
            else:
                for receipt in flushed:
                    self._link.acknowledge(receipt)
        if self._waiting and not self._aside.busy:
            self._flushing, self._waiting = self._waiting, []
            path = self._path
            self._aside.start(lambda stopped: flush(path))

    def close(self) -> None:
        """The daemon stops. What is not acknowledged comes again."""
        self._aside.close()
