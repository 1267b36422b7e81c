"""Are two people noticed whom one record lets in? Morphs of all pairs at the gate clips, and the people themselves as the control.

    python -m bench.two_faces [--detector YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER]

A morph is the mean of two aligned enrolment crops. The gate knows it and the others. Everybody's clips are played twice: by the card's
threshold alone, without what the faces at the gate have in common, and as a gate adapts.
"""

import argparse
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.clips import Seen, embedded, gallery_of, walk, watch
from bench.gate_clips import ROOT
from daemon.config import Config, DetectorConfig, GateConfig
from daemon.core.passages.doubles import Doubles
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.rules import Rules
from daemon.core.values import Vector
from daemon.edges.gallery import Gallery
from daemon.pipeline import steps
from daemon.pipeline.opening import open_model


def main() -> None:
    parser = argparse.ArgumentParser("bench.two_faces")
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared" / "data"))
    options = parser.parse_args()
    config = Config(site="bench", gates={"x": GateConfig(source="none")}, detector=DetectorConfig(kind=options.detector))
    model, console = open_model(config, options.bundle), Console(highlight=False)
    seen = embedded(watch(options.data / "clips", config), model.embedder)
    people = sorted(seen.watched.enrolment)
    adaptive = steps.rules(config, model.calibration, len(people))
    for name, rules in {"the card's threshold alone": replace(adaptive, adapts=None), "adaptive": adaptive}.items():
        _, found, likeness = walked(seen, seen.templates, rules, config.decision.lost_s)
        console.print(f"{name}: everybody as they are: {len(found)} of {len(people)} are said to be two")
        if rules.adapts is None:
            within = [alike for a, b, alike in likeness if a == b]
            across = [alike for a, b, alike in likeness if a != b]
            console.print(
                f"  {len(within)} pairs of passages of one person: {min(within):.3f} to {max(within):.3f} alike;"
                f" {len(across)} of two people: {min(across):.3f} to {max(across):.3f}, {sum(a < rules.same for a in across)} of them"
                f" below {rules.same:.3f}"
            )
        both = noticed = 0
        for pair in itertools.combinations(people, 2):
            first, second = (seen.watched.enrolment[who].astype(np.uint16) for who in pair)
            morph = model.embedder.embed(((first + second) // 2).astype(np.uint8)[None])[0]
            enrolled = {who: vector for who, vector in seen.templates.items() if who not in pair} | {"morph": morph}
            let_in, found, _ = walked(seen, enrolled, rules, config.decision.lost_s)
            if set(pair) <= let_in:
                both, noticed = both + 1, noticed + ("morph" in found)
        console.print(f"  morphs: {both} of 10 let both in, {noticed} of these are noticed")


def walked(seen: Seen, enrolled: dict[str, Vector], rules: Rules, lost_s: float) -> tuple[set[str], set[str], list[tuple[str, str, float]]]:
    """All clips twice at one gate: who was let in as the morph, who is said to have two faces, and how alike each two of the accepted
    passages of the first time were, with the people who walked."""
    gallery, keeper = gallery_of(enrolled), Gatekeeper("clips", rules, lost_s)
    let_in, fused = set(), []
    for turn in range(2):
        for person, took, vector in passages(seen, keeper, gallery):
            if took == "morph":
                let_in.add(person)
            if turn == 0:
                fused.append((person, vector))
    pairs = [(a, b, float(first @ second)) for (a, first), (b, second) in itertools.combinations(fused, 2)]
    return let_in, keeper.doubles.found, pairs


def passages(seen: Seen, keeper: Gatekeeper, gallery: Gallery) -> Iterator[tuple[str, str, Vector]]:
    """Who walked, whom the gate took them for, and the fused vector, for each accepted passage."""
    taken: list[tuple[str, Vector]] = []

    class Listening(Doubles):
        def take(self, person: str, vector: Vector, same: float) -> None:
            taken.append((person, vector))
            Doubles.take(self, person, vector, same)

    keeper.doubles = Listening(keeper.doubles.faces, keeper.doubles.found)
    for clip in seen.watched.clips:
        if clip.person is None:
            continue
        walk(clip, seen, gallery, keeper)
        keeper.finish()
        yield from ((clip.person, person, vector) for person, vector in taken)
        taken.clear()


if __name__ == "__main__":
    main()
