"""Simulates strangers at a gate, from photos: a stranger stays in front of the camera, and the gate looks at the face again and again.

The gate is the daemon's own `Gatekeeper` with the default rules, so the number of looks is the real one. Each look compares the fused
vector of all frames so far, and a threshold must hold for the nearest of these looks. Every frame is the same photo, disturbed anew as a
camera and a detector disturb it. The simulation leaves out what a turning head adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from daemon.core.boxes import Box
from daemon.core.passages import defaults
from daemon.core.passages.claims import LONGEST_S
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.match import NOBODY
from daemon.core.passages.rules import Rules
from daemon.core.values import Face, Match, Probe, Quality, Reason, Vector, View
from trainer.models.whole import Embed
from trainer.people import augment
from trainer.recipes.values import Augment

FRAMES_PER_S = 4.0
"""How many frames a second the simulated camera shows. From 4 to 25 a second the thresholds differ by less than 0.002, and the time grows
with the rate. Frames that come again and again would make the thresholds too low (LOG.md). A quarter of a second is exact in
binary, so no recheck comes a frame late. A stranger gets 16 looks up to 20 frames a second, and 15 at 25."""

GATE = Augment(
    flip=0.0, scale=0.05, shift_px=2.0, rotation_deg=4.0, low=0.4, low_from_px=40, low_to_px=80, jpeg=0.5, jpeg_from=40, jpeg_to=95,
    blur=0.2, light=0.5, colour=0.2, grey=0.0, shade=0.0, noise=0.3, erase=0.0,
)  # fmt: skip
"""How a gate's camera and detector disturb a face: milder than training does."""

EVERY_FRAME = -1.0
"""For `same`: every frame counts as a frame of the same face."""
OUT_OF_REACH = 2.0
"""A threshold above every similarity, so that the gate goes on looking."""

_FACE = Probe(Face(Box(0.0, 0.0, 100.0, 100.0), 1.0), np.zeros((1, 1, 3), np.uint8), Quality.OK)
"""A face that stands still. The gatekeeper reads no pixels: it gets the vectors."""
_ANYBODY: Vector = np.ones(1, np.float32)

Looks = list[NDArray[np.float32]]
"""For each stranger the fused vectors that the gate compares, float32 [looks, D]."""


@dataclass(slots=True)
class _Gate:
    """A gate that knows nobody and writes down every vector that it compares: in `searched` with everybody, in `claimed` with the person
    whom a badge names."""

    rules: Rules
    searched: list[Vector] = field(default_factory=list)
    claimed: list[Vector] = field(default_factory=list)
    keeper: Gatekeeper = field(init=False)

    def __post_init__(self) -> None:
        self.keeper = Gatekeeper("simulated", self.rules, defaults.LOST_S)

    def see(self, number: int, vector: Vector) -> None:
        at_s = number / FRAMES_PER_S
        view = View("simulated", number, at_s, at_s, (_FACE,))
        self.keeper.observe(view, [vector], self._find, self._permit, self._compare)

    def _find(self, vectors: NDArray[np.float32]) -> list[Match]:
        self.searched += list(vectors)
        return [NOBODY] * len(vectors)

    def _compare(self, vector: Vector, person: str) -> float:
        self.claimed.append(vector)
        return NOBODY.similarity

    @staticmethod
    def _permit(person: str, now: float) -> Reason | None:
        return None


def looks(embed: Embed, crops: NDArray[np.uint8], same: float | None, seed: int = 1) -> Looks:
    """What a gate compares while each of these people stays in front of it: from crops uint8 [n, 112, 112, 3], n times float32 [looks, D].

    `same` is the similarity below which the gate sets a frame aside because it shows another face (`Rules.same`); None sets none aside.
    """
    rules = defaults.rules(OUT_OF_REACH, EVERY_FRAME if same is None else same)
    # One frame that was set aside delays every later look by a frame: stay a recheck longer, so that none is lost.
    frames = stay_frames() + round(rules.recheck_s * FRAMES_PER_S)
    rng = np.random.default_rng(seed)
    side = crops.shape[1]
    found: Looks = []
    for crop in crops:
        vectors = embed(np.stack([augment.disturb(crop, side, GATE, rng) for _ in range(frames)]))
        gate = _Gate(rules)
        for number, vector in enumerate(vectors):
            gate.see(number, vector)
        found.append(np.array(gate.searched, np.float32).reshape(-1, vectors.shape[1]))
    return found


def nearest(looked: Sequence[NDArray[np.float32]], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest similarity over each stranger's looks, n times [looks, D], to each of a gallery's vectors [m, D]: [n, m]. -1 for a
    stranger whom the gate never looked at."""
    best = np.full((len(looked), len(gallery)), -1.0, np.float32)
    for row, vectors in zip(best, looked, strict=True):
        np.max(vectors @ gallery.T, axis=0, initial=-1.0, out=row)
    return best


def stay_frames() -> int:
    """How many frames a stranger must stay to get every look of the default rules, if every frame is a good one."""
    gate = _Gate(defaults.rules(OUT_OF_REACH, EVERY_FRAME))
    number = last = 0
    while number - last <= 2 * gate.rules.recheck_s * FRAMES_PER_S:
        before = len(gate.searched)
        gate.see(number, _ANYBODY)
        last = number if len(gate.searched) > before else last
        number += 1
    return last + 1


def claim_looks() -> int:
    """How many times a gate with the default rules compares a stranger with the person whom a badge names. These are the first looks."""
    gate = _Gate(defaults.rules(None, EVERY_FRAME, pair=OUT_OF_REACH))
    gate.keeper.claims.present("somebody", 0.0, LONGEST_S)
    for number in range(stay_frames()):
        gate.see(number, _ANYBODY)
    return len(gate.claimed)
