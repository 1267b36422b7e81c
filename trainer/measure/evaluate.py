"""How good a model is on people it never saw: pairs, searches of a full gallery, and the gate's own measure, open-set search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Figure
from trainer.measure import allpairs, koch, metrics, oneshot
from trainer.measure.metrics import Floats, Operating, Similarity
from trainer.people import galleries
from trainer.people.data import Crops, DataError

GALLERIES = (10, 100, 200, 1000)
FPIRS = (1e-1, 1e-2, 1e-3)
RANKS = (1, 5)
RESAMPLES = 1000
CURVES = 200
"""The number of resamples of a whole curve."""
BLOCK = 256


@dataclass(frozen=True, slots=True)
class OpenSet:
    """One draw's searches at one FPIR: the share of rightful searches that do not find the right person at the threshold (`fnir`), and the
    share that find a wrong person (`misidentified`)."""

    fnir: float
    misidentified: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """A measured pair list: similarity float64 [pairs], whether the pair is one person bool [pairs], and the weights of the bootstrap."""

    similarity: NDArray[np.float64]
    same: NDArray[np.bool_]
    weights: NDArray[np.float64]


def measure_pairs(
    vectors: NDArray[np.float32],
    crops: Crops,
    pairs: tuple[Sequence[str], Sequence[str], NDArray[np.bool_]],
    similarity: Similarity = metrics.cosine,
) -> Pairs:
    """The similarity of every pair of a list, from the vectors [n, d] of the crops. Raises DataError if a crop of the list is missing."""
    place = {name: index for index, name in enumerate(crops.names)}
    missing = [name for name in (*pairs[0], *pairs[1]) if name not in place]
    if missing:
        raise DataError(f"{missing[0]} of the pair list is not among the crops", "give the crops that belong to the pair list")
    a, b = np.array([place[name] for name in pairs[0]]), np.array([place[name] for name in pairs[1]])
    alike = listed(vectors, a, b, similarity)
    return Pairs(alike.astype(np.float64), pairs[2], person_weights(crops.person[a], crops.person[b]))


def listed(vectors: NDArray[np.float32], a: NDArray[np.int64], b: NDArray[np.int64], similarity: Similarity) -> Floats:
    """The similarity of each pair [n] of a list of places a, b [n] in vectors [m, d]."""
    # A similarity function takes whole matrices. With small ones little is computed in vain.
    cuts = range(0, len(a), 32)
    return np.concatenate([np.diagonal(similarity(vectors[a[cut : cut + 32]], vectors[b[cut : cut + 32]])) for cut in cuts])


def roc_csv(pairs: Pairs) -> bytes:
    """The whole ROC as CSV: one row for each distinct similarity, from accept-nobody to accept-all."""
    fmr, tar, threshold = metrics.roc(pairs.similarity[pairs.same], pairs.similarity[~pairs.same])
    rows = (f"{t:.6f},{f:.6f},{r:.6f}" for t, f, r in zip(threshold, fmr, tar, strict=True))
    return "\n".join(["threshold,fmr,tar", *rows, ""]).encode()


def pair_figures(pairs: Pairs, on: str) -> list[Figure]:
    """Accuracy (10-fold), AUC, EER and TAR at FMR, each with an interval from resampling people."""
    similarity, same, weights = pairs.similarity, pairs.same, pairs.weights
    genuine, impostor = similarity[same], similarity[~same]
    right = metrics.ten_fold_right(similarity, same)
    area, equal = curve_intervals(pairs)
    figures = [
        _figure("accuracy", float(np.mean(right)), _interval(right, weights), on),
        _figure("auc", metrics.auc(genuine, impostor), area, on),
        _figure("eer", metrics.eer(genuine, impostor), equal, on),
    ]
    for point in (metrics.at_fmr(genuine, impostor, fmr) for fmr in metrics.FMRS):
        accepted = None if point.threshold is None else _interval(genuine >= point.threshold, weights[:, same])
        figures.append(_tar(point, accepted, on))
    return figures


def curve_intervals(pairs: Pairs) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % intervals of AUC and EER from CURVES resamples of people."""
    similarity = metrics.closed(pairs.similarity, pairs.same)
    order = np.argsort(-similarity, kind="stable")
    same, ordered = pairs.same[order], similarity[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    if similarity[pairs.same].min() > similarity[~pairs.same].max():
        # If nothing failed, no resample fails. With FMR and FNMR below Wilson's upper ends at one threshold, the EER is below
        # the larger end, and the ROC holds at least the rectangle beyond that point.
        fnmr, fmr = metrics.wilson(0, int(same.sum()))[1], metrics.wilson(0, int((~same).sum()))[1]
        return ((1 - fnmr) * (1 - fmr), 1.0), (0.0, max(fnmr, fmr))
    found = []
    for weight in pairs.weights[:CURVES, order]:
        totals = weight[same].sum(), weight[~same].sum()
        if all(totals):
            rates = [np.append(0.0, np.cumsum(weight * kind)[last] / total) for kind, total in zip((same, ~same), totals, strict=True)]
            found.append((float(np.trapezoid(rates[0], rates[1])), metrics.crossing(rates[1], rates[0])))
    area, equal = np.transpose(found) if found else np.array([[0.0, 1.0]] * 2)
    return _middle(area), _middle(equal)


def all_pair_figures(measured: allpairs.AllPairs, on: str) -> list[Figure]:
    """AUC, EER and TAR at FMR over all pairs. There are no intervals, because many comparisons of few people are far from independent."""
    figures = [Figure("auc", round(measured.auc, 6), None, None, on), Figure("eer", round(measured.eer, 6), None, None, on)]
    return figures + [_tar(point, None, on) for point in measured.operating]


def distance_figures(vectors: NDArray[np.float32], person: NDArray[np.int64], on: str) -> list[Figure]:
    """The mean Euclidean distance between two crops of one person, and of two people, over all pairs of unit vectors [n, d]."""
    found = allpairs.distances(vectors, person)
    values = {"distance:same": found.same, "distance:other": found.other}
    return [Figure(name, round(value, 5) if np.isfinite(value) else None, None, None, on) for name, value in values.items()]


def koch_figures(vectors: koch.Vectors, person: koch.Numbers, similarity: Similarity, on: str) -> list[Figure]:
    """Koch's verification accuracy (see koch.py), with an interval from resampling characters. `vectors` and `person` are those of the
    characters to choose the threshold on, and of the characters to measure. Empty if either has no two drawings of one character."""
    if any(galleries.able(own) < 1 or len(np.unique(own)) < 2 for own in person):
        return []
    val, test = (koch.drawn(own) for own in person)
    alike = [listed(own, one.a, one.b, similarity) for own, one in zip(vectors, (val, test), strict=True)]
    right = koch.right(alike[0], val.same, alike[1], test.same)
    weights = person_weights(person[1][test.a], person[1][test.b])
    return [_figure(f"accuracy@pairs={koch.PAIRS}", float(np.mean(right)), _interval(right, weights), on)]


def one_shot_figures(score: oneshot.Score, on: str) -> list[Figure]:
    """The share of right answers on Lake's runs, with Wilson's interval."""
    return [_figure(f"one-shot-{oneshot.WAYS}-way", score.share, (score.low, score.high), on)]


def held_out_figures(shares: NDArray[np.float64], on: str) -> list[Figure]:
    """The mean share of right answers over one-shot runs on alphabets that were held out, and the middle 95 % of the runs."""
    if not len(shares):
        return []
    low, high = np.quantile(shares, (0.025, 0.975))
    return [_figure(f"one-shot-{oneshot.WAYS}-way", float(np.mean(shares)), (float(low), float(high)), on)]


def rank_figures(
    vectors: NDArray[np.float32], person: NDArray[np.int64], on: str, similarity: Similarity = metrics.cosine, seed: int = 1
) -> list[Figure]:
    """CMC at RANKS: the mean over draws, and the middle 95 % of the draws. One crop of everybody who has two or more is enrolled, and their
    other crops are searched for. Empty if fewer than two people have two crops."""
    people = galleries.able(person)
    if people < 2:
        return []
    found = []
    for draw in galleries.everybody(person, seed):
        gallery, cuts = vectors[draw.entries], range(0, len(draw.probes), BLOCK)
        ranks = [metrics.ranks(similarity(vectors[draw.probes[cut : cut + BLOCK]], gallery), draw.owner[cut : cut + BLOCK]) for cut in cuts]
        found.append([float(np.mean(np.concatenate(ranks) <= rank)) for rank in RANKS])
    shares = zip(RANKS, np.transpose(found), strict=True)
    # Everybody is among the first five of three.
    return [_over_draws(f"rank-{rank},n={people}", share, on, people) for rank, share in shares if rank < people]


def open_set_figures(
    vectors: NDArray[np.float32], person: NDArray[np.int64], on: str, seed: int = 1, similarity: Similarity = metrics.cosine
) -> list[Figure]:
    """FNIR at FPIR for several gallery sizes, with one enrolled crop per person: the mean over draws, and the middle 95 % of the draws.

    Galleries are drawn from people with two crops or more. Their other crops are the rightful searches, and one crop of everybody else
    is a stranger's search. A cell with fewer strangers than 1/FPIR cannot be resolved.
    """
    figures: list[Figure] = []
    for gallery in (size for size in GALLERIES if size <= galleries.able(person)):
        found: dict[float, list[OpenSet]] = {fpir: [] for fpir in FPIRS}
        for draw in galleries.drawn(person, gallery, seed):
            if not len(draw.strangers):
                continue
            entries = vectors[draw.entries]
            strangers = similarity(vectors[draw.strangers], entries).max(axis=1)
            rightful = similarity(vectors[draw.probes], entries)
            for fpir in FPIRS:
                threshold = metrics.at_fmr(np.empty(0), strangers, fpir).threshold
                if threshold is not None:
                    found[fpir].append(search(rightful, draw.owner, threshold))
        for fpir, searches in found.items():
            cell = f"fpir={fpir:.0e},n={gallery}"
            if not searches:
                figures.append(Figure(f"fnir@{cell}", None, None, None, on))
                continue
            figures.append(_over_draws(f"fnir@{cell}", np.array([one.fnir for one in searches]), on, gallery))
            figures.append(_over_draws(f"misidentified@{cell}", np.array([one.misidentified for one in searches]), on, gallery))
    return figures


def search(similarity: NDArray[np.floating], owner: NDArray[np.int64], threshold: float) -> OpenSet:
    """Judge rightful searches [probes, gallery] whose right answer is column `owner`. A search is missed unless the owner reaches τ and is
    more alike than everybody else."""
    best = metrics.ranks(similarity, owner) == 1
    accepted = metrics.closed(similarity.max(axis=1), False) >= threshold
    return OpenSet(1 - float(np.mean(accepted & best)), float(np.mean(accepted & ~best)))


def person_weights(a: NDArray[np.int64], b: NDArray[np.int64], seed: int = 1) -> NDArray[np.float64]:
    """Weights [RESAMPLES, pairs] of an identity bootstrap: people are drawn with replacement, and a pair counts as often as its people
    were drawn. Pairs of one person depend on each other, so resampling pairs would make the intervals too narrow."""
    people, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    first, second = codes[: len(a)], codes[len(a) :]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=RESAMPLES).astype(np.float64)
    return np.where(a == b, drawn[:, first], drawn[:, first] * drawn[:, second])


