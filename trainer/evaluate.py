"""What a model is worth on people it never saw: a pair protocol, and the gate's own measure, open-set search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.edges.model import Figure
from trainer import metrics
from trainer.data import Crops, DataError

FMRS = (1e-1, 1e-2, 1e-3)
GALLERIES = (10, 100, 200, 1000)
FPIRS = (1e-1, 1e-2, 1e-3)
DRAWS = 30
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class OpenSet:
    """One draw's searches at one FPIR: share of rightful searches not answered with the right person at the threshold, and share of
    them answered with a wrong one."""

    fnir: float
    misidentified: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """A pair protocol as measured: similarity float64 [pairs], whether it is one person bool [pairs], and the bootstrap's weights."""

    similarity: NDArray[np.float64]
    same: NDArray[np.bool_]
    weights: NDArray[np.float64]


def measure_pairs(vectors: NDArray[np.float32], crops: Crops, pairs: tuple[Sequence[str], Sequence[str], NDArray[np.bool_]]) -> Pairs:
    """The similarity of every pair of a list, from the vectors [n, d] of the crops. Raises DataError when it names a crop not there."""
    place = {name: index for index, name in enumerate(crops.names)}
    missing = [name for name in (*pairs[0], *pairs[1]) if name not in place]
    if missing:
        raise DataError(f"{missing[0]} of the pair list is not among the crops", "give the crops that the pair list was made for")
    a, b = np.array([place[name] for name in pairs[0]]), np.array([place[name] for name in pairs[1]])
    similarity = np.sum(vectors[a] * vectors[b], axis=1).astype(np.float64)
    return Pairs(similarity, pairs[2], person_weights(crops.person[a], crops.person[b]))


def roc_csv(pairs: Pairs) -> bytes:
    """The whole ROC as CSV: one row for each different similarity, from accept-nobody to accept-all."""
    fmr, tar, threshold = metrics.roc(pairs.similarity[pairs.same], pairs.similarity[~pairs.same])
    rows = (f"{t:.6f},{f:.6f},{r:.6f}" for t, f, r in zip(threshold, fmr, tar, strict=True))
    return "\n".join(["threshold,fmr,tar", *rows, ""]).encode()


def pair_figures(pairs: Pairs, on: str) -> list[Figure]:
    """Accuracy (10-fold), AUC, EER and TAR at FMR, each with an interval from resampling people."""
    similarity, same, weights = pairs.similarity, pairs.same, pairs.weights
    genuine, impostor = similarity[same], similarity[~same]
    right = metrics.ten_fold_right(similarity, same)
    figures = [
        _figure("accuracy", float(np.mean(right)), _interval(right, weights), on),
        Figure("auc", round(metrics.auc(genuine, impostor), 5), None, None, on),
        Figure("eer", round(metrics.eer(genuine, impostor), 5), None, None, on),
    ]
    for fmr in FMRS:
        point = metrics.at_fmr(genuine, impostor, fmr)
        if point.threshold is None:
            figures.append(Figure(f"tar@{fmr:.0e}", None, None, None, on))
        else:
            figures.append(_figure(f"tar@{fmr:.0e}", point.tar, _interval(genuine >= point.threshold, weights[:, same]), on))
    return figures


