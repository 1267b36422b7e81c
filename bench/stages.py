"""Where a gate's processor time goes: CPU ms for each frame by stage, with 1, 2, 4 and 8 cameras, as a table and a picture.

    python -m bench.stages FOLDER [--cameras 1,2,4,8] [--detector yunet|haar|FILE.onnx] [--seconds 15] [--fps 30] [--py-spy PROGRAM]

A real daemon watches the cameras of `bench.live`. The system counts the processor time of each of its threads. py-spy notes a hundred times
a second where each thread is, and a thread's time is shared among the stages by that: the stage of a sample is that of the innermost
function of ours. Samples of a thread that waits are left out, because py-spy does not always see that it waits. Threads that are none of
Python's, as OpenCV's, are `other`. py-spy is no part of the development environment (`pip install py-spy`; it needs the right to look at
other processes). FOLDER gets `stages.png`, `stages.svg` and the samples, which speedscope and flamegraph.pl read.
"""

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from bench import cost
from bench.frames import numbers
from bench.live import cameras, scraped, site

STAGES: dict[str, tuple[str, ...]] = {
    "decode": ("edges/camera/",),
    "align": ("core/faces/align.py", "core/faces/glimpse.py", "edges/detector/aligner.py"),
    "detect": ("edges/detector/",),
    "motion": ("core/attention.py",),
    "judge": ("core/faces/quality.py", "edges/visibility.py", "core/faces/visibility.py"),
    "embed": ("edges/embedder/",),
    "track, decide": ("core/passages/", "edges/gallery/", "serving/deciding.py"),
    "store, wire": ("edges/store/", "edges/mqtt/", "serving/sender.py", "serving/decisions.py", "paho/"),
}
"""The files of each stage; the first that fits. What is none of them is `other`."""
NAMES = (*STAGES, "other")
WAITING = ("/threading.py", "/selectors.py", "/queue.py", "/edges/mqtt/bell.py")
"""A sample whose innermost function is in one of these files is of a thread that waits."""


def stage(stack: str) -> str:
    """The stage of one sample, `outermost (file:line);...;innermost (file:line)`."""
    for call in reversed(stack.split(";")):
        for name, files in STAGES.items():
            if any(file in call for file in files):
                return name
    return "other"


def thread_cpu_s(pid: int) -> dict[int, float]:
    """The processor time of each thread of a process, in seconds."""
    found = {}
    for path in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            found[int(path.name)] = int((path / "schedstat").read_text().split()[0]) / 1e9
    return found


def spent(samples: str, threads: dict[int, float]) -> dict[str, float]:
    """The seconds of each stage: those of each thread, shared by its lines in py-spy's raw format, `thread (number): name;stack count`."""
    seen: dict[int, Counter[str]] = {}
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        thread = re.match(r"thread \((\d+)\)", stack)
        if thread is not None and not any(file in stack.rpartition(";")[2] for file in WAITING):
            seen.setdefault(int(thread[1]), Counter())[stage(stack)] += int(count)
    found = dict.fromkeys(NAMES, 0.0)
    for thread_id, seconds in threads.items():
        counts = seen.get(thread_id) or Counter(other=1)
        for name, samples_there in counts.items():
            found[name] += seconds * samples_there / counts.total()
    return found


def drawn(folder: Path, rows: dict[int, dict[str, float]], title: str) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    bottom = [0.0] * len(rows)
    for name, colour in zip(NAMES, pyplot.get_cmap("tab10").colors, strict=False):
        heights = [row[name] for row in rows.values()]
        axes.bar([str(count) for count in rows], heights, bottom=bottom, label=name, color=colour, width=0.6)
        bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
    axes.set(xlabel="cameras", ylabel="CPU ms for each frame looked at", title=title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"stages.{kind}", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cameras", type=numbers, default=[1, 2, 4, 8])
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--fps", type=int, default=30, choices=(10, 15, 30))
    parser.add_argument("--py-spy", default="py-spy", metavar="PROGRAM")
    arguments = parser.parse_args()
    spy = shutil.which(arguments.py_spy)
    if spy is None:
        raise SystemExit(f"{arguments.py_spy} is not installed; run pip install py-spy, or name the program with --py-spy")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows: dict[int, dict[str, float]] = {}
    table = Table("cameras", *NAMES, "CPU ms a frame", "frames a second, each", "CPU, cores", title="CPU ms for each frame looked at")
    with site(arguments.fps, arguments.seconds) as cell:
        for count in arguments.cameras:
            raw = arguments.folder / f"samples-{count}.txt"
            with cameras(cell.folder, arguments.fps) as server, cell.gates(arguments.detector, count, server) as (pid, metrics):
                before, frames = thread_cpu_s(pid), scraped(metrics)["ostiary_frames_total"]
                subprocess.run(
                    [spy, "record", "--pid", str(pid), "--duration", str(arguments.seconds), "--rate", "100", "--format", "raw",
                     "--full-filenames", "--threads", "--output", str(raw)],
                    check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr,
                )  # fmt: skip
                threads = {thread: seconds - before.get(thread, 0.0) for thread, seconds in thread_cpu_s(pid).items()}
                frames = scraped(metrics)["ostiary_frames_total"] - frames
            cpu = sum(threads.values())
            rows[count] = {name: 1000 * seconds / max(1.0, frames) for name, seconds in spent(raw.read_text(), threads).items()}
            last = (f"{sum(rows[count].values()):.1f}", f"{frames / count / arguments.seconds:.1f}", f"{cpu / arguments.seconds:.2f}")
            table.add_row(str(count), *(f"{ms:.2f}" for ms in rows[count].values()), *last)
    drawn(arguments.folder, rows, f"{Path(arguments.detector).name}, 640×480 at {arguments.fps} fps")
    console = Console(highlight=False, width=190)
    console.print(table)
    console.print(f"{arguments.folder}/stages.png, stages.svg; {cost.machine()}")


if __name__ == "__main__":
    main()
