"""What the audit chain costs: a decision's transaction with and without its record, the size of a record, and a check of the chain.

    python -m bench.audit [--dir FOLDER] [--rounds N]

FOLDER must be on the disk to measure. The two kinds of transaction take turns, so that the disk is the same for both.
"""

import argparse
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
from rich.console import Console

from daemon.core.audit import DecisionMade
from daemon.core.values import Person
from daemon.edges.store import Store, open_store

NOW = 1_800_000_000.0


def decide(store: Store, recorded: bool) -> float:
    """Make one decision durable as the engine does. Returns the time it took, in seconds."""
    payload = b"x" * 600
    start = time.perf_counter()
    with store.transaction():
        sequence = store.next_sequence("north")
        store.enqueue("north", "ostiary/v1/hq/north/decision", payload, NOW)
        if recorded:
            pseudonym = store.pseudonym("E1")
            entry = DecisionMade(
                gate="north", event_id=str(uuid.uuid4()), sequence=sequence, passage="0123abcd-17", supersedes=None, decision="accept",
                reason="matched", pseudonym=pseudonym, model="0123456789ab", policy="0123456789ab", threshold=0.4187, gallery_revision=93,
            )  # fmt: skip
            store.audit.append(NOW, entry)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=1000)
    arguments = parser.parse_args()
    say = Console(highlight=False, soft_wrap=True).print
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        store = open_store(Path(folder))
        with store.transaction():
            store.put_person(Person("E1"))
        took: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * arguments.rounds):
            took[number % 2 == 1].append(decide(store, number % 2 == 1) * 1e3)
        for recorded, times in took.items():
            low, middle, high = np.percentile(times, [10, 50, 99])
            say(f"{'with' if recorded else 'without'} a record: 10 % {low:.3f} ms, median {middle:.3f} ms, 99 % {high:.3f} ms")
        store.database.connection.execute("PRAGMA synchronous = OFF")  # only the computing, without the disk
        bare = [np.median([decide(store, recorded) * 1e6 for _ in range(arguments.rounds)]) for recorded in (False, True)]
        say(f"without waiting for the disk: {bare[0]:.0f} µs, with a record {bare[1]:.0f} µs")
        (size,) = store.database.connection.execute("SELECT avg(length(record) + length(digest)) FROM audit").fetchone()
        with store.transaction():
            while store.audit.head().number < 100_000:
                store.audit.append(
                    NOW, DecisionMade("north", str(uuid.uuid4()), 1, "p", None, "accept", "matched", "a" * 32, "m", "p", 0.4, 9)
                )
        start = time.perf_counter()
        walked = store.audit.verify()
        rate = walked.last.number / (time.perf_counter() - start)
        start = time.perf_counter()
        with store.transaction():
            gone = store.audit.prune(NOW + 1, NOW + 2, 500)
        slice_ms = (time.perf_counter() - start) * 1e3
        say(f"{size:.0f} bytes per record; {rate:,.0f} records checked per second; {gone} deleted in {slice_ms:.1f} ms")
        store.close()


if __name__ == "__main__":
    main()
