"""A small recording of painted people, replayed: who comes when is written down as one letter a frame."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from daemon.core.attention import Attention
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.rules import Rules
from daemon.core.passages.traces import Moment, moments
from daemon.core.values import Frame, Reason, Vector, View
from daemon.drawing.page import About
from daemon.drawing.trace import Tracer, Witness
from daemon.edges.gallery import Gallery
from daemon.pipeline.replay import line, replay
from tests.fixtures.desk import DIMENSION, JUDGE, LIMITS, PaintedDetector, PaintedEmbedder

RULES = Rules(threshold=0.95, margin=0.02, min_frames=3, min_s=0.15, patience=6, recheck_s=0.5, tries=4, memory=0.9, same=0.6)
SHADES = {"A": 100, "B": 180, "s": 140, "t": 228, "x": 255, " ": 0}
"""Ada and Bob are enrolled, s is a stranger, t one whom nobody resembles, x is overexposed."""
BRIGHT = replace(JUDGE, limits=replace(LIMITS, max_brightness=250.0))
WIDTH, HEIGHT = 320, 100


def image_of(shown: str) -> np.ndarray:
    """One block for each letter, next to each other."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for place, letter in enumerate(shown):
        image[:, 20 + 150 * place : 120 + 150 * place] = SHADES[letter]
    return image


@dataclass
class Film:
    """A gate that knows some, 10 frames a second, and a recording: each entry shows the people of one frame."""

    shown: list[str]
    people: tuple[str, str] = ("ada", "bob")
    times: list[float] | None = None
    rules: Rules = RULES
    forbidden: dict[str, Reason] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    seen: list[tuple[Moment, ...]] = field(default_factory=list)

    def frames(self) -> Iterator[Frame]:
        for number, shown in enumerate(self.shown):
            at_s = self.times[number] if self.times is not None else number / 10
            yield Frame("north", number, at_s, at_s, image_of(shown))

    def play(self, *witnesses: Witness, watched: bool = True) -> list[str]:
        """The lines of the replay, which the witnesses look on at."""
        embedder, gallery = PaintedEmbedder(), Gallery(DIMENSION)
        for number, (person, letter) in enumerate(zip(self.people, "AB", strict=True), 1):
            crop = np.full((1, 112, 112, 3), SHADES[letter], np.uint8)
            gallery.add(number, person, embedder.embed(crop)[0])
        keeper = Gatekeeper("north", self.rules, 0.5)

        def watch(frame: Frame, view: View, vectors: list[Vector | None]) -> None:
            self.seen.append(moments(keeper, view, vectors, gallery.search))
            for witness in witnesses:
                witness.saw(frame, view, self.seen[-1])

        lines = []
        walked = replay(
            self.frames(), PaintedDetector(), Attention(40), BRIGHT, embedder, gallery, keeper,
            lambda person, now: self.forbidden.get(person), watch if watched else None,  # type: ignore[arg-type]
        )  # fmt: skip
        for decision in walked:
            self.decisions.append(decision)
            for witness in witnesses:
                witness.decided(decision)
            lines.append(line(decision))
        return lines

    def about(self) -> About:
        return About("gate.mkv", "north", "faces-0123 on cpu", "painted", 2, 2, self.rules, "0123456789ab", BRIGHT.limits, 0.5)

    def traced(self, faces: bool = True) -> Tracer:
        tracer = Tracer(faces)
        self.play(tracer)
        return tracer


DAY = Film(["A"] * 4 + ["x"] * 2 + ["A"] * 8 + [""] * 8 + ["s"] * 12 + [""] * 8 + ["B"] * 3 + [""] * 8 + ["x"] * 2 + [""] * 7)
"""Ada is accepted, and overexposed for two frames; a stranger is unknown; Bob passes; somebody is overexposed all the time."""
