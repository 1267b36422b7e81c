"""Sets a card's thresholds from people the model never saw: how similar strangers are to a gallery of N people, and two people to each
other.

A gate searches, so FPIR counts: the share of all strangers' searches whose best similarity reaches the threshold. FPIR grows about as
N times FMR, so the thresholds are a table over N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Calibration, Cell, FmrPoint
from daemon.core.passages.defaults import SAME_FACE_FMR
from trainer.measure import metrics, passages
from trainer.models.whole import Embed
from trainer.people.data import Crops

GALLERIES = (1, 10, 20, 50, 100, 200, 500, 1000)
FPIRS = (0.1, 0.03, 0.01, 0.003, 0.001)
DRAWS = 40
RISK = 0.05


def calibrate(embed: Embed, crops: Crops, source: str, seed: int = 1) -> Calibration:
    """The card's calibration from labelled crops. It uses only the first crop of each person, so that strangers and gallery entries are
    independent people. The passages take most of the time: about fifty embeddings for each person."""
    first = np.sort(np.unique(crops.person, return_index=True)[1])
    pixels = crops.pixels[first]
    vectors = embed(pixels)
    table = of_vectors(vectors, source, seed)
    looked = passages.looks(embed, pixels, table.pair_threshold(SAME_FACE_FMR), seed)
    passing = passages.nearest(looked, vectors).astype(np.float64)
    return msgspec.structs.replace(table, passages=tuple(cells(passing, seed)))


def of_vectors(vectors: NDArray[np.float32], source: str, seed: int = 1) -> Calibration:
    """The calibration for single crops from n unit vectors [n, d], one for each person."""
    similarity = np.asarray(vectors @ vectors.T, np.float64)
    impostor = similarity[np.triu_indices(len(vectors), 1)]
    return Calibration(
        cells=tuple(cells(similarity, seed)),
        fmr=tuple(fmr_point(impostor, fmr) for fmr in metrics.FMRS),
        identities=len(vectors),
        comparisons=len(impostor),
        source=source,
    )


def cells(similarity: NDArray[np.float64], seed: int, galleries: Sequence[int] = GALLERIES, fpirs: Sequence[float] = FPIRS) -> list[Cell]:
    """The table from all similarities [n, n] of n people's searches (rows) to their gallery entries (columns).

    For each gallery size this draws DRAWS galleries, and everybody else is a stranger. A cell is the median of the draws' bounds, raised
    where needed so that the threshold never falls with N or with a stricter FPIR."""
    people = len(similarity)
    table: list[Cell] = []
    below: dict[float, float] = {}
    for gallery in galleries:
        strangers = max(0, people - gallery)
        bounds: dict[float, list[float]] = {fpir: [] for fpir in fpirs}
        rng = np.random.default_rng((seed, gallery))
        for _ in range(DRAWS if strangers else 0):
            order = rng.permutation(people)
            nearest = np.sort(similarity[np.ix_(order[gallery:], order[:gallery])].max(axis=1))[::-1]
            for fpir in fpirs:
                allowed = allowed_errors(strangers, fpir)
                if allowed is not None:
                    bounds[fpir].append(float(nearest[allowed]))
        left = -1.0
        for fpir in sorted(fpirs, reverse=True):
            threshold = None
            if bounds[fpir]:
                # Just above the most similar stranger who has to stay out.
                threshold = round(max(float(np.median(bounds[fpir])) + 1e-5, below.get(fpir, -1.0), left), 5)
                below[fpir] = left = threshold
            table.append(Cell(gallery, fpir, threshold, strangers, people))
    return table


def allowed_errors(trials: int, rate: float, risk: float = RISK) -> int | None:
    """The largest number of errors in `trials` independent trials that still shows, with confidence 1 - risk, a true rate of at most
    `rate` (Clopper-Pearson). None if even zero errors would not show it: that takes about 3/rate trials."""
    chance, allowed = 0.0, None
    for errors in range(trials + 1):
        logarithm = math.lgamma(trials + 1) - math.lgamma(errors + 1) - math.lgamma(trials - errors + 1)
        chance += math.exp(logarithm + errors * math.log(rate) + (trials - errors) * math.log1p(-rate))
        if chance > risk:
            break
        allowed = errors
    return allowed


def fmr_point(impostor: NDArray[np.float64], fmr: float) -> FmrPoint:
    """The threshold of one FMR; null with fewer than 3/fmr comparisons. Comparisons share people, so this is a point estimate without a
    bound."""
    point = metrics.at_fmr(np.empty(0), impostor, fmr) if resolves_fmr(len(impostor), fmr) else None
    threshold = None if point is None or point.threshold is None else math.ceil(point.threshold * 1e5) / 1e5
    return FmrPoint(fmr, threshold, len(impostor))


def resolves_fmr(comparisons: int, fmr: float) -> bool:
    """Whether so many comparisons of two people are enough for a threshold at this rate."""
    return comparisons * fmr >= 3
