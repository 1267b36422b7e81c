"""How many rightful passages of the gate clips a liveness model would deny, and how long it takes.

    python -m bench.liveness MINIFASNET.onnx [--detector haar|YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER] [--threshold T]

Everybody is enrolled from one frame of their first clip. All other clips are rightful passages, and are played through the daemon's own
functions twice, with the model and without it. A passage is *denied* if it is accepted without the model and never with it. It is *taken
back* if it is first accepted with the model and then not. The enrolment clips are shown too, but not counted. All these faces are alive
and in front of one camera. The figures say nothing about attacks, or about other cameras, where such models are known to fail.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench import clips
from daemon.config import Config, GateConfig, LivenessConfig
from daemon.core.passages.gatekeeper import Decision
from daemon.core.values import Reason, Verdict
from daemon.edges.liveness import open_liveness
from daemon.pipeline import opening, steps

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--bundle", default="")
    parser.add_argument("--threshold", type=float, default=LivenessConfig().threshold)
    arguments = parser.parse_args()
    path = arguments.model or arguments.data / "models/minifasnet_v2.onnx"
    if not (arguments.data / "clips/asl").is_dir() or not path.is_file():
        raise SystemExit(f"there are no gate clips in {arguments.data} (set OSTIARY_DATA), or the model {path} does not exist")
    config = Config(site="bench", gates={"bench": GateConfig(source="none")})
    config = replace(
        config,
        detector=replace(config.detector, kind=arguments.detector),
        model=replace(config.model, bundle=arguments.bundle),
        liveness=LivenessConfig(model=str(path), threshold=arguments.threshold),
    )
    model, judge = opening.open_model(config), open_liveness(path)
    seen = clips.embedded(clips.watch(arguments.data / "clips", config), model.embedder)
    rules, gallery = steps.rules(config, model.calibration, len(seen.templates)), clips.gallery_of(seen.templates)
    spent: list[float] = []

    def lives(faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        start = time.perf_counter()
        answers = judge.lives(faces)
        spent.append((time.perf_counter() - start) / len(faces))
        return answers

    console, table = Console(highlight=False), Table("clip", "who", "without", "with", "probabilities: first 5, worst 5 in a row, worst")
    rightful = denied = back = 0
    for clip in seen.watched.clips:
        if clip.person is None:
            continue
        told = [clips.play(clip, seen, gallery, rules, config.decision.lost_s, judged) for judged in (None, lives)]
        before, after = ([_short(d) for d in decisions if d.person == clip.person] for decisions in told)
        if not clip.first and _accepted(told[0], clip.person):
            rightful += 1
            denied += not _accepted(told[1], clip.person)
            back += _accepted(told[1], clip.person) and any(d.reason is Reason.SPOOF_SUSPECTED for d in told[1])
        shown = [view.probes[0].surroundings for view in clip.views if view.probes]
        every = judge.lives(np.stack([one for one in shown if one is not None]))
        runs = np.convolve(every, np.ones(5) / 5, "valid")
        figures = f"{runs[0]:.2f}, {runs.min():.2f}, {every.min():.2f}"
        table.add_row(clip.name, clip.person + " (enrolled from)" * clip.first, ", then ".join(before), ", then ".join(after), figures)
    gallery.close()
    console.print(table)
    console.print(
        f"{rightful} rightful passages are accepted without the model; with it {denied} of them are denied, and {back} are accepted and"
        f" taken back; {1000 * np.median(spent):.1f} ms per judged frame, {config.liveness.frames} frames per answer"
    )


def _accepted(decisions: Sequence[Decision], person: str) -> bool:
    return any(d.verdict is Verdict.ACCEPT and d.person == person for d in decisions)


def _short(decision: Decision) -> str:
    return f"{decision.verdict.value} ({decision.number})" if decision.verdict is Verdict.ACCEPT else decision.reason.value


if __name__ == "__main__":
    main()
