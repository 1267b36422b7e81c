"""Searches of a gallery as curves: open set (FNIR against FPIR) and closed set (CMC), each over many draws of who is enrolled.

The figures of `evaluate` are the same measures at round numbers; a curve shows how far the data carries between them.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer import metrics
from trainer.metrics import Floats

DRAWS = 30
RANKS = 20
PER_DECADE = 12
FPIRS = (1e-1, 1e-2, 1e-3)

Ints = NDArray[np.int64]


class OpenSet(msgspec.Struct, frozen=True):
    """Mean FNIR over draws and the middle 95 % of the draws, at each FPIR; `strangers` searched in vain per draw."""

    gallery: int
    strangers: int
    fpir: tuple[float, ...]
    fnir: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Cmc(msgspec.Struct, frozen=True):
    """Share of rightful searches whose person is among the first 1, 2, 3, … answers of a gallery of so many people."""

    gallery: int
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def open_set(similarity: Floats, person: Ints, gallery: int, seed: int = 1) -> OpenSet | None:
    """FNIR at FPIR from similarities [n, n] of persons [n]. One crop enrolled of each of `gallery` people who have two or more, their
    others searched for, one crop of everybody else as a stranger. From the FPIR of one stranger in all up to 1, the round FPIRS among
    them. None where there are too few people, or no stranger."""
    crops_of, able = _who(person)
    strangers = len(crops_of) - gallery
    if len(able) < gallery or gallery < 1 or strangers < 1:
        return None
    rng = np.random.default_rng((seed, gallery))
    decades = np.log10(strangers)
    spaced = np.logspace(-decades, 0, 2 + int(np.ceil(decades * PER_DECADE)))
    fpirs = np.union1d(spaced, [fpir for fpir in FPIRS if fpir * strangers >= 1])
    missed = np.empty((DRAWS, len(fpirs)))
    for draw in range(DRAWS):
        enrolled = rng.choice(able, gallery, replace=False)
        entries, probes, owner = _enrol(crops_of, enrolled, rng)
        known = set(enrolled.tolist())
        others = np.array([rng.choice(own) for who, own in enumerate(crops_of) if who not in known])
        nearest = similarity[np.ix_(others, entries)].max(axis=1)
        rightful = similarity[np.ix_(probes, entries)]
        # A search answered with the wrong person, or with two alike, is missed at every threshold.
        found = np.where(metrics.ranks(rightful, owner) == 1, rightful.max(axis=1), -np.inf)
        for place, fpir in enumerate(fpirs):
            threshold = metrics.at_fmr(np.empty(0), nearest, min(1.0, fpir * (1 + 1e-9))).threshold
            missed[draw, place] = np.mean(found < (-np.inf if threshold is None else threshold))
    return OpenSet(gallery, strangers, tuple(fpirs.tolist()), *_summary(missed))


def cmc(similarity: Floats, person: Ints, seed: int = 1) -> Cmc | None:
    """The cumulative match characteristic from similarities [n, n] of persons [n]: one crop of everybody with two or more is the
    gallery, their others search it; ties count against us. None with fewer than two such people."""
    crops_of, able = _who(person)
    if len(able) < 2:
        return None
    rng = np.random.default_rng(seed)
    ranks = np.arange(1, min(RANKS, len(able)) + 1)
    shares = np.empty((DRAWS, len(ranks)))
    for draw in range(DRAWS):
        entries, probes, owner = _enrol(crops_of, able, rng)
        rank = metrics.ranks(similarity[np.ix_(probes, entries)], owner)
        shares[draw] = np.mean(rank[:, None] <= ranks, axis=0)
    return Cmc(len(able), *_summary(shares))


def _who(person: Ints) -> tuple[list[Ints], Ints]:
    """The crops of each person who has any, and which of these people have two or more."""
    crops_of = [np.flatnonzero(person == who) for who in np.unique(person)]
    return crops_of, np.array([place for place, own in enumerate(crops_of) if len(own) >= 2], np.int64)


def _enrol(crops_of: list[Ints], enrolled: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """One crop of each as gallery entry, the others as probes with their owner's column."""
    mixed = [rng.permutation(crops_of[who]) for who in enrolled]
    entries = np.array([own[0] for own in mixed])
    owner = np.concatenate([np.full(len(own) - 1, column) for column, own in enumerate(mixed)])
    return entries, np.concatenate([own[1:] for own in mixed]), owner


def _summary(draws: Floats) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Mean, 2.5 % and 97.5 % quantile of the rows, rounded as figures are."""
    ends = np.quantile(draws, (0.025, 0.975), axis=0)
    return _rounded(draws.mean(axis=0)), _rounded(ends[0]), _rounded(ends[1])


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