def open_set_figures(vectors: NDArray[np.float32], person: NDArray[np.int64], on: str, seed: int = 1) -> list[Figure]:
    """FNIR at FPIR for several gallery sizes, one enrolled crop per person, mean over draws and the middle 95 % of the draws.

    Galleries are drawn from people with two crops or more; their other crops are the rightful searches; one crop of everybody else
    is a stranger's search. A cell with fewer strangers than 1/FPIR is not resolvable.
    """
    crops_of = [np.flatnonzero(person == who) for who in range(int(person.max(initial=-1)) + 1)]
    able = np.array([who for who, own in enumerate(crops_of) if len(own) >= 2], np.int64)
    figures: list[Figure] = []
    for gallery in GALLERIES:
        if len(able) < gallery:
            continue
        rng = np.random.default_rng((seed, gallery))
        found: dict[float, list[OpenSet]] = {fpir: [] for fpir in FPIRS}
        for _ in range(DRAWS):
            enrolled = rng.choice(able, gallery, replace=False)
            mixed = {int(who): rng.permutation(crops_of[who]) for who in enrolled}
            entries = np.array([own[0] for own in mixed.values()])
            probes = np.concatenate([own[1:] for own in mixed.values()])
            owner = np.concatenate([np.full(len(own) - 1, index) for index, own in enumerate(mixed.values())])
            others = np.array([rng.choice(own) for who, own in enumerate(crops_of) if len(own) and who not in mixed], np.int64)
            if not len(others):
                continue
            strangers = (vectors[others] @ vectors[entries].T).max(axis=1)
            rightful = vectors[probes] @ vectors[entries].T
            for fpir in FPIRS:
                threshold = metrics.at_fmr(np.empty(0), strangers, fpir).threshold
                if threshold is not None:
                    found[fpir].append(search(rightful, owner, threshold))
        for fpir, draws in found.items():
            name = f"fnir@fpir={fpir:.0e},n={gallery}"
            if not draws:
                figures.append(Figure(name, None, None, None, on))
                continue
            fnir = np.array([draw.fnir for draw in draws])
            figures.append(_figure(name, float(fnir.mean()), (float(np.quantile(fnir, 0.025)), float(np.quantile(fnir, 0.975))), on))
            wrong = np.array([draw.misidentified for draw in draws])
            figures.append(
                _figure(
                    f"misidentified@fpir={fpir:.0e},n={gallery}",
                    float(wrong.mean()),
                    (float(np.quantile(wrong, 0.025)), float(np.quantile(wrong, 0.975))),
                    on,
                )
            )
    return figures


def search(similarity: NDArray[np.floating], owner: NDArray[np.int64], threshold: float) -> OpenSet:
    """Rightful searches [probes, gallery] whose right answer is column `owner`: missed unless the best is the owner and reaches τ."""
    best = similarity.argmax(axis=1)
    accepted = similarity.max(axis=1) >= threshold
    right = accepted & (best == owner)
    return OpenSet(1 - float(np.mean(right)), float(np.mean(accepted & (best != owner))))


def person_weights(a: NDArray[np.int64], b: NDArray[np.int64], seed: int = 1) -> NDArray[np.float64]:
    """Weights [RESAMPLES, pairs] of an identity bootstrap: people are drawn with replacement, and a pair counts as often as its people
    were drawn. Pairs of one person hang together, so resampling pairs would make intervals too narrow."""
    people, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    first, second = codes[: len(a)], codes[len(a) :]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=RESAMPLES).astype(np.float64)
    return np.where(a == b, drawn[:, first], drawn[:, first] * drawn[:, second])


def to_json(figures: Sequence[Figure]) -> bytes:
    """Figures as JSON, the form `export` reads back."""
    return msgspec.json.format(msgspec.json.encode(list(figures)), indent=1)


def from_json(content: bytes) -> list[Figure]:
    """Figures from JSON; raises DataError."""
    try:
        return msgspec.json.decode(content, type=list[Figure])
    except msgspec.DecodeError as error:
        raise DataError(f"the figures cannot be read: {error}", "write them with `ostiary-train evaluate --json`") from error


def _interval(right: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[float, float]:
    if right.all() or not right.any():
        # Resampling what never failed never fails; Wilson's interval knows that a failure may just not have come yet.
        return metrics.wilson(int(right.sum()), len(right))
    total = weights.sum(axis=1)
    share = (weights @ right.astype(np.float64))[total > 0] / total[total > 0]
    return float(np.quantile(share, 0.025)), float(np.quantile(share, 0.975))


def _figure(name: str, value: float, interval: tuple[float, float], on: str) -> Figure:
    return Figure(name, round(value, 5), round(interval[0], 5), round(interval[1], 5), on)
