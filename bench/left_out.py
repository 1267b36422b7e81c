"""How the answers at a gate depend on who is enrolled and by which frame: the gate clips with everybody left out in turn.

    python -m bench.left_out [--detector haar --detector YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER]

Each of the five people is enrolled by one frame of their first clip: at 0.2, 0.5, 0.8, 1.1 or 1.4 s, or the first good frame after that.
One person at a time is left out of the gallery. Their clips are strangers' passages; the others' further clips are rightful ones.
The daemon's own gatekeeper with its default rules decides about every clip, in each of these ways:

  card        by the threshold of the card, and nothing else
  adaptive    as a gate decides that nobody has calibrated: also by what its faces have in common (daemon/core/passages/cohort.py).
              `cold` has seen nobody yet; `warm` has seen all other clips before, in an order drawn for each case
  calibrated --live  by the threshold of `calibrate --live`, from the same passages without their names
  calibrated  by the threshold of `ostiaryd calibrate`, from the rightful passages of those who are enrolled

The clips are few, and the constants of the cohort were chosen with them in view: these are development figures.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.clips import Clip, Seen, embedded, gallery_of, site_of, walk, watch
from bench.gate_clips import ROOT, enrolment_frame
from daemon.cli.calibrate import walked
from daemon.config import Config, DetectorConfig, GateConfig
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.rules import Rules
from daemon.core.site import Passing, Site, SiteError, judge
from daemon.core.values import Vector, Verdict
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.pipeline import steps
from daemon.pipeline.model import Model
from daemon.pipeline.opening import open_judge, open_model
from daemon.pipeline.photos import enrolment_crop

TIMES_S = (0.2, 0.5, 0.8, 1.1, 1.4)
WAYS = ("card", "adaptive, cold", "adaptive, warm", "calibrated --live", "calibrated")


@dataclass(slots=True)
class Tally:
    """What one way decided: rightful passages and how many of them were accepted as their person, all passages and how many were accepted
    as somebody else. `wrong_by` counts the latter by enrolment frame (`0.8 s`) and by who was left out (`A`), `missed_by` the others."""

    rightful: int = 0
    accepted: int = 0
    passages: int = 0
    wrong: int = 0
    wrong_by: Counter[str] = field(default_factory=Counter)
    missed_by: Counter[str] = field(default_factory=Counter)

    def add(self, at_s: float, left_out: str, person: str | None, told: Sequence[Decision]) -> None:
        """Count a passage of `person`; None for the one who is left out."""
        named = {decision.person for decision in told if decision.verdict is Verdict.ACCEPT}
        self.passages += 1
        if named - {person}:
            self.wrong += 1
            self.wrong_by.update([f"{at_s} s", left_out])
        if person is not None:
            self.rightful += 1
            self.accepted += person in named
            if person not in named:
                self.missed_by.update([f"{at_s} s", left_out])


def tallies(folder: Path, model: Model, config: Config) -> dict[str, Tally]:
    """All cases of one detector and one model, by way."""
    seen = embedded(watch(folder, config), model.embedder)
    detector = open_detector(config.detector.kind, config.detector.min_face_px)
    faces = open_judge(config, config.enrolment.min_face_px)
    firsts = {clip.person: clip.name for clip in seen.watched.clips if clip.first and clip.person is not None}
    found = {way: Tally() for way in WAYS}
    rng = np.random.default_rng(1)
    for at_s in TIMES_S:
        crops = {who: enrolment_crop(enrolment_frame(folder / name, detector, at_s), 1, detector, faces) for who, name in firsts.items()}
        templates = {who: model.embedder.embed(np.stack([crop]))[0] for who, crop in crops.items()}
        for left_out in firsts:
            enrolled = {who: vector for who, vector in templates.items() if who != left_out}
            case = replace(seen, templates=templates)
            for way, tally in found.items():
                for clip, told in _decisions(way, case, enrolled, left_out, model, config, rng):
                    tally.add(at_s, left_out, None if clip.person == left_out else clip.person, told)
    return found


def _decisions(
    way: str, seen: Seen, enrolled: dict[str, Vector], left_out: str, model: Model, config: Config, rng: np.random.Generator
) -> Iterator[tuple[Clip, list[Decision]]]:
    """Each clip that counts, and what one way decides about it."""
    rules, gallery, lost_s = steps.rules(config, model.calibration, len(enrolled)), gallery_of(enrolled), config.decision.lost_s
    if way == "card":
        rules = replace(rules, adapts=None)
    elif way.startswith("calibrated"):
        try:
            site = (
                site_of(seen, left_out, rules, config) if way == "calibrated" else _live(seen, enrolled, left_out, rules, gallery, config)
            )
        except SiteError:
            rules = replace(rules, threshold=None)  # a gate that cannot be calibrated is not opened by guess here
        else:
            rules = replace(rules, threshold=max(site.threshold, rules.threshold or 1.0))
    for clip in seen.watched.clips:
        if clip.first and clip.person != left_out:
            continue
        before = [other for other in seen.watched.clips if other is not clip] if way == "adaptive, warm" else []
        keeper = Gatekeeper("clips", rules, lost_s)
        for place in rng.permutation(len(before)):
            walk(before[place], seen, gallery, keeper)
            keeper.finish()
        yield clip, walk(clip, seen, gallery, keeper) + keeper.finish()


def _live(seen: Seen, enrolled: dict[str, Vector], left_out: str, rules: Rules, gallery: Gallery, config: Config) -> Site:
    """What `calibrate --live` finds in the clips of a day without the one who is left out. Raises SiteError."""
    passings: list[Passing] = []
    for clip in seen.watched.clips:
        if clip.person != left_out and not clip.first:
            frames = zip(clip.views, seen.vectors[clip.name], strict=True)
            passings += walked(frames, rules, config.decision.lost_s, gallery, len(passings))
    return judge(passings, {person: vector[None] for person, vector in enrolled.items()}, config.decision.target_fpir)


def table_of(title: str, found: dict[str, Tally]) -> Table:
    """Wrong and rightful accepts of each way, and where the wrong ones are."""
    table = Table("decided by", "wrong accepts", "rightful accepts", "wrong by frame and left-out person", "missed by", title=title)
    for way, tally in found.items():
        where, missed = (", ".join(f"{what}: {n}" for what, n in sorted(c.items())) for c in (tally.wrong_by, tally.missed_by))
        share = f"{tally.accepted} of {tally.rightful} ({100 * tally.accepted / tally.rightful:.1f} %)"
        table.add_row(way, f"{tally.wrong} of {tally.passages}", share, where or "–", missed or "–")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--detector", action="append", default=[], help="haar or YUNET.onnx, several times; haar if none is given")
    parser.add_argument("--bundle", type=Path, default=None)
    arguments = parser.parse_args()
    if not (arguments.data / "clips/asl").is_dir():
        raise SystemExit(f"there are no gate clips in {arguments.data}; set OSTIARY_DATA to the data folder")
    console = Console(highlight=False)
    for kind in arguments.detector or ["haar"]:
        config = Config(site="bench", gates={"clips": GateConfig(source="clips")}, detector=DetectorConfig(kind=kind))
        model = open_model(config, arguments.bundle)
        found = tallies(arguments.data / "clips", model, config)
        console.print(table_of(f"{model.id}, detector {Path(kind).name}", found))


if __name__ == "__main__":
    main()
