"""Whether a stage's weights are kept; and for few people, whether val people are told apart better by more than chance explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.learn.judge import Judge, merit
from trainer.measure import metrics
from trainer.models.networks import Weight

LEAST_PEOPLE = 10
"""With fewer val people with two pictures nothing is sure: their resampling says too little about other people."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Gain:
    """How much rarer the similarity of two pictures of one person has become among those of two people, as the mean -log10 FMR over
    `people`; and its 95 % interval, the people resampled. NaN if there are no such pairs."""

    people: int
    gain: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """More than chance explains. NaN is never sure."""
        return self.people >= LEAST_PEOPLE and self.low > 0


def gain(before: NDArray[np.float32], after: NDArray[np.float32], person: NDArray[np.int64]) -> Gain:
    """The gain from unit vectors [n, d] `before` to those `after`, of the same pictures of persons [n]. Each person counts once, however
    many pictures there are."""
    first, second = np.triu_indices(len(person), 1)
    same = person[first] == person[second]
    owner = person[first][same]
    people = np.unique(owner)
    if not len(people) or same.all() or not (np.isfinite(before).all() and np.isfinite(after).all()):
        return Gain(len(people), *[float("nan")] * 3)
    change = _rarity(after, same) - _rarity(before, same)
    each = np.array([change[owner == who].mean() for who in people])
    drawn = each[np.random.default_rng(1).integers(len(each), size=(RESAMPLES, len(each)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Gain(len(people), float(each.mean()), float(low), float(high))


def _rarity(vectors: NDArray[np.float32], same: NDArray[np.bool_]) -> NDArray[np.float64]:
    """-log10 of the FMR at each genuine pair's similarity. An FMR of nothing counts as half a pair."""
    alike = metrics.cosine(vectors, vectors)[np.triu_indices(len(vectors), 1)]
    impostor = np.sort(alike[~same])
    above = len(impostor) - np.searchsorted(impostor, alike[same])
    return np.asarray(-np.log10(np.maximum(above, 0.5) / len(impostor)), np.float64)


def decide(
    keep: str,
    judge: Judge,
    weights: tuple[list[Weight], list[Weight]] | None,
    figures: tuple[Mapping[str, float], Mapping[str, float]] | None,
) -> tuple[bool, dict[str, float]]:
    """Whether the later of two (weights) and their (figures) is kept by a stage's `keep`, and what the run's history says about it beside
    the figures. None: there is nothing to lose."""
    if weights is None or figures is None or keep == "always":
        return True, {}
    if keep == "surely":
        old, new = weights
        same = len(old) == len(new) and all(np.array_equal(one, other) for one, other in zip(old, new, strict=True))
        if same and figures[0].get("other") != figures[1].get("other"):
            # The run was stopped just after it had kept them, and decides again. The weights before are gone.
            return True, {}
        found = gain(judge.vectors(weights[0]), judge.vectors(weights[1]), judge.person)
        return found.sure, asdict(found)
    return merit(dict(figures[1])) > merit(dict(figures[0])), {}