def to_json(figures: Sequence[Figure]) -> bytes:
    """Figures as JSON, which `export` reads."""
    return msgspec.json.format(msgspec.json.encode(list(figures)), indent=1)


def from_json(content: bytes) -> list[Figure]:
    """Read figures from JSON. Raises DataError."""
    try:
        return msgspec.json.decode(content, type=list[Figure])
    except msgspec.DecodeError as error:
        raise DataError(f"the figures cannot be read: {error}", "write them with `ostiary-train evaluate --json`") from error


def _interval(right: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[float, float]:
    if right.all() or not right.any():
        # If nothing failed, no resample fails. Wilson's interval allows for a failure that has not happened yet.
        return metrics.wilson(int(right.sum()), len(right))
    total = weights.sum(axis=1)
    share = (weights @ right.astype(np.float64))[total > 0] / total[total > 0]
    return _middle(share)


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def _tar(point: Operating, interval: tuple[float, float] | None, on: str) -> Figure:
    name = f"tar@{point.target:.0e}"
    if point.threshold is None or interval is None:
        return Figure(name, None if point.threshold is None else round(point.tar, 5), None, None, on)
    return _figure(name, point.tar, interval, on)


def _over_draws(name: str, values: NDArray[np.float64], on: str, people: int) -> Figure:
    if not values.any():
        # There was no error in any draw: this is the rate that this many independent people cannot rule out.
        return _figure(name, 0.0, metrics.wilson(0, people), on)
    if (values == 1).all():  # the same for shares of right answers
        return _figure(name, 1.0, metrics.wilson(people, people), on)
    return _figure(name, float(values.mean()), _middle(values), on)


def _figure(name: str, value: float, interval: tuple[float, float], on: str) -> Figure:
    return Figure(name, round(value, 5), round(interval[0], 5), round(interval[1], 5), on)
