"""The verification curve over all pairs of a set of people, and how far it would move with other people: an identity bootstrap.

All pairs that one person is part of depend on one another, so people are drawn with replacement, and not pairs
(Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap", 2004). A genuine pair counts as
often as its person was drawn, an impostor pair as often as the product of its two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.measure import metrics
from trainer.measure.metrics import Floats

RESAMPLES = 400
PER_DECADE = 40

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AllPairs:
    """Every pair of some crops: similarities genuine [g] and impostor [i], the crops a < b of each as places, and who they show
    (impostors: `first` < `second`). `people` is the number of people, also those without a genuine pair."""

    genuine: Floats
    genuine_a: Ints
    genuine_b: Ints
    owner: Ints
    impostor: Floats
    impostor_a: Ints
    impostor_b: Ints
    first: Ints
    second: Ints
    people: int


@dataclass(frozen=True, slots=True)
class Curve:
    """ROC at `threshold` [t], ascending, with resamples of it [resamples, t]; a resample without genuine or impostor pairs is left out."""

    threshold: Floats
    fmr: Floats
    tar: Floats
    drawn_fmr: Floats
    drawn_tar: Floats


def all_pairs(similarity: Floats, person: Ints) -> AllPairs:
    """The pairs in the similarities [n, n] of persons [n]; only the upper triangle is read."""
    a, b = np.triu_indices(len(person), 1)
    values, same = similarity[a, b], person[a] == person[b]
    other_a, other_b = a[~same], b[~same]
    low, high = np.minimum(person[other_a], person[other_b]), np.maximum(person[other_a], person[other_b])
    people = len(np.unique(person))
    return AllPairs(values[same], a[same], b[same], person[a[same]], values[~same], other_a, other_b, low, high, people)


def curve(pairs: AllPairs, seed: int = 1, resamples: int = RESAMPLES) -> Curve:
    """The ROC at thresholds log-spaced in FMR, exact at each, and its resamples. Raises ValueError without pairs of both kinds."""
    if not len(pairs.genuine) or not len(pairs.impostor):
        raise ValueError("a curve needs pairs of one person and pairs of two people")
    threshold = _thresholds(pairs.genuine, pairs.impostor)
    fmr = 1 - np.searchsorted(np.sort(pairs.impostor), threshold) / len(pairs.impostor)
    tar = 1 - np.searchsorted(np.sort(pairs.genuine), threshold) / len(pairs.genuine)
    count = int(max(pairs.owner.max(), pairs.second.max())) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float32)
    accepted, genuine = _genuine(pairs, threshold, drawn)
    false, impostor = _impostor(pairs, threshold, drawn)
    usable = (genuine > 0) & (impostor > 0)
    return Curve(threshold, fmr, tar, false[usable] / impostor[usable, None], accepted[usable] / genuine[usable, None])


def tar_at(found: Curve, target: float) -> tuple[float, float]:
    """95 % interval of the TAR at a target FMR, each resample at its own lowest threshold that keeps the target."""
    kept = found.drawn_fmr <= target
    place = np.where(kept.any(axis=1), kept.argmax(axis=1), found.drawn_fmr.shape[1] - 1)
    return _middle(found.drawn_tar[np.arange(len(place)), place])


def tar_band(found: Curve) -> tuple[Floats, Floats]:
    """(low, high) [t]: the 95 % interval of the TAR at each FMR of the curve."""
    ends = np.array([tar_at(found, float(fmr)) for fmr in found.fmr])
    # The thresholds of a resample are coarse. They must not move the band off the measured curve.
    return np.minimum(ends[:, 0], found.tar), np.maximum(ends[:, 1], found.tar)


def auc_interval(found: Curve, exact: float) -> tuple[float, float]:
    """95 % interval of the area under the ROC."""
    return _about(exact, _area(found.fmr[None], found.tar[None]), _area(found.drawn_fmr, found.drawn_tar))


def eer_interval(found: Curve, exact: float) -> tuple[float, float]:
    """95 % interval of the equal error rate."""
    return _about(exact, _crossing(found.fmr[None], found.tar[None]), _crossing(found.drawn_fmr, found.drawn_tar))


def tar_over(pairs: AllPairs, threshold: float, seed: int = 1, resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """(share, low, high) of genuine pairs that reach a fixed threshold; Wilson's interval over people where none or all do."""
    reached = pairs.genuine >= threshold
    if reached.all() or not reached.any():
        people = len(np.unique(pairs.owner))
        return float(reached[0]), *metrics.wilson(people if reached[0] else 0, people)
    owners, owner = np.unique(pairs.owner, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(owners), np.full(len(owners), 1 / len(owners)), size=resamples)
    share = (drawn @ np.bincount(owner, reached)) / (drawn @ np.bincount(owner))
    return float(np.mean(reached)), *_middle(share)


