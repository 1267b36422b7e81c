"""Searches of a gallery as curves: open set (FNIR against FPIR) and closed set (CMC), each over many draws of who is enrolled.

The figures of `evaluate` are the same measures at round numbers; a curve shows what lies between them.
"""

from __future__ import annotations

import msgspec
import numpy as np

from trainer.measure import metrics
from trainer.measure.metrics import Floats
from trainer.people import galleries
from trainer.people.galleries import Ints

RANKS = 20
PER_DECADE = 12
FPIRS = (1e-1, 1e-2, 1e-3)


class OpenSet(msgspec.Struct, frozen=True):
    """Mean FNIR over draws and the middle 95 % of the draws, at each FPIR; `strangers` searched in vain per draw."""

    gallery: int
    strangers: int
    fpir: tuple[float, ...]
    fnir: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Cmc(msgspec.Struct, frozen=True):
    """Share of rightful searches whose person is among the first 1, 2, 3, … answers. `gallery` is the number of people in the gallery."""

    gallery: int
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def open_set(similarity: Floats, person: Ints, gallery: int, seed: int = 1) -> OpenSet | None:
    """FNIR at FPIR from similarities [n, n] of persons [n]. One crop enrolled of each of `gallery` people who have two or more, their
    others searched for, one crop of everybody else as a stranger. From the FPIR of one stranger in all up to 1, the round FPIRS among
    them. None if there are too few people or no stranger."""
    strangers = len(np.unique(person)) - gallery
    if not 1 <= gallery <= galleries.able(person) or strangers < 1:
        return None
    decades = np.log10(strangers)
    spaced = np.logspace(-decades, 0, 2 + int(np.ceil(decades * PER_DECADE)))
    fpirs = np.union1d(spaced, [fpir for fpir in FPIRS if fpir * strangers >= 1])
    missed = []
    for draw in galleries.drawn(person, gallery, seed):
        nearest = similarity[np.ix_(draw.strangers, draw.entries)].max(axis=1)
        rightful = similarity[np.ix_(draw.probes, draw.entries)]
        # A search answered with the wrong person, or with two alike, is missed at every threshold.
        found = np.where(metrics.ranks(rightful, draw.owner) == 1, rightful.max(axis=1), -np.inf)
        thresholds = [metrics.at_fmr(np.empty(0), nearest, min(1.0, fpir * (1 + 1e-9))).threshold for fpir in fpirs]
        missed.append([float(np.mean(found < (-np.inf if threshold is None else threshold))) for threshold in thresholds])
    return OpenSet(gallery, strangers, tuple(fpirs.tolist()), *_summary(np.array(missed)))


def cmc(similarity: Floats, person: Ints, seed: int = 1) -> Cmc | None:
    """The cumulative match characteristic from similarities [n, n] of persons [n]: one crop of everybody with two or more is the
    gallery, their others search it; ties count against us. None with fewer than two such people."""
    people = galleries.able(person)
    if people < 2:
        return None
    ranks = np.arange(1, min(RANKS, people) + 1)
    shares = []
    for draw in galleries.everybody(person, seed):
        rank = metrics.ranks(similarity[np.ix_(draw.probes, draw.entries)], draw.owner)
        shares.append(np.mean(rank[:, None] <= ranks, axis=0))
    return Cmc(people, *_summary(np.array(shares)))


def _summary(draws: Floats) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Mean, 2.5 % and 97.5 % quantile of the rows, rounded as figures are."""
    ends = np.quantile(draws, (0.025, 0.975), axis=0)
    return _rounded(draws.mean(axis=0)), _rounded(ends[0]), _rounded(ends[1])


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
