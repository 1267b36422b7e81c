"""Exact error rates from similarities, in numpy: no binning, no interpolation, and ties count against us.

The terms are those of ISO/IEC 19795: FMR and FNMR count comparisons, FPIR and FNIR count searches of a gallery. A threshold t accepts
similarity >= t, as the gate does.

A similarity that is not a finite number counts against us, as at the gate: a genuine one is never accepted, an impostor one always is
(`closed`). So a model that answers with NaN is the worst one and never a perfect one. Thresholds and pages are not made of such answers at
all: what opens a model (`trainer.models`) raises VectorError, and so do `calibrate`, `allpairs` and the reports with faults of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from daemon.core.rates import wilson as wilson

Floats: TypeAlias = NDArray[np.floating]
Similarity: TypeAlias = Callable[[Floats, Floats], Floats]
"""How alike each of [n, d] is to each of [m, d]: a matrix [n, m], in which higher is closer. It must be symmetric in its arguments."""

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The false match rates that cards and reports give figures for."""


def closed(similarity: Floats, same: NDArray[np.bool_] | bool) -> Floats:
    """Similarities of any shape with everything that is not a finite number at its worst: minus infinity where `same`, else infinity."""
    worst = np.where(same, -np.inf, np.inf).astype(similarity.dtype)
    return np.where(np.isfinite(similarity), similarity, worst)


def cosine(a: Floats, b: Floats) -> Floats:
    """Cosine similarity [n, m] of unit vectors [n, d] and [m, d]."""
    return np.asarray(a @ b.T)


@dataclass(frozen=True, slots=True)
class Operating:
    """One point of the ROC: at `threshold` the measured FMR is `fmr` (never above the target), and the share `tar` is recognised.
    `threshold` is None if the data cannot resolve the target. It is infinite, and `fmr` above the target, if too many impostors are NaN."""

    target: float
    threshold: float | None
    fmr: float
    tar: float

    @property
    def fnmr(self) -> float:
        """The share of genuine comparisons that are refused."""
        return 1 - self.tar


@dataclass(frozen=True, slots=True)
class Distances:
    """The mean Euclidean distance between two crops of the same person, and of two people. Unit vectors are 0 to 2 apart; NaN means that
    there is no such pair."""

    same: float
    other: float


def roc(genuine: Floats, impostor: Floats) -> tuple[Floats, Floats, Floats]:
    """(FMR, TAR, threshold), one row for each distinct similarity, from accept-nobody to accept-all."""
    scores = np.concatenate([closed(genuine, True), closed(impostor, False)])
    labels = np.concatenate([np.ones(len(genuine), bool), np.zeros(len(impostor), bool)])
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    accepted = np.cumsum(labels)[last]
    fmr = (last + 1 - accepted) / max(1, len(impostor))
    return np.append(0.0, fmr), np.append(0.0, accepted / max(1, len(genuine))), np.append(np.inf, scores[last])


def auc(genuine: Floats, impostor: Floats) -> float:
    """Area under the ROC: the probability that a genuine pair is more alike than an impostor pair; a tie counts half."""
    fmr, tar, _ = roc(genuine, impostor)
    return float(np.trapezoid(tar, fmr))


def eer(genuine: Floats, impostor: Floats) -> float:
    """Equal error rate: where FMR and FNMR cross, interpolated between the two measured points around the crossing."""
    fmr, tar, _ = roc(genuine, impostor)
    return crossing(fmr, tar)


def crossing(fmr: Floats, tar: Floats) -> float:
    """Equal error rate of a ROC given as rates [points] with rising FMR. The rates may start late, but must go past the crossing."""
    gap = fmr - (1 - tar)
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0 or after == 0:
        return float(fmr[after])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fmr[after - 1] + share * (fmr[after] - fmr[after - 1]))


def at_fmr(genuine: Floats, impostor: Floats, target: float) -> Operating:
    """The lowest threshold whose measured FMR does not exceed the target. The threshold is None (not resolvable) if a single
    impostor would already be more than the target allows: then one could only say "no error was seen"."""
    if len(impostor) * target < 1:
        return Operating(target, None, float("nan"), float("nan"))
    genuine, impostor = closed(genuine, True), closed(impostor, False)
    ordered = np.sort(impostor)[::-1]
    allowed = allowed_impostors(len(ordered), target)
    # The threshold is just above the first impostor that must stay out. Ties with it stay out too.
    threshold = float(np.nextafter(ordered[allowed], np.inf, dtype=ordered.dtype)) if allowed < len(ordered) else float(ordered[-1])
    return Operating(target, threshold, _share(impostor >= threshold), _share(genuine >= threshold))


def allowed_impostors(impostors: int, target: float) -> int:
    """How many of the impostors may be accepted at this FMR. 0.3 of ten is three, although 0.1 + 0.2 is a little more than 0.3."""
    return int(np.floor(target * impostors + 1e-9))


def ranks(similarity: Floats, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank, from 1, at which each search [probes, gallery] finds its right column `owner` [probes]. Among equal columns it is last."""
    own = closed(similarity[np.arange(len(owner)), owner], True)
    return np.asarray((closed(similarity, False) >= own[:, None]).sum(axis=1), np.int64)


def distance(similarity: Floats) -> Floats:
    """Euclidean distance of unit vectors from their cosine similarity: d² = 2 - 2s."""
    return np.sqrt(np.maximum(2 - 2 * similarity, 0))


def _share(accepted: NDArray[np.bool_]) -> float:
    return float(np.mean(accepted)) if len(accepted) else float("nan")


def ten_fold_right(similarity: Floats, same: NDArray[np.bool_], folds: int = 10) -> NDArray[np.bool_]:
    """Which pairs are judged correctly, each fold with the threshold that is best on the other folds. The mean is the usual accuracy. Folds
    are cut within each kind of pair in the given order, so that every fold has both kinds and neighbours stay together."""
    fold = np.empty(len(same), np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(same == kind)
        fold[rows] = np.arange(len(rows)) * folds // max(1, len(rows))
    right = np.zeros(len(same), bool)
    finite = np.isfinite(similarity)  # what is not is wrong at every threshold, and chooses none
    for index in np.unique(fold):
        inside, rest = (fold == index) & finite, (fold != index) & finite
        if not (fold != index).any():
            raise ValueError("accuracy over folds needs two pairs of each kind")
        if rest.any():
            right[inside] = (similarity[inside] >= best_threshold(similarity[rest], same[rest])) == same[inside]
    return right


def all_pairs(vectors: Floats, person: NDArray[np.int64], similarity: Similarity = cosine) -> tuple[Floats, Floats]:
    """(genuine, impostor) similarities of all pairs among vectors [n, d] of persons [n], in memory: about 30 bytes per pair."""
    upper = np.triu_indices(len(vectors), 1)
    alike = similarity(vectors, vectors)[upper]
    same = (person[:, None] == person[None, :])[upper]
    return alike[same], alike[~same]


def best_threshold(similarity: Floats, same: NDArray[np.bool_]) -> float:
    """The threshold at which most pairs are judged correctly: the middle between the two neighbouring similarities."""
    order = np.argsort(similarity, kind="stable")
    ordered, labels = similarity[order], same[order]
    right = np.append(0, np.cumsum(~labels)) + labels.sum() - np.append(0, np.cumsum(labels))
    # There is no cut between equal similarities.
    right[1:-1][np.diff(ordered) == 0] = -1
    cut = int(np.argmax(right))
    if cut == 0:
        return float(ordered[0])
    return float(ordered[-1]) + 1e-6 if cut == len(ordered) else float((ordered[cut - 1] + ordered[cut]) / 2)
