"""`make bench`: one table of ratios, each measured in one run, beside those of the last release.

    python -m bench [--runs 3] [--only WORD] [--record]

Each row is measured three times, in turns with the other rows; its figure is the median. A row that takes more than a tenth longer than in
`bench/results.json` is named. Ratios are compared and no times, so the machine need not be the same; another processor moves them a little
all the same. `--record` writes the file, when a version is released.
"""

import argparse
import importlib
import importlib.util
import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import cost, embedder, frames
from daemon.version import version

RESULTS = Path(__file__).with_name("results.json")
WORSE = 1.10
OTHERS = ("bench.wire", "bench.start")
"""Their function `ratios` gives rows too."""


def last(path: Path = RESULTS) -> dict[str, float]:
    """The ratios of the last release; none where nothing was recorded."""
    if not path.is_file():
        return {}
    return {name: float(row["median"]) for name, row in json.loads(path.read_text())["ratios"].items()}


def record(rows: dict[str, list[float]], path: Path = RESULTS) -> None:
    """Write the medians and the single runs."""
    ratios = {name: {"median": round(statistics.median(runs), 3), "runs": [round(run, 3) for run in runs]} for name, runs in rows.items()}
    head = {"version": version(), "recorded": datetime.now(UTC).date().isoformat(), "machine": cost.machine()}
    path.write_text(json.dumps({**head, "ratios": ratios}, indent=1, ensure_ascii=False) + "\n")


def worse(rows: dict[str, list[float]], before: dict[str, float]) -> list[str]:
    """A line for each row that takes more than a tenth longer than before."""
    found = []
    for name, runs in rows.items():
        if name in before and statistics.median(runs) > WORSE * before[name]:
            found.append(
                f"{name}: {statistics.median(runs):.2f}, {before[name]:.2f} in the last release ({min(runs):.2f} to {max(runs):.2f})"
            )
    return found


def table(rows: dict[str, list[float]], before: dict[str, float]) -> Table:
    shown = Table("of the time", "ratio", "runs", "last release", "change", title="smaller is faster; 1: as long as what stands behind /")
    for name, runs in rows.items():
        middle, old = statistics.median(runs), before.get(name)
        change = ("–", "–") if old is None else (f"{old:.2f}", f"{100 * (middle / old - 1):+.0f} %")
        shown.add_row(name, f"{middle:.2f}", " ".join(f"{run:.2f}" for run in runs), *change)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", metavar="WORD", help="only frames, embedder, wire or start")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=140)
    walked = frames.Ratios() if arguments.only in "frames" else None
    parts: dict[str, Callable[[], dict[str, float]]] = {"embedder": embedder.ratios} if arguments.only in "embedder" else {}
    parts |= {"frames": walked} if walked is not None else {}
    for name in OTHERS:
        if arguments.only in name:
            ratios = getattr(importlib.import_module(name), "ratios", None) if importlib.util.find_spec(name) else None
            if ratios is None:
                console.print(f"{name} gives no rows")
            else:
                parts[name] = ratios
    rows: dict[str, list[float]] = {}
    for _ in range(arguments.runs):
        for part in parts.values():
            for name, value in part().items():
                rows.setdefault(name, []).append(value)
    before = last()
    console.print(table(rows, before))
    for note in walked.notes if walked is not None else ():
        console.print(f"[red]recognised less:[/] {note}")
    for line in worse(rows, before):
        console.print(f"[red]slower:[/] {line}")
    console.print(cost.machine())
    if arguments.record:
        record(rows)


if __name__ == "__main__":
    main()
