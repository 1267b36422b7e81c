"""One piece of work at a time in a thread aside, its outcome fetched when it is there."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
NICE = 10
LONGEST_STOP_S = 2.0

Work = Callable[[Callable[[], bool]], T]
"""Work that asks now and then whether it is to stop, and then raises (graph.Stopped)."""


class Aside(Protocol[T]):
    """Where the gallery has its graphs built, and a change of model its vectors made."""

    @property
    def busy(self) -> bool: ...

    def start(self, work: Work[T]) -> None: ...

    def outcome(self) -> T | Exception | None: ...

    def close(self) -> None: ...


class Background(Generic[T]):
    """Owned by one thread, which starts the work and fetches what came of it. `name` is that of the thread aside."""

    def __init__(self, name: str = "ostiary-graph") -> None:
        self._name = name
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._outcome: T | Exception | None = None

    @property
    def busy(self) -> bool:
        """Work was started and its outcome has not been fetched."""
        return self._thread is not None

    def start(self, work: Work[T]) -> None:
        """Begin. Raises RuntimeError where the system gives no thread."""
        assert self._thread is None, "one piece of work at a time"
        # A daemon thread as well as one that stops when asked: a C call cannot be interrupted, and must not hold up the process's end.
        thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._outcome = None
        thread.start()
        self._thread = thread

    def outcome(self) -> T | Exception | None:
        """What came of the work, once, when it is over; what it raised is returned."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread.join()
        self._thread, outcome, self._outcome = None, self._outcome, None
        return outcome

    def close(self) -> None:
        """Have the work stop and wait for its thread, but not long."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(LONGEST_STOP_S)

    def _run(self, work: Work[T]) -> None:
        try:
            # The gate's frames come first. On Linux this is the thread's own niceness. Where a sandbox forbids it, a build at full
            # priority is better than none.
            with suppress(OSError):
                os.nice(NICE)
            self._outcome = work(self._stop.is_set)
        except Exception as error:  # noqa: BLE001  the thread's mouth: the owner reads it and goes on searching exactly
            self._outcome = error
