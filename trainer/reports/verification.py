"""One picture against one: every figure of verification over all pairs, and what the figures mean at a gate."""

from __future__ import annotations

import msgspec
import numpy as np

from daemon.core.bundle import Card, Figure
from trainer.measure import metrics
from trainer.reports import bands
from trainer.reports.bands import AllPairs

BINS = 80


class Operating(msgspec.Struct, frozen=True):
    """A threshold and its effect: a share `tar` of genuine pairs reaches it, and `errors` impostor pairs from `people_pairs` different
    pairs of people. Null where a single impostor pair would already exceed the target."""

    target: float
    threshold: float | None
    fmr: float | None
    tar: float | None
    low: float | None
    high: float | None
    errors: int | None
    people_pairs: int | None


class Roc(msgspec.Struct, frozen=True):
    """ROC points by rising FMR, with the interval of the TAR at each."""

    threshold: tuple[float, ...]
    fmr: tuple[float, ...]
    tar: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Histogram(msgspec.Struct, frozen=True):
    """Numbers of pairs between `edges` [bins + 1]."""

    edges: tuple[float, ...]
    genuine: tuple[int, ...]
    impostor: tuple[int, ...]


class Verification(msgspec.Struct, frozen=True):
    """One picture against one: AUC, EER and TAR at FMR over all pairs."""

    genuine: int
    impostor: int
    figures: tuple[Figure, ...]
    operating: tuple[Operating, ...]
    roc: Roc
    histogram: Histogram


class Before(msgspec.Struct, frozen=True):
    """The same pairs before the training, as `what` told them apart: ROC points by rising FMR, and figures. The mean distances of two
    pictures, before and after, are of one person and of two; null where the model does not compare by distance."""

    what: str
    fmr: tuple[float, ...]
    tar: tuple[float, ...]
    figures: tuple[Figure, ...]
    distances: tuple[float, float] | None
    distances_after: tuple[float, float] | None


class Gate(msgspec.Struct, frozen=True):
    """What the figures mean for a gate of `people` templates where a share `fpir` of strangers' tries may be let through: the
    threshold that asks for (`basis` card: of the card's table; people: by the rule FMR = 1 - (1 - FPIR)^(1/N) on these people;
    unknown: neither can say), the share of genuine pairs that reach it, and of impostor pairs."""

    people: int
    fpir: float
    basis: str
    threshold: float | None
    tar: float | None
    low: float | None
    high: float | None
    fmr: float | None


def verification(pairs: AllPairs, on: str) -> Verification:
    """AUC, EER, operating points, ROC with its band, and the histogram of similarities; intervals by identity bootstrap."""
    genuine, impostor = pairs.genuine, pairs.impostor
    curve = bands.curve(pairs)
    area, equal = metrics.auc(genuine, impostor), metrics.eer(genuine, impostor)
    points = tuple(operating(pairs, curve, target) for target in metrics.FMRS)
    figures = (
        Figure("auc", area, *bands.auc_interval(curve, area), on),
        Figure("eer", equal, *bands.eer_interval(curve, equal), on),
        *(Figure(f"tar@{point.target:.0e}", point.tar, point.low, point.high, on) for point in points),
    )
    low, high = bands.tar_band(curve)
    rising = (values[::-1].tolist() for values in (curve.threshold, curve.fmr, curve.tar, low, high))
    edges = np.linspace(min(genuine.min(), impostor.min()), max(genuine.max(), impostor.max()) + 1e-6, BINS + 1)
    counts = (tuple(np.histogram(values, edges)[0].tolist()) for values in (genuine, impostor))
    return Verification(
        len(genuine), len(impostor), figures, points, Roc(*(tuple(row) for row in rising)), Histogram(tuple(edges.tolist()), *counts)
    )


def before(pairs: AllPairs, after: AllPairs, what: str, on: str, apart: bool) -> Before:
    """What `what` made of the same pairs. `apart`: similarities are cosines, which give distances."""
    curve = bands.curve(pairs, resamples=1)
    points = (metrics.at_fmr(pairs.genuine, pairs.impostor, target) for target in metrics.FMRS)
    found = {"auc": metrics.auc(pairs.genuine, pairs.impostor), "eer": metrics.eer(pairs.genuine, pairs.impostor)}
    found |= {f"tar@{point.target:.0e}": point.tar for point in points if point.threshold is not None}
    figures = tuple(Figure(name, value, None, None, on) for name, value in found.items())
    return Before(
        what,
        tuple(curve.fmr[::-1].tolist()),
        tuple(curve.tar[::-1].tolist()),
        figures,
        *(_means(one) if apart else None for one in (pairs, after)),
    )


def _means(pairs: AllPairs) -> tuple[float, float]:
    """The mean distance of two pictures of one person, and of two people."""
    return float(np.mean(metrics.distance(pairs.genuine))), float(np.mean(metrics.distance(pairs.impostor)))


def operating(pairs: AllPairs, curve: bands.Curve, target: float) -> Operating:
    """The lowest threshold that keeps the FMR target, as `metrics.at_fmr` finds it, with the interval of its TAR."""
    point = metrics.at_fmr(pairs.genuine, pairs.impostor, target)
    if point.threshold is None:
        return Operating(target, None, None, None, None, None, None, None)
    low, high = bands.tar_at(curve, target)
    wrong = pairs.impostor >= point.threshold
    between = len(np.unique(pairs.first[wrong] * (pairs.second.max() + 1) + pairs.second[wrong]))
    return Operating(
        target, point.threshold, point.fmr, point.tar, min(low, point.tar), max(high, point.tar), int(wrong.sum()), int(between)
    )


def at_gate(pairs: AllPairs | None, card: Card | None, people: int, fpir: float) -> Gate:
    """One picture against one template at the threshold of a gate with `people` templates."""
    threshold, basis = None, "unknown"
    if card is not None:
        threshold, basis = card.calibration.threshold(people, fpir), "card"
    elif pairs is not None:
        threshold, basis = metrics.at_fmr(pairs.genuine, pairs.impostor, 1 - (1 - fpir) ** (1 / people)).threshold, "people"
    if threshold is None or pairs is None:
        return Gate(people, fpir, "unknown" if threshold is None else basis, threshold, None, None, None, None)
    return Gate(people, fpir, basis, threshold, *bands.tar_over(pairs, threshold), float(np.mean(pairs.impostor >= threshold)))
