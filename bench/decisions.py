"""Where the defaults of decisions come from: right and wrong accepts on the gate clips, by threshold and frames, and in a full gallery.

    python -m bench.decisions [--detector haar|YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER] [--besides 990]

Every person of `clips/asl` is enrolled from one frame of their first clip. With everybody enrolled, the other clips are rightful passages.
Then each person in turn is left out of the gallery and is the stranger of their own clips. Everything goes through the daemon's own
functions, frame by frame. `--besides` also enrols this many people of the face crops (calibration, then val), at the card's threshold for a
gallery of this size. These are development figures, of five people and one camera.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import clips
from bench.clips import Seen
from daemon.config import Config, GateConfig
from daemon.core.passages.rules import Rules
from daemon.core.values import Vector, Verdict
from daemon.pipeline import opening, steps
from daemon.pipeline.model import Model
from trainer.people import data

ROOT = Path(__file__).resolve().parent.parent
FRAMES = (1, 3, 5, 8)
"""Good frames before the first look. In that table there is no minimum time, so that only the number of frames differs."""
STEPS = np.arange(0.30, 0.95, 0.05)
FPIRS = (0.1, 0.01)


@dataclass(frozen=True, slots=True)
class Score:
    """Rightful passages in which the right person was accepted; clips in which somebody else or a stranger was accepted; and the frame of
    each right accept."""

    right: int
    of: int
    wrong: int
    clips: int
    frames: list[int]


def scored(seen: Seen, rules: Rules, lost_s: float, others: Sequence[Vector] = ()) -> Score:
    """Score the clips with everybody enrolled, and then with each person in turn as the stranger."""
    right = of = wrong = played = 0
    frames: list[int] = []
    for stranger in (None, *seen.templates):
        gallery = clips.gallery_of({person: vector for person, vector in seen.templates.items() if person != stranger}, others)
        for clip in seen.watched.clips:
            if clip.first or (stranger is not None and clip.person != stranger):
                continue
            accepts = [d for d in clips.play(clip, seen, gallery, rules, lost_s) if d.verdict is Verdict.ACCEPT]
            named = {decision.person for decision in accepts}
            played += 1
            wrong += bool(named - {clip.person if stranger is None else None})
            if stranger is None:
                of += 1
                right += clip.person in named
                frames += [next(d.number for d in accepts if d.person == clip.person)] if clip.person in named else []
        gallery.close()
    return Score(right, of, wrong, played, frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--bundle", default="")
    parser.add_argument("--besides", type=int, default=990, help="people to enrol in addition (0: leave out that table)")
    arguments = parser.parse_args()
    if not (arguments.data / "clips/asl").is_dir():
        raise SystemExit(f"there are no gate clips in {arguments.data}; set OSTIARY_DATA to the data folder")
    config = Config(site="bench", gates={"bench": GateConfig(source="none")})
    config = replace(
        config, detector=replace(config.detector, kind=arguments.detector), model=replace(config.model, bundle=arguments.bundle)
    )
    model = opening.open_model(config)
    seen = clips.embedded(clips.watch(arguments.data / "clips", config), model.embedder)
    console = Console(highlight=False)
    console.print(trade_off(seen, steps.rules(config, model.calibration, len(seen.templates)), config.decision.lost_s))
    if arguments.besides:
        crops = data.load(arguments.data / "faces/train.zip")
        parts = data.split(crops.people, arguments.data / "faces/split.csv")
        people = crops.of([*parts["calibration"], *parts["val"]][: arguments.besides])
        one_each = people.pixels[np.unique(people.person, return_index=True)[1]]
        parts_of = np.split(one_each, range(64, len(one_each), 64))
        crowd = list(np.concatenate([model.embedder.embed(part) for part in parts_of]))
        console.print(full(seen, config, model, crowd))


def trade_off(seen: Seen, base: Rules, lost_s: float) -> Table:
    table = Table(
        "threshold", *(f"{count} frame{'s' * (count > 1)}" for count in FRAMES), "accepted at frame", title="right accepts, wrong accepts"
    )
    thresholds = sorted({*(round(float(step), 3) for step in STEPS), round(base.threshold or 0.5, 3)})
    for threshold in thresholds:
        row = [scored(seen, replace(base, threshold=threshold, min_frames=count, min_s=0.0), lost_s) for count in FRAMES]
        took = row[FRAMES.index(base.min_frames)].frames
        table.add_row(
            f"{threshold:.3f}{' (card)' if base.threshold is not None and threshold == round(base.threshold, 3) else ''}",
            *(f"{score.right}/{score.of}, {score.wrong}/{score.clips}" for score in row),
            f"{np.median(took):.0f}" if took else "-",
        )
    return table


def full(seen: Seen, config: Config, model: Model, crowd: list[Vector]) -> Table:
    table = Table("enrolled", "stated FPIR", "threshold", "right", "wrong", "a search, ms")
    for others in ([], crowd):
        gallery, count = clips.gallery_of(seen.templates, others), len(seen.templates) + len(others)
        probe = np.stack([next(v for vectors in views for v in vectors if v is not None) for views in seen.vectors.values()])
        start = time.perf_counter()
        for vector in probe:
            gallery.search(vector[None])
        search_ms = 1000 * (time.perf_counter() - start) / len(probe)
        gallery.close()
        for fpir in FPIRS:
            rules = steps.rules(replace(config, decision=replace(config.decision, target_fpir=fpir)), model.calibration, count)
            if rules.threshold is None:
                table.add_row(f"{count:,}", f"{fpir:.0%}", "none: closed", "-", "-", "-")
                continue
            score = scored(seen, rules, config.decision.lost_s, others)
            table.add_row(
                f"{count:,}",
                f"{fpir:.0%}",
                f"{rules.threshold:.3f}",
                f"{score.right} of {score.of}",
                f"{score.wrong} of {score.clips}",
                f"{search_ms:.2f}",
            )
    return table


if __name__ == "__main__":
    main()
