"""The cost of the line per frame, stage by stage, on one recorded clip, and how much of it could be saved.

    python -m bench.line [--detector haar|YUNET.onnx] [--bundle FILE.onnx] [--source CLIP]

Detector and embedder are the minimum, because no recognition works without them. The last line of the output is the ratio of the whole
line to this minimum in one run.
"""

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.config import Config, GateConfig, ModelConfig
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.edges.camera import open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.pipeline import opening, steps

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data")
    parser.add_argument("--source", default=str(data / "clips/asl/brother.mkv"))
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--bundle", default="")
    arguments = parser.parse_args()
    config = Config(site="bench", gates={"bench": GateConfig(source=arguments.source)}, model=ModelConfig(bundle=arguments.bundle))
    model, detector = opening.open_model(config), open_detector(arguments.detector)
    gallery = Gallery(model.dimension)
    random = np.random.default_rng(1)
    for number in range(1000):
        vector = random.normal(size=model.dimension).astype(np.float32)
        gallery.add(number, f"p{number}", vector / np.linalg.norm(vector))
    keeper = Gatekeeper("bench", steps.rules(config, model.calibration, gallery.templates), config.decision.lost_s)
    judge = opening.open_judge(config, config.detector.min_face_px)
    spent: defaultdict[str, list[float]] = defaultdict(list)
    camera = open_camera("bench", config.gates["bench"])
    whole: list[float] = []
    while (frame := camera.read(1.0)) is not None:
        start = time.perf_counter()
        view = steps.look(frame, detector, judge, lambda stage, s: spent[stage].append(s))
        (vectors,) = steps.embed([view], model.embedder, lambda stage, s: spent[stage].append(s), [keeper.wants(view)])
        with steps.timed(lambda stage, s: spent[stage].append(s), "decide"):
            keeper.observe(view, vectors, gallery.search, lambda person, now: None)
        whole.append(time.perf_counter() - start)
    camera.close()
    table = Table("stage", "median ms", "p95 ms", "share", title=f"{len(whole)} frames of {Path(arguments.source).name}, 1,000 templates")
    for stage, seconds in spent.items():
        ms = np.array(seconds) * 1000
        table.add_row(stage, f"{np.median(ms):.3f}", f"{np.percentile(ms, 95):.3f}", f"{100 * ms.sum() / 1000 / sum(whole):.1f} %")
    console = Console(highlight=False)
    console.print(table)
    floor = sum(spent["detect"]) + sum(spent["embed"])
    console.print(f"{1000 * np.median(whole):.1f} ms per frame; whole line / (detector + embedder) = {sum(whole) / floor:.3f}")


if __name__ == "__main__":
    main()
