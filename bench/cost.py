"""What something costs: processor time and time by the clock, side by side. Processor time is compared, because others use the machine."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(slots=True)
class Spent:
    """Milliseconds of each piece of work: of a processor, and by the clock."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)

    def each(self, pieces: Iterable[T]) -> Iterator[T]:
        """The same pieces. Measures the time between giving one away and being asked for the next, of this thread: making pieces, which
        others do meanwhile, is not counted."""
        for piece in pieces:
            cpu, wall = time.thread_time(), time.perf_counter()
            yield piece
            self.cpu_ms.append(1000 * (time.thread_time() - cpu))
            self.wall_ms.append(1000 * (time.perf_counter() - wall))

    def waiting(self, pieces: Iterable[T]) -> Iterator[T]:
        """The same pieces. Measures the time that making each of them takes, of all threads."""
        cpu, wall = time.process_time(), time.perf_counter()
        for piece in pieces:
            self.cpu_ms.append(1000 * (time.process_time() - cpu))
            self.wall_ms.append(1000 * (time.perf_counter() - wall))
            yield piece
            cpu, wall = time.process_time(), time.perf_counter()

    @property
    def median(self) -> float:
        return float(np.median(self.cpu_ms)) if self.cpu_ms else float("nan")

    @property
    def mean(self) -> float:
        return float(np.mean(self.cpu_ms)) if self.cpu_ms else float("nan")

    @property
    def wall_median(self) -> float:
        return float(np.median(self.wall_ms)) if self.wall_ms else float("nan")

    def add(self, other: "Spent") -> None:
        self.cpu_ms += other.cpu_ms
        self.wall_ms += other.wall_ms


class Turns:
    """Lets several threads work in turns, one piece each: whatever else the machine does then meets all of them alike."""

    def __init__(self, places: int) -> None:
        self._changed = threading.Condition()
        self._in, self._now = list(range(places)), 0

    def pieces(self, place: int, pieces: Iterable[T]) -> Iterator[T]:
        """The same pieces, each when it is this place's turn; the turn ends when the next piece is asked for."""
        for piece in pieces:
            with self._changed:
                self._changed.wait_for(lambda: self._now == place)
            yield piece
            with self._changed:
                self._pass_on(place)

    def leave(self, place: int) -> None:
        """This place has no more pieces, or gave up."""
        with self._changed:
            if self._now == place:
                self._pass_on(place)
            self._in.remove(place)

    def _pass_on(self, place: int) -> None:
        self._now = self._in[(self._in.index(place) + 1) % len(self._in)]
        self._changed.notify_all()


def process_cpu_s(pid: int) -> float:
    """The processor time of another process and of its children, in seconds; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]  # each thread has its own
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(process_cpu_s(int(child)) for child in children)


def machine() -> str:
    """The processors of this machine, and how busy they were in the last minute."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} × {names[0] if names else 'unknown processor'}, load {os.getloadavg()[0]:.1f}"
