"""What the roster's connection leaves for the engine, in the order in which it came."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from daemon.core.values import Delivery, Link, Published

MOST, MOST_BYTES = 256, 16 << 20
"""So many records wait here, with so many bytes. The others wait at the broker."""


class Mail:
    """`wake` tells the engine that something came."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake, self._lock = wake, threading.Lock()
        self._events: deque[Published | Link] = deque()
        self._records: deque[Delivery] = deque()
        self._bytes = 0

    def deliver(self, news: Delivery | Published | Link) -> bool:
        """Leave something; False if there is no room. Called by the network thread."""
        with self._lock:
            if isinstance(news, Delivery):
                if len(self._records) >= MOST or self._bytes >= MOST_BYTES:
                    return False
                self._records.append(news)
                self._bytes += len(news.payload)
            else:
                self._events.append(news)
        self._wake()
        return True

    def events(self) -> list[Published | Link]:
        """Take what happened to the connection."""
        with self._lock:
            events, self._events = self._events, deque()
        return list(events)

    def take(self) -> Delivery | None:
        """The oldest message."""
        with self._lock:
            if not self._records:
                return None
            delivery = self._records.popleft()
            self._bytes -= len(delivery.payload)
            return delivery

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """These were taken, oldest first, and could not be dealt with."""
        with self._lock:
            self._records.extendleft(reversed(deliveries))
            self._bytes += sum(len(one.payload) for one in deliveries)

    def __bool__(self) -> bool:
        return bool(self._records)
