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
from daemon.core.counts import counted
from daemon.core.faults import Fault
from daemon.core.passages.defaults import SAME_FACE_FMR
from trainer import terminal
from trainer.clean import suspects
from trainer.measure import metrics, passages
from trainer.models.whole import Embed
from trainer.people.data import Crops

GALLERIES = (1, 10, 20, 50, 100, 200, 500, 1000)
FPIRS = (0.1, 0.03, 0.01, 0.003, 0.001)
DRAWS = 40
RISK = 0.05
FEW = 300
CROPS_EACH = 4
"""Of fewer people than FEW so many crops are used. With the public model and 60 people, thresholds for 20 templates varied by 0.031 from
one draw of people to the next with one crop of each, and by 0.014 with up to four (LOG.md)."""


class CalibrationError(Fault):
    """No threshold can be set from these similarities; `message` and `hint` are one line each."""


def calibrate(embed: Embed, crops: Crops, source: str, seed: int = 1) -> Calibration:
    """The card's calibration from labelled crops. The passages take most of the time: about fifty embeddings for each crop.

    Strangers and gallery entries are independent people. From FEW people on, only the first crop of each is used. Of fewer people up to
    CROPS_EACH are, and each draw takes another crop of each: this adds no people, and so promises no stricter rate, but the thresholds
    depend less on the picture that happened to be first.
    """
    each = CROPS_EACH if len(crops.people) < FEW else 1
    rows = first_rows(crops.person, each)
    pixels, person = crops.pixels[rows], crops.person[rows]
    vectors = embed(pixels)
    alone = first_rows(person, 1)
    firsts = vectors[alone]
    _warn(firsts, [crops.people[who] for who in person[alone]], seed)
    table = of_vectors(firsts, source, seed)
    looked = passages.looks(embed, pixels, table.pair_threshold(SAME_FACE_FMR), seed)
    passing = passages.nearest(looked, vectors).astype(np.float64)
    single = cells(np.asarray(vectors @ vectors.T, np.float64), seed, person=person)
    return msgspec.structs.replace(table, cells=tuple(single), passages=tuple(cells(passing, seed, person=person)))


def first_rows(person: NDArray[np.int64], each: int) -> NDArray[np.int64]:
    """The rows of the first crops of everybody, at most so many of each person, in their order."""
    order = np.argsort(person, kind="stable")
    start = np.searchsorted(person[order], person[order])
    return np.sort(order[np.arange(len(order)) - start < each])


def warn_of_doubles(embed: Embed, crops: Crops, seed: int = 1) -> None:
    """Say on the console what pairs of people who look like one person would do to the thresholds of these people, if there are any."""
    first = crops.at(first_rows(crops.person, 1))
    _warn(embed(first.pixels), [first.people[who] for who in first.person], seed)


def _warn(vectors: NDArray[np.float32], names: list[str], seed: int) -> None:
    text = suspects.warning(vectors, names, lambda similarity: cells(similarity, seed))
    if text is not None:
        terminal.say(text)


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


def cells(
    similarity: NDArray[np.float64],
    seed: int,
    galleries: Sequence[int] = GALLERIES,
    fpirs: Sequence[float] = FPIRS,
    person: NDArray[np.int64] | None = None,
) -> list[Cell]:
    """The table from all similarities [n, n] of n crops' searches (rows) to their gallery entries (columns), one crop of each of n people,
    or those of `person` [n].

    For each gallery size this draws DRAWS galleries, and everybody else is a stranger; where a person has several crops, each draw takes
    one of them. A cell is the median of the draws' bounds, raised where needed so that the threshold never falls with N or with a stricter
    FPIR. Raises CalibrationError if a similarity is not finite."""
    crops_of = [np.array([row]) for row in range(len(similarity))] if person is None else _rows_of(person)
    people = len(crops_of)
    broken = int((~np.isfinite(similarity)).any(axis=1).sum())
    if broken:
        raise CalibrationError(
            f"the similarities of {broken} of {counted(len(similarity), 'crop')} are not finite numbers",
            "train or export the model again: it answers with NaN",
        )
    table: list[Cell] = []
    below: dict[float, float] = {}
    for gallery in galleries:
        strangers = max(0, people - gallery)
        bounds: dict[float, list[float]] = {fpir: [] for fpir in fpirs}
        rng = np.random.default_rng((seed, gallery))
        for _ in range(DRAWS if strangers else 0):
            order = _drawn(crops_of, rng.permutation(people), rng)
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


def _rows_of(person: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(person == one) for one in np.unique(person)]


def _drawn(crops_of: Sequence[NDArray[np.int64]], order: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A crop of each person in this order. Where nobody has a choice nothing is drawn, so that the seed gives what it always gave."""
    if max(map(len, crops_of)) == 1:
        return np.array([crops_of[one][0] for one in order])
    return np.array([rng.choice(crops_of[one]) for one in order])


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
    threshold = None if point is None or point.threshold is None or not math.isfinite(point.threshold) else point.threshold
    threshold = None if threshold is None else math.ceil(threshold * 1e5) / 1e5
    return FmrPoint(fmr, threshold, len(impostor))


def resolves_fmr(comparisons: int, fmr: float) -> bool:
    """Whether so many comparisons of two people are enough for a threshold at this rate."""
    return comparisons * fmr >= 3
