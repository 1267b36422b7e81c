"""One piece of work at a time in a background thread. The owner fetches its outcome when it is there."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
NICE = 10
LONGEST_STOP_S = 2.0

Work = Callable[[Callable[[], bool]], T]
"""Work that asks now and then whether it must stop, and then raises (graph.Stopped)."""


class Aside(Protocol[T]):
    """Does work in the background: the gallery builds its graphs there, and a change of model its vectors."""

    @property
    def busy(self) -> bool: ...

    def start(self, work: Work[T]) -> None: ...

    def outcome(self) -> T | Exception | None: ...

    def close(self) -> None: ...


class Background(Generic[T]):
    """Owned by one thread, which starts the work and fetches its outcome. `name` and `nice` are the name and the niceness of the background
    thread, which calls `wake` when the outcome is there."""

    def __init__(self, name: str = "ostiary-graph", wake: Callable[[], object] = lambda: None, nice: int = NICE) -> None:
        self._name, self._wake, self._nice = name, wake, nice
        self._stop, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._outcome: T | Exception | None = None

    @property
    def busy(self) -> bool:
        """Work was started and its outcome has not been fetched."""
        return self._thread is not None

    def start(self, work: Work[T]) -> None:
        """Begin the work. Raises RuntimeError where the system gives no thread."""
        assert self._thread is None, "one piece of work at a time"
        # A daemon thread, although it stops when asked: a C call cannot be interrupted, and must not delay the end of the process.
        thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._outcome = None
        self._over.clear()
        thread.start()
        self._thread = thread

    def outcome(self) -> T | Exception | None:
        """The outcome of the work, once, when it is over; an exception that it raised is returned. None before."""
        if self._thread is None or not self._over.is_set():
            return None
        self._thread.join()
        self._thread, outcome, self._outcome = None, self._outcome, None
        return outcome

    def close(self) -> None:
        """Ask the work to stop and wait for its thread, but not long."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(LONGEST_STOP_S)

    def _run(self, work: Work[T]) -> None:
        try:
            # The gate's frames come first. On Linux this sets the niceness of this thread alone. Where a sandbox forbids it, work at full
            # priority is better than none.
            with suppress(OSError):
                os.nice(self._nice)
            self._outcome = work(self._stop.is_set)
        except Exception as error:  # noqa: BLE001  the thread's outermost frame: the owner fetches the error and goes on without the work
            self._outcome = error
        self._over.set()
        self._wake()