def _thresholds(genuine: Floats, impostor: Floats) -> Floats:
    """For targets log-spaced from one impostor in all to everybody, the lowest threshold that keeps the target; ascending."""
    ordered = np.sort(impostor)[::-1]
    decades = np.log10(len(ordered))
    targets = np.logspace(-decades, 0, 2 + int(np.ceil(decades * PER_DECADE)))
    allowed = np.floor(targets * len(ordered) + 1e-9).astype(np.int64)
    just_above = np.nextafter(ordered[allowed[allowed < len(ordered)]], np.array(np.inf, ordered.dtype))
    nobody = np.nextafter(np.maximum(ordered[0], genuine.max()), np.array(np.inf, ordered.dtype))
    return np.unique(np.concatenate([just_above, [min(ordered[-1], genuine.min()), np.nextafter(ordered[0], np.inf), nobody]]))


def _genuine(pairs: AllPairs, threshold: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """Weight of genuine pairs accepted [resamples, t], and of all [resamples]."""
    steps = len(threshold) + 1
    place = np.searchsorted(threshold, pairs.genuine, side="right")
    counts = np.bincount(pairs.owner * steps + place, minlength=drawn.shape[1] * steps).reshape(drawn.shape[1], steps)
    weight = drawn @ np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    return weight[:, 1:], weight[:, 0]


def _impostor(pairs: AllPairs, threshold: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """The same of impostor pairs, from the number of pairs between each two people in each step of the threshold."""
    place = np.searchsorted(threshold, pairs.impostor, side="right")
    # In 16 bits the sort is a radix sort; there are some hundred thresholds.
    order = np.argsort(place.astype(np.int16), kind="stable")
    cuts = np.append(0, np.cumsum(np.bincount(place, minlength=len(threshold) + 1)))
    people = drawn.shape[1]
    key = (pairs.first * people + pairs.second)[order]
    weight = np.zeros((len(drawn), len(threshold) + 1))
    for step in range(len(threshold) + 1):
        couples = key[cuts[step] : cuts[step + 1]]
        if len(couples) < people * people // 20:
            # With few pairs, single products are less work than all people by all people.
            first, second = np.divmod(couples, people)
            weight[:, step] = np.einsum("rk,rk->r", drawn[:, first], drawn[:, second])
        else:
            between = np.bincount(couples, minlength=people * people).reshape(people, people)
            weight[:, step] = np.einsum("rp,rp->r", drawn @ between.astype(np.float32), drawn)
    weight = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    return weight[:, 1:], weight[:, 0]


def _area(fmr: Floats, tar: Floats) -> Floats:
    return np.asarray(-np.trapezoid(tar, fmr, axis=1))


def _crossing(fmr: Floats, tar: Floats) -> Floats:
    """Where FMR and FNMR cross on each row, linear between the two points around it."""
    gap = fmr - (1 - tar)
    after = np.clip((gap <= 0).argmax(axis=1), 1, gap.shape[1] - 1)
    row = np.arange(len(gap))
    fall = gap[row, after - 1] - gap[row, after]
    share = np.clip(gap[row, after - 1] / np.where(fall > 0, fall, 1), 0, 1)
    return np.asarray(fmr[row, after - 1] + share * (fmr[row, after] - fmr[row, after - 1]))


def _about(exact: float, plain: Floats, drawn: Floats) -> tuple[float, float]:
    """The resamples' interval, moved by the error that the coarse thresholds cause in the measured curve."""
    low, high = _middle(drawn - plain[0] + exact)
    return max(0.0, min(low, exact)), min(1.0, max(high, exact))


def _middle(values: Floats) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))
