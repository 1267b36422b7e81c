"""Work aside that is done when the test says so."""

from typing import Generic, TypeVar

from daemon.edges.gallery.background import Work
from daemon.edges.gallery.graph import Stopped

T = TypeVar("T")


class AtOnce(Generic[T]):
    """An `Aside` without a thread, where work is done as soon as it is started."""

    def __init__(self) -> None:
        self._outcome: T | Exception | None = None

    @property
    def busy(self) -> bool:
        return self._outcome is not None

    def start(self, work: Work[T]) -> None:
        assert self._outcome is None
        try:
            self._outcome = work(lambda: False)
        except Exception as error:  # noqa: BLE001  as in a thread
            self._outcome = error

    def outcome(self) -> T | Exception | None:
        outcome, self._outcome = self._outcome, None
        return outcome

    def close(self) -> None:
        pass


class Held(Generic[T]):
    """An `Aside` without a thread: `run` does the held work at once, `fail` lets it have raised."""

    def __init__(self) -> None:
        self._work: Work[T] | None = None
        self._outcome: T | Exception | None = None

    @property
    def busy(self) -> bool:
        return self._work is not None

    @property
    def waiting(self) -> bool:
        return self._work is not None and self._outcome is None

    def start(self, work: Work[T]) -> None:
        assert self._work is None
        self._work = work

    def outcome(self) -> T | Exception | None:
        if self._outcome is None:
            return None
        self._work, outcome, self._outcome = None, self._outcome, None
        return outcome

    def run(self) -> None:
        assert self._work is not None
        self._outcome = self._work(lambda: False)

    def fail(self, error: Exception) -> None:
        assert self._work is not None
        self._outcome = error

    def close(self) -> None:
        if self._work is not None:
            self._outcome = Stopped()
