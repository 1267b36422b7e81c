"""Where the decision's defaults come from: right and wrong accepts on the gate clips by threshold and frames, and in a full gallery.

    python -m bench.decisions [--detector haar|YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER] [--besides 990]

Every person of `clips/asl` is enrolled from one frame of their first clip. With everybody enrolled the other clips are rightful passages;
then each in turn is left out of the gallery and is the stranger of their own clips. All of it goes through the daemon's own functions,
frame by frame. With `--besides`, so many people of the face crops (calibration, then val) are enrolled too, at the threshold that the card
has for so many. Five people and one camera: development figures.
"""

import argparse
import csv
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.gate_clips import enrolment_frame
from daemon import app, pipeline
from daemon.config import Config, GateConfig
from daemon.core.decide import Decision, Gatekeeper, Rules
from daemon.core.values import Vector, Verdict, View
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.enrolment import enrolment_crop
from daemon.model import Model
from trainer import data

ROOT = Path(__file__).resolve().parent.parent
FRAMES = (1, 3, 5, 8)
"""Good frames before the first look; the minimum of time is left out in that table, so that they are what differs."""
STEPS = np.arange(0.30, 0.95, 0.05)
FPIRS = (0.1, 0.01)


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as the line sees it, up to the search. `person` walks in it; `first` says that it gave the enrolment frame."""

    name: str
    person: str
    first: bool
    seen: list[tuple[View, list[Vector | None]]]


@dataclass(frozen=True, slots=True)
class Score:
    """Rightful passages in which the right person was accepted, clips in which anybody else was or a stranger let in, and the frame of
    each right accept."""

    right: int
    of: int
    wrong: int
    clips: int
    frames: list[int]


def watch(folder: Path, config: Config, model: Model) -> tuple[list[Clip], dict[str, Vector]]:
    """All clips, and everybody's template."""
    with (folder / "identities.csv").open() as file:
        people = {row["clip"]: row["person"] for row in csv.DictReader(file)}
    detector = open_detector(config.detector.kind, config.detector.min_face_px)
    limits = pipeline.limits(config, config.detector.min_face_px)
    enrolment = pipeline.limits(config, config.enrolment.min_face_px)
    clips: list[Clip] = []
    templates: dict[str, Vector] = {}
    for name, person in people.items():
        first = person not in templates
        if first:
            crop = enrolment_crop(enrolment_frame(folder / name, detector), 1, detector, enrolment)
            templates[person] = model.embedder.embed(np.stack([crop]))[0]
        camera = open_camera("bench", GateConfig(source=str(folder / name)))
        try:
            views = [pipeline.look(frame, detector, limits) for frame in frames_of(camera)]
        finally:
            camera.close()
        clips.append(Clip(name, person, first, list(zip(views, pipeline.embed(views, model.embedder), strict=True))))
    return clips, templates


def gallery_of(templates: dict[str, Vector], besides: Sequence[Vector] = ()) -> Gallery:
    gallery = Gallery(len(next(iter(templates.values()))))
    for number, (person, vector) in enumerate([*templates.items(), *((f"besides-{n}", v) for n, v in enumerate(besides))], 1):
        gallery.add(number, person, vector)
    return gallery


def play(clip: Clip, gallery: Gallery, rules: Rules, lost_s: float) -> list[Decision]:
    keeper = Gatekeeper("bench", rules, lost_s)
    decisions = [d for view, vectors in clip.seen for d in keeper.observe(view, vectors, gallery.search, lambda person, now: None)]
    return [d for d in [*decisions, *keeper.finish()] if d.verdict is Verdict.ACCEPT]


def scored(clips: list[Clip], templates: dict[str, Vector], rules: Rules, lost_s: float, besides: Sequence[Vector] = ()) -> Score:
    """Everybody enrolled, then each in turn the stranger."""
    right = of = wrong = played = 0
    frames: list[int] = []
    for stranger in (None, *templates):
        gallery = gallery_of({person: vector for person, vector in templates.items() if person != stranger}, besides)
        for clip in clips:
            if clip.first or (stranger is not None and clip.person != stranger):
                continue
            accepts = play(clip, gallery, rules, lost_s)
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
    parser.add_argument("--besides", type=int, default=990, help="people enrolled besides (0: leave that table out)")
    arguments = parser.parse_args()
    if not (arguments.data / "clips/asl").is_dir():
        raise SystemExit(f"no gate clips in {arguments.data} (set OSTIARY_DATA)")
    config = Config(site="bench", gates={"bench": GateConfig(source="none")})
    config = replace(
        config, detector=replace(config.detector, kind=arguments.detector), model=replace(config.model, bundle=arguments.bundle)
    )
    model = app.open_model(config)
    clips, templates = watch(arguments.data / "clips/asl", config, model)
    console = Console(highlight=False)
    base, lost_s = pipeline.rules(config, model.calibration, len(templates)), config.decision.lost_s
    console.print(trade_off(clips, templates, base, lost_s))
    if arguments.besides:
        crops = data.load(arguments.data / "faces/train.zip")
        parts = data.split(crops.people, arguments.data / "faces/split.csv")
        people = crops.of([*parts["calibration"], *parts["val"]][: arguments.besides])
        one_each = people.pixels[np.unique(people.person, return_index=True)[1]]
        parts_of = np.split(one_each, range(64, len(one_each), 64))
        besides = list(np.concatenate([model.embedder.embed(part) for part in parts_of]))
        console.print(full(clips, templates, config, model, besides))


def trade_off(clips: list[Clip], templates: dict[str, Vector], base: Rules, lost_s: float) -> Table:
    table = Table(
        "threshold", *(f"{count} frame{'s' * (count > 1)}" for count in FRAMES), "accepted at frame", title="right accepts, wrong accepts"
    )
    thresholds = sorted({*(round(float(step), 3) for step in STEPS), round(base.threshold or 0.5, 3)})
    for threshold in thresholds:
        row = [scored(clips, templates, replace(base, threshold=threshold, min_frames=count, min_s=0.0), lost_s) for count in FRAMES]
        took = row[FRAMES.index(base.min_frames)].frames
        table.add_row(
            f"{threshold:.3f}{' (card)' if base.threshold is not None and threshold == round(base.threshold, 3) else ''}",
            *(f"{score.right}/{score.of}, {score.wrong}/{score.clips}" for score in row),
            f"{np.median(took):.0f}" if took else "-",
        )
    return table


def full(clips: list[Clip], templates: dict[str, Vector], config: Config, model: Model, besides: list[Vector]) -> Table:
    table = Table("enrolled", "stated FPIR", "threshold", "right", "wrong", "a search, ms")
    for others in ([], besides):
        gallery, count = gallery_of(templates, others), len(templates) + len(others)
        probe = np.stack([next(vector for _, vectors in clip.seen for vector in vectors if vector is not None) for clip in clips])
        start = time.perf_counter()
        for vector in probe:
            gallery.search(vector[None])
        search_ms = 1000 * (time.perf_counter() - start) / len(probe)
        gallery.close()
        for fpir in FPIRS:
            rules = pipeline.rules(replace(config, decision=replace(config.decision, target_fpir=fpir)), model.calibration, count)
            if rules.threshold is None:
                table.add_row(f"{count:,}", f"{fpir:.0%}", "none: closed", "-", "-", "-")
                continue
            score = scored(clips, templates, rules, config.decision.lost_s, others)
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
