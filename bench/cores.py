"""How much the second core adds: frames a second of a daemon's own threads, gate workers and engine, on one core and on two.

    python -m bench.cores [--gates 1 2 4] [--seconds 5] [--detector haar|YUNET.onnx]

Every gate is fed from memory as fast as its worker takes frames, with the frames of one gate clip over and over. Store and broker are left
out: they have a bench of their own (bench/wire.py). The runs on one core and on two take turns.
"""

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.config import Config, GateConfig
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.values import Frame
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.camera.source import State
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.edges.metrics import Metrics
from daemon.pipeline import opening, steps
from daemon.pipeline.model import Model
from daemon.serving.gate_worker import GateWorker
from daemon.serving.mailbox import Mailbox

ROOT = Path(__file__).resolve().parent.parent
FPS = 30.0


class Endless:
    """A camera that gives the same frames again and again, as fast as they are read, until it is closed."""

    live, trouble, detail = True, None, None
    state: State = "up"
    dropped: Mapping[str, int] = {}

    def __init__(self, gate: str, frames: list[Frame]) -> None:
        self._frames = ((number, frames[number % len(frames)]) for number in itertools.count())
        self._gate = gate

    def read(self, timeout_s: float) -> Frame:
        """The next frame, 1/30 s after the last."""
        number, frame = next(self._frames)
        return Frame(self._gate, number, number / FPS, number / FPS, frame.image)

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data")
    parser.add_argument("--detector", default=str(data / "models/yunet.onnx"))
    parser.add_argument("--gates", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    config = Config(site="bench", gates={"bench": GateConfig(source="bench")})
    model = opening.open_model(config)
    frames = list(frames_of(open_camera("bench", GateConfig(source=str(data / "clips/asl/brother.mkv")))))
    every = sorted(os.sched_getaffinity(0))
    table = Table("gates", "frames/s, one core", "frames/s, two cores", "ratio", "cores used", title="gate workers and engine")
    for gates in arguments.gates:
        one, two, used = [], [], []
        for _ in range(arguments.runs):
            one.append(_run(config, model, frames, gates, arguments, every[:1])[0])
            rate, cores = _run(config, model, frames, gates, arguments, every[:2])
            two.append(rate)
            used.append(cores)
        rates = statistics.median(one), statistics.median(two)
        table.add_row(str(gates), *(f"{rate:.0f}" for rate in rates), f"{rates[1] / rates[0]:.2f}", f"{statistics.median(used):.2f}")
    Console(highlight=False).print(table)


def _run(
    config: Config, model: Model, frames: list[Frame], gates: int, arguments: argparse.Namespace, cores: list[int]
) -> tuple[float, float]:
    """Frames decided about in a second, and how many cores that took."""
    os.sched_setaffinity(0, cores)  # threads that are started from here on inherit it
    gallery, mailbox, metrics = Gallery(model.dimension), Mailbox(gates), Metrics()
    random = np.random.default_rng(1)
    for number in range(1000):
        vector = random.normal(size=model.dimension).astype(np.float32)
        gallery.add(number, f"p{number}", vector / np.linalg.norm(vector))
    rules, names = steps.rules(config, model.calibration, gallery.templates), [f"g{number}" for number in range(gates)]
    keepers = {name: Gatekeeper(name, rules, config.decision.lost_s) for name in names}
    judge = opening.open_judge(config, config.detector.min_face_px)
    detectors = [open_detector(arguments.detector) for _ in names]
    workers = [
        GateWorker(name, Endless(name, frames), detector.attention(), detector, judge, mailbox.offer, mailbox.tell, metrics)
        for name, detector in zip(names, detectors, strict=True)
    ]
    for worker in workers:
        worker.start()
    decided, began, spent = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < arguments.seconds:
        mailbox.wait(0.1)
        mailbox.events()
        views = mailbox.views()
        for view, vectors in zip(views, steps.embed(views, model.embedder), strict=True):
            keepers[view.gate].observe(view, vectors, gallery.search, lambda person, now: None, known=gallery)
        decided += len(views)
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    for worker in workers:
        worker.ask_to_stop()
    for worker in workers:
        worker.join(5.0)
    return decided / wall, cpu / wall


if __name__ == "__main__":
    main()
