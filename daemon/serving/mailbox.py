"""Where other threads leave what they have for the engine, in bounded queues."""

import queue
import threading
from dataclasses import dataclass
from typing import Literal, TypeVar

from daemon.core.values import Delivery, Link, Published, View

T = TypeVar("T")

EVENTS = 256


@dataclass(frozen=True, slots=True)
class CameraState:
    """The camera of `gate` came up, went down or reached the end of its recording; `detail` says why."""

    gate: str
    state: Literal["up", "down", "ended"]
    detail: str | None
    live: bool


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A gate worker ended by an error of its own: the process must not go on without it."""

    gate: str
    error: BaseException


Event = Delivery | Published | Link | CameraState | WorkerFailed


class Mailbox:
    """`wake` tells the engine that something came."""

    def __init__(self, gates: int) -> None:
        self._events: queue.Queue[Event] = queue.Queue(EVENTS)
        self._views: queue.Queue[View] = queue.Queue(2 * gates)
        self.wake = threading.Event()

    def deliver(self, event: Event) -> bool:
        """Leave an event; False if the engine is too far behind to take it."""
        try:
            self._events.put_nowait(event)
        except queue.Full:
            return False
        self.wake.set()
        return True

    def tell(self, event: CameraState | WorkerFailed) -> None:
        """Leave an event that must not be dropped: waits for room."""
        self._events.put(event)
        self.wake.set()

    def offer(self, view: View, stop: threading.Event) -> bool:
        """Leave a view, and wait for room; False if `stop` is set first."""
        while not stop.is_set():
            try:
                self._views.put(view, timeout=0.1)
            except queue.Full:
                continue
            self.wake.set()
            return True
        return False

    def wait(self, timeout_s: float) -> None:
        """Wait until something comes, for `timeout_s` at most."""
        self.wake.wait(timeout_s)
        self.wake.clear()

    def events(self) -> list[Event]:
        """Take all that wait, oldest first."""
        return _drain(self._events)

    def views(self) -> list[View]:
        """Take all that wait, oldest first."""
        return _drain(self._views)

    def empty(self) -> bool:
        return self._events.empty() and self._views.empty()


def _drain(items: "queue.Queue[T]") -> list[T]:
    drained = []
    while True:
        try:
            drained.append(items.get_nowait())
        except queue.Empty:
            return drained
