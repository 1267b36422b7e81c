"""Where other threads leave what they have for the engine, in bounded queues."""

import queue
import threading
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from daemon.core.messages import URGENT
from daemon.core.values import CameraTrouble, Delivery, Link, Published, View

T = TypeVar("T")

EVENTS = 256

COMMANDS = 32
"""How many commands of a gate may wait on each of its two lanes."""
COMMAND_BYTES = 16 * 1024 * 1024
"""With so many bytes of commands a lane is full."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """The camera of `gate` came up, went down or reached the end of its recording, or has another trouble; `detail` says why."""

    gate: str
    state: Literal["up", "down", "ended"]
    detail: str | None
    live: bool
    trouble: CameraTrouble | None = None


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A gate worker ended by an error of its own: the process must not go on without it."""

    gate: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Looked:
    """Up to `now_s` (seconds of a clock that never steps), the worker of `gate` has looked at so many more frames, and so many were lost
    because it came too late for them (`pace.LOSSES`)."""

    gate: str
    now_s: float
    frames: int
    lost: int


Event = Published | Link | CameraState | Looked | WorkerFailed


class Lane:
    """Commands of one gate that wait, oldest first. One that finds no room waits at its connection, which then reads no further."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= COMMANDS or self._bytes >= COMMAND_BYTES

    def put(self, delivery: Delivery) -> bool:
        """Leave a command; False if there is no room."""
        if self.full:
            return False
        self._waiting.append(delivery)
        self._bytes += len(delivery.payload)
        return True

    def take(self) -> Delivery:
        """The oldest. Raises IndexError if none waits."""
        delivery = self._waiting.popleft()
        self._bytes -= len(delivery.payload)
        return delivery


class Commands:
    """The commands that wait for the engine: two lanes for each gate. The gates take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urgent: dict[str, Lane] = {}
        self._other: dict[str, Lane] = {}

    def put(self, delivery: Delivery) -> bool:
        """Leave a command; False if its lane has no room."""
        with self._lock:
            lanes = self._urgent if delivery.topic.endswith(f"/{URGENT}") else self._other
            return lanes.setdefault(delivery.gate, Lane()).put(delivery)

    def take(self, closed: Collection[str] = ()) -> Delivery | None:
        """The next command: what shuts somebody out first. Of the other commands, none of a gate in `closed`. None if there is none."""
        with self._lock:
            return self._next(self._urgent, self._urgent) or self._next_other(closed)

    def take_other(self, closed: Collection[str]) -> Delivery | None:
        """The next of the other commands."""
        with self._lock:
            return self._next_other(closed)

    def _next_other(self, closed: Collection[str]) -> Delivery | None:
        return self._next(self._other, [gate for gate in self._other if gate not in closed])

    def waiting(self, closed: Collection[str] = ()) -> bool:
        """Whether `take` would find a command."""
        with self._lock:
            return any(map(len, self._urgent.values())) or any(len(lane) for g, lane in self._other.items() if g not in closed)

    @staticmethod
    def _next(lanes: dict[str, Lane], gates: Iterable[str]) -> Delivery | None:
        for gate in list(gates):
            if len(lanes[gate]):
                lanes[gate] = lane = lanes.pop(gate)  # behind the others: the gates take turns
                return lane.take()
        return None


class Mailbox:
    """`wake` tells the engine that something came."""

    def __init__(self, gates: int) -> None:
        self._events: queue.Queue[Event] = queue.Queue(EVENTS)
        self._views: queue.Queue[View] = queue.Queue(2 * gates)
        self.commands = Commands()
        self.wake = threading.Event()

    def deliver(self, event: Event | Delivery) -> bool:
        """Leave an event or a command; False if the engine is too far behind to take it."""
        if isinstance(event, Delivery):
            taken = self.commands.put(event)
            self.wake.set()
            return taken
        try:
            self._events.put_nowait(event)
        except queue.Full:
            return False
        self.wake.set()
        return True

    def tell(self, event: CameraState | Looked | WorkerFailed) -> None:
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

    def views_wait(self) -> bool:
        return not self._views.empty()

    def empty(self) -> bool:
        return self._events.empty() and self._views.empty() and not self.commands.waiting()


def _drain(items: "queue.Queue[T]") -> list[T]:
    drained = []
    while True:
        try:
            drained.append(items.get_nowait())
        except queue.Empty:
            return drained
