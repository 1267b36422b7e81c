"""How alike two strangers are by chance, and how many of the most alike pairs must therefore be expected to be strangers.

The similarity of strangers is known as a table: one pair in ten reaches this, one in a hundred that. Between two rows, and beyond the last,
it is taken for normally distributed. Vectors' real tails are lighter, so the estimate errs towards "that was chance".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Calibration

RATES = (0.1, 0.01, 1e-3, 1e-4)
LEAST_PAIRS = 300
"""Fewer pairs cannot show what one in a hundred reaches."""
LEAST_BEYOND = 500
"""A stricter rate than 0.01 is read only where so many pairs lie beyond it: a few doubles among them must not set it."""
BINS = 40_000

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strangers:
    """A table of how alike strangers are: normal deviates [k] of the rates, and the similarity of each, both rising, k >= 2."""

    deviate: tuple[float, ...]
    similarity: tuple[float, ...]

    def rate(self, similarity: float) -> float:
        """The share of pairs of strangers that are at least so alike."""
        return 0.5 * math.erfc(self._line(similarity, self.similarity, self.deviate) / math.sqrt(2))

    def at(self, rate: float) -> float:
        """The similarity that this share of pairs of strangers reaches."""
        return self._line(-NormalDist().inv_cdf(rate), self.deviate, self.similarity)

    @staticmethod
    def _line(value: float, known: tuple[float, ...], wanted: tuple[float, ...]) -> float:
        """Linear between the points, and beyond them as between the two nearest."""
        place = min(max(int(np.searchsorted(known, value)), 1), len(known) - 1)
        slope = (wanted[place] - wanted[place - 1]) / (known[place] - known[place - 1])
        return wanted[place - 1] + slope * (value - known[place - 1])


@dataclass(frozen=True, slots=True)
class Cautious:
    """Several tables for the same pairs. The one in which strangers are most alike decides."""

    tables: tuple[Strangers, ...]

    def rate(self, similarity: float) -> float:
        """As for one table; 1 if there is none, or if the similarity is not a number."""
        return max((table.rate(similarity) for table in self.tables), default=1.0) if math.isfinite(similarity) else 1.0

    def at(self, rate: float) -> float:
        """As for one table; infinite if there is none."""
        return max((table.at(rate) for table in self.tables), default=math.inf)


def of_points(points: Sequence[tuple[float, float]]) -> Strangers | None:
    """From (rate, similarity that it reaches), the loosest rate first; None unless two rates and two similarities differ."""
    kept: list[tuple[float, float]] = []
    for rate, similarity in points:
        if not kept or similarity > kept[-1][1] + 1e-6:
            kept.append((rate, similarity))
    if len(kept) < 2:
        return None
    return Strangers(tuple(-NormalDist().inv_cdf(rate) for rate, _ in kept), tuple(similarity for _, similarity in kept))


def of_card(calibration: Calibration) -> Strangers | None:
    """From a card's FMR points; None if it has fewer than two."""
    points = [(point.fmr, point.threshold) for point in calibration.fmr if point.threshold is not None]
    return of_points(sorted(points, reverse=True))


def of_counts(counts: Counts) -> Strangers | None:
    """From pairs counted by `counted`; None for fewer than LEAST_PAIRS. Nearly all pairs are strangers, so the doubles among them hardly
    move the loose rates."""
    pairs = int(counts.sum())
    if pairs < LEAST_PAIRS:
        return None
    above = np.cumsum(counts[::-1])[::-1]
    rates = [rate for rate in RATES if rate >= 0.01 or rate * pairs >= LEAST_BEYOND]
    return of_points([(rate, float(_edge(int(np.searchsorted(-above, -rate * pairs, side="right"))))) for rate in rates])


def counted(similarity: NDArray[np.floating]) -> Counts:
    """How many similarities lie in each of BINS equal bins from -1 to 1."""
    place = np.clip(((similarity + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)
    return np.bincount(place.ravel(), minlength=BINS)


def _edge(place: int) -> float:
    return place * 2 / BINS - 1


def false_share(rates: NDArray[np.float64], pairs: int) -> NDArray[np.float64]:
    """For the most alike of `pairs` pairs, the strangers' rates [k] of their similarities, smallest first: the expected share of strangers
    among all pairs down to each (the false discovery rate of Benjamini and Hochberg), rising, at most 1."""
    share = np.minimum(1.0, pairs * rates / np.arange(1, len(rates) + 1))
    return np.asarray(np.minimum.accumulate(share[::-1])[::-1], np.float64)
