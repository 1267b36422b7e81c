"""A gate that serves while one thing after the other goes wrong: does it keep its memory, its file handles and every decision?

    python -m bench.soak --minutes 30

The daemon, its RTSP camera and its broker are real (tests/faults/production.py). Somebody comes by every six seconds. Faults come at
random and short, so that half an hour holds what a gate meets in weeks. Each line is a sample after a fault: memory, handles and threads of
the daemon with its children, and the decisions that were received.
"""

import argparse
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from tests.faults.production import Production, production
from tests.faults.test_production import ROWS, Row
from tests.fixtures.watching import rss_mb

SHORT_S = 6.0
WARM = 3
"""Faults before memory is compared: libraries load late, pools fill."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    console, chance = Console(highlight=False, soft_wrap=True), random.Random(arguments.seed)
    rows = [row for row in ROWS if not row.long and row.name != "disk full"]
    samples: list[tuple[float, int, int]] = []
    with tempfile.TemporaryDirectory() as folder, production(Path(folder), "[clock]\ntrust = 'always'\n") as gate:
        end = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end:
            row = chance.choice(rows)
            _suffer(gate, row, chance.uniform(0.5, SHORT_S))
            samples.append(sampled(gate))
            memory, handles, threads = samples[-1]
            heard = len(gate.watcher.of("decision"))
            console.print(f"{row.name:<36} {memory:6.0f} MB {handles:4d} handles {threads:3d} threads {heard:6d} decisions")
            assert not gate.wrong(), gate.wrong()
        gate.until(lambda: not gate.lost(), 120, "all decisions at the broker")
        first, last = samples[min(WARM, len(samples) - 1)], samples[-1]
        received = len({one.body["sequence"] for one in gate.watcher.of("decision")})
        console.print(
            f"{len(samples)} faults, {gate.given()} decisions stored, {received} received, 0 wrong;"
            f" memory {first[0]:.0f} → {last[0]:.0f} MB, handles {first[1]} → {last[1]}, threads {first[2]} → {last[2]}"
        )


def _suffer(gate: Production, row: Row, seconds: float) -> None:
    with row.fault(gate):
        began = time.monotonic()
        if row.blind:
            gate.blind.append((began, float("inf")))
        time.sleep(seconds)
    if row.blind:
        gate.blind[-1] = (began, time.monotonic())
    gate.serves(time.monotonic(), 180.0)


def sampled(gate: Production) -> tuple[float, int, int]:
    """Memory (MB), file handles and threads of the daemon with its children."""
    assert gate.process is not None
    memory, handles, threads = 0.0, 0, 0
    for pid in (gate.process.pid, *children(gate.process.pid)):
        process = Path(f"/proc/{pid}")
        with suppress(OSError):  # it has ended meanwhile
            taken, fds, tasks = rss_mb(pid), len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))
            memory, handles, threads = memory + taken, handles + fds, threads + tasks
    return memory, handles, threads


def children(pid: int) -> list[int]:
    """Processes that this one has started."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


if __name__ == "__main__":
    main()
