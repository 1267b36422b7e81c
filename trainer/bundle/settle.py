"""Measure on faces of known people what a model's file does not say: whether it takes RGB or BGR, and how the pixels are scaled.

The wrong order of colours costs a model a point or two and breaks nothing, so nobody notices it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from daemon.core.counts import counted, persons
from daemon.core.faults import Fault
from trainer import terminal
from trainer.bundle.raw_model import ORDERS, Numbers, OnnxError, Raw, Way, embedder, way_of
from trainer.measure import metrics
from trainer.people.augment import Cut
from trainer.people.data import Crops

IMAGENET: tuple[Numbers, Numbers] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
SCALINGS: tuple[tuple[Numbers, Numbers], ...] = ((127.5, 127.5), (127.5, 128.0), IMAGENET, (0.0, 255.0), (0.0, 1.0))
"""The values of (mean, scale) to try if none is given, the usual ones of face models first. Those that the faces do not tell apart are the
same to them, and the first is taken."""
AS_IT_IS: tuple[tuple[Numbers, Numbers], ...] = ((0.0, 1.0),)
"""A model that takes bytes scales them itself."""
RESAMPLES = 1000
LEAST_GAIN = 1e-3
LEAST_PEOPLE = 10
MOST_PEOPLE = 400
MOST_CROPS = 800
FOLDS = 5
SURE_PEOPLE = 60
"""Fewer people may be sure of the wrong order: one draw of twelve in twenty was (LOG.md). So they must not depend on a fifth of them."""
CHANCE = 0.6
"""A model whose AUC is at most this does not tell people apart."""


class SettleError(Fault):
    """The faces do not show what the model takes; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to give pixels to the model, and its figures over all pairs of labelled faces. A figure is NaN if the model's answers are not
    vectors, or if the data cannot show it.

    `separation` is how many standard deviations of impostor pairs the mean genuine pair lies above the mean impostor pair, with its 95 %
    interval (people resampled). It chooses, because it tells close candidates apart with few people, where hardly an impostor is as alike
    as a genuine pair. `rarity` is the mean of -log10 of the FMR at each genuine pair's similarity: 3 means that one impostor in a thousand
    is as alike. It has a veto, because it sees impostors who are very alike. AUC can do neither: a few wrong labels outweigh the gain of
    all other pairs.
    """

    way: Way
    auc: float
    tar: float
    rarity: float
    separation: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Measured:
    """A candidate, and its separation and its rarity in RESAMPLES draws of people with replacement. The draws are the same for every
    candidate, and the impostors are not drawn again."""

    candidate: Candidate
    separation: NDArray[np.float64]
    rarity: NDArray[np.float64]


def settle(
    raw: Raw,
    crops: Crops,
    order: Literal["auto", "rgb", "bgr"] = "auto",
    mean: Numbers | None = None,
    scale: Numbers | None = None,
    cut: Cut | None = None,
    *,
    shared: bool = False,
) -> tuple[Way, tuple[Candidate, ...]]:
    """How the model takes pixels, and the table of all candidates measured on these people, which is printed. It always has both orders, so
    that a forced order is shown beside the other.

    `shared`: the thresholds will be of these people too. Then each fifth of them is left out once, and all others must choose the same, so
    that nobody's pictures have chosen the way in which they are measured. Fewer than SURE_PEOPLE must agree on the order in any case.

    Raises SettleError if the order must be measured and the people cannot show it: if the 95 % interval of the difference in separation,
    with the same people drawn for both, reaches below 0.001.
    """
    if order not in ("auto", *ORDERS):
        raise SettleError(f"the order is {order!r}", "give auto, rgb or bgr")
    if (mean is None) != (scale is None):
        raise SettleError("only one of mean and scale is given", "give both or none: pixels become (x - mean) / scale")
    scalings = SCALINGS if mean is None or scale is None else ((mean, scale),)
    if raw.kind.kind == "u":
        if mean is not None and scalings != AS_IT_IS:
            raise SettleError("the model takes bytes, so it scales them itself", "leave out --mean and --scale")
        scalings = AS_IT_IS
    ways = [way_of(colours, *scaling, cut) for colours in ORDERS for scaling in scalings]
    allowed = [way for way in ways if order in ("auto", way.order)]
    few, kind = _few(crops.with_images(2)), "" if shared else "val"
    if len(few.people) < LEAST_PEOPLE:
        if len(allowed) == 1:
            return allowed[0], ()
        raise SettleError(
            f"only {persons(len(few.people), kind)} with two crops or more, too few to measure what the model takes",
            f"give crops of at least {LEAST_PEOPLE} people, or order, mean and scale",
        )
    console = terminal.console()
    vectors = {way: _vectors(raw, way, few) for way in track(ways, "measure", console=console, transient=True)}
    measured = {way: _measure(way, found, few.person) for way, found in vectors.items()}
    table = tuple(one.candidate for one in measured.values())
    tied = _best(measured, allowed)
    console.print(_shown(table, tied[0], f"{counted(len(few), 'crop')} of {persons(len(few.people), kind)}"))
    if not max(one.auc for one in table if not math.isnan(one.auc)) > CHANCE:
        raise SettleError(
            f"the model does not tell these people apart (AUC {measured[tied[0]].candidate.auc:.3f})",
            "is it a face-embedding model, and are the crops sorted by person?",
        )
    _need_one_order(measured, allowed, tied[0])
    if len(tied) > 1:
        told = ", ".join(_scaling(way) for way in tied)
        terminal.say(f"these people do not tell {told} apart: the most usual, {_scaling(tied[0])}, is taken")
    if len(allowed) > 1 and (shared or len(few.people) < SURE_PEOPLE):
        _need_agreement(vectors, few, allowed, tied[0], whole=shared)
    return tied[0], table


def _best(measured: Mapping[Way, _Measured], allowed: Sequence[Way]) -> list[Way]:
    """The chosen way, and after it those of its order that are not told apart from the best. Raises SettleError if no way gives vectors."""
    ranked = sorted(
        (way for way in allowed if math.isfinite(measured[way].candidate.separation)), key=lambda way: -_separation(measured, way)
    )
    if not ranked:
        raise SettleError(
            "the model answers faces with zeros, or with numbers that are not finite", "export the model again: the file is damaged"
        )
    best = ranked[0]
    return [way for way in allowed if way in ranked and way.order == best.order and _gain(measured, best, way)[0] < LEAST_GAIN]


def _need_one_order(measured: Mapping[Way, _Measured], allowed: Sequence[Way], best: Way) -> None:
    """Raises SettleError unless the best way of the other order is worse for sure, and no impostors speak against it."""
    others = [way for way in allowed if way.order != best.order and math.isfinite(measured[way].candidate.separation)]
    if not others:
        return
    rival = max(others, key=lambda way: _separation(measured, way))
    low, high = _gain(measured, best, rival)
    hint = "give the order of colours (--order rgb or bgr), or add more people"
    if not low >= LEAST_GAIN:
        said = f"a gain of {low:+.4f} … {high:+.4f} standard deviations"
        raise SettleError(f"these people cannot tell {best.order} from {rival.order}: {said}", hint)
    lost = measured[rival].rarity - measured[best].rarity
    if float(np.quantile(lost, 0.025)) > 0:
        raise SettleError(f"{best.order} separates people better, but the most alike impostors speak for {rival.order}", hint)


def _need_agreement(
    vectors: Mapping[Way, NDArray[np.float32] | None], crops: Crops, allowed: Sequence[Way], best: Way, whole: bool
) -> None:
    """Raises SettleError unless the people without each fifth of them choose the same: the `whole` way, or at least its order."""
    fold = np.random.default_rng(1).permutation(len(crops.people)) % FOLDS
    for left_out in range(FOLDS):
        rows = np.flatnonzero(fold[crops.person] != left_out)
        person = np.unique(crops.person[rows], return_inverse=True)[1]
        measured = {way: _measure(way, None if found is None else found[rows], person) for way, found in vectors.items() if way in allowed}
        chosen = _best(measured, allowed)[0]
        if chosen.order != best.order or (whole and chosen != best):
            raise SettleError(
                f"without a fifth of the people another way is chosen ({_told(chosen)} instead of {_told(best)})",
                "give --order, --mean and --scale, or a --split with people for val and for calibration",
            )


def _gain(measured: Mapping[Way, _Measured], best: Way, other: Way) -> tuple[float, float]:
    """The 95 % interval of how much better the first separates people."""
    gain = measured[best].separation - measured[other].separation
    return float(np.quantile(gain, 0.025)), float(np.quantile(gain, 0.975))


def _separation(measured: Mapping[Way, _Measured], way: Way) -> float:
    return measured[way].candidate.separation


def _few(crops: Crops) -> Crops:
    """At most MOST_PEOPLE people, with as many crops of each as MOST_CROPS allows in all."""
    crops = crops.of(crops.people[:MOST_PEOPLE]) if len(crops.people) > MOST_PEOPLE else crops
    counts = np.bincount(crops.person, minlength=len(crops.people))
    each_at_most = max((cap for cap in range(2, MOST_CROPS) if np.minimum(counts, cap).sum() <= MOST_CROPS), default=2)
    seen, keep = np.zeros(len(counts), np.int64), []
    for index, person in enumerate(crops.person):
        seen[person] += 1
        if seen[person] <= each_at_most:
            keep.append(index)
    return crops.at(np.array(keep, np.int64))


def _vectors(raw: Raw, way: Way, crops: Crops) -> NDArray[np.float32] | None:
    """The model's answers; None if they are not vectors."""
    try:
        return embedder(raw, way)(crops.pixels)
    except OnnxError:
        return None


def _measure(way: Way, vectors: NDArray[np.float32] | None, person: NDArray[np.int64]) -> _Measured:
    """The figures of one way from vectors [n, D] of persons [n]."""
    if vectors is None:
        return _Measured(Candidate(way, *[math.nan] * 6), *[np.full(RESAMPLES, math.nan)] * 2)
    genuine, impostor = metrics.all_pairs(vectors, person)
    as_alike = len(impostor) - np.searchsorted(np.sort(impostor), genuine)
    rarity = -np.log10((as_alike + 1) / (len(impostor) + 1))
    separation = (genuine - impostor.mean(dtype=np.float64)) / max(float(impostor.std(dtype=np.float64)), 1e-12)
    first, second = np.triu_indices(len(vectors), 1)
    owner = person[first][person[first] == person[second]]
    people = int(person.max()) + 1
    drawn = np.random.default_rng(1).multinomial(people, np.full(people, 1 / people), size=RESAMPLES)
    pairs = np.maximum(1, drawn @ np.bincount(owner, minlength=people))
    draws = [np.asarray(drawn @ np.bincount(owner, figure, people) / pairs, np.float64) for figure in (separation, rarity)]
    low, high = float(np.quantile(draws[0], 0.025)), float(np.quantile(draws[0], 0.975))
    figures = metrics.auc(genuine, impostor), metrics.at_fmr(genuine, impostor, 1e-2).tar, float(rarity.mean()), float(separation.mean())
    return _Measured(Candidate(way, *figures, low, high), *draws)


def _shown(table: Sequence[Candidate], best: Way, title: str) -> Table:
    shown = Table("order", "mean", "scale", "AUC", "-log10 FMR", "separation", "95 %", "", title=title)
    for item in sorted(table, key=lambda item: math.inf if math.isnan(item.separation) else -item.separation):
        numbers = [f"{item.auc:.5f}", f"{item.rarity:.3f}", f"{item.separation:.3f}", f"{item.low:.2f} … {item.high:.2f}"]
        way = item.way
        shown.add_row(way.order, _number(way.mean), _number(way.scale), *numbers, "taken" if way == best else "")
    return shown


def _told(way: Way) -> str:
    return f"{way.order}, {_scaling(way)}"


def _scaling(way: Way) -> str:
    return f"(x - {_number(way.mean)}) / {_number(way.scale)}"


def _number(value: Numbers) -> str:
    return ",".join(f"{number:g}" for number in value) if isinstance(value, tuple) else f"{value:g}"
