"""Measure on faces of known people what a model's file does not say: whether it takes RGB or BGR, and how the pixels are scaled.

The wrong order of colours costs a model a point or two and breaks nothing, so nobody notices it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from daemon.core.counts import counted, persons
from daemon.core.faults import Fault
from trainer import terminal
from trainer.bundle.raw_model import ORDERS, OnnxError, Raw, Way, embedder, way_of
from trainer.measure import metrics
from trainer.people.augment import Cut
from trainer.people.data import Crops

SCALINGS = ((127.5, 127.5), (127.5, 128.0), (0.0, 1.0), (0.0, 255.0))
"""The values of (mean, scale) to try if none is given."""
RESAMPLES = 1000
LEAST_GAIN = 1e-3
LEAST_PEOPLE = 10
MOST_PEOPLE = 400
MOST_CROPS = 800


class SettleError(Fault):
    """The faces do not show what the model takes; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to give pixels to the model, and its figures over all pairs of labelled faces: AUC, TAR at FMR 1e-2, and the rarity
    with its 95 % interval (people resampled). A figure is NaN if the model's answers are not vectors, or if the data cannot show it.

    Rarity is the mean of -log10 of the FMR at each genuine pair's similarity: 3 means that one impostor in a thousand is as alike. It
    tells close candidates apart. AUC cannot, because a few wrong labels outweigh the gain of all the other pairs.
    """

    way: Way
    auc: float
    tar: float
    rarity: float
    low: float
    high: float


def settle(
    raw: Raw,
    crops: Crops,
    order: Literal["auto", "rgb", "bgr"] = "auto",
    mean: float | None = None,
    scale: float | None = None,
    cut: Cut | None = None,
) -> tuple[Way, tuple[Candidate, ...]]:
    """How the model takes pixels, and the table of all candidates measured on these people, which is printed. It always has both orders, so
    that a forced order is shown beside the other.

    Raises SettleError if the order must be measured and the people cannot show it: if the 95 % interval of the difference in rarity, with
    the same people drawn for both, reaches below 0.001.
    """
    if order not in ("auto", *ORDERS):
        raise SettleError(f"the order is {order!r}", "give auto, rgb or bgr")
    if (mean is None) != (scale is None):
        raise SettleError("only one of mean and scale is given", "give both or none: pixels become (x - mean) / scale")
    scalings = SCALINGS if mean is None or scale is None else ((mean, scale),)
    ways = [way_of(colours, *scaling, cut) for colours in ORDERS for scaling in scalings]
    allowed = [way for way in ways if order in ("auto", way.order)]
    few = _few(crops.with_images(2))
    if len(few.people) < LEAST_PEOPLE:
        if len(allowed) == 1:
            return allowed[0], ()
        raise SettleError(
            f"only {persons(len(few.people), 'val')} with two crops or more, too few to measure what the model takes",
            f"give crops of at least {LEAST_PEOPLE} people, or order, mean and scale",
        )
    console = terminal.console()
    measured = {way: _measure(raw, way, few) for way in track(ways, "measure", console=console, transient=True)}
    table = tuple(candidate for candidate, _ in measured.values())
    ranked = sorted((way for way in allowed if math.isfinite(measured[way][0].rarity)), key=lambda way: -measured[way][0].rarity)
    if not ranked:
        raise SettleError(
            "the model answers faces with zeros, or with numbers that are not finite", "export the model again: the file is damaged"
        )
    best = ranked[0]
    console.print(_shown(table, best, f"{counted(len(few), 'crop')} of {persons(len(few.people), 'val')}"))
    rivals = [way for way in ranked if way.order != best.order]
    if rivals:
        gain = measured[best][1] - measured[rivals[0]][1]
        low, high = float(np.quantile(gain, 0.025)), float(np.quantile(gain, 0.975))
        if low < LEAST_GAIN:
            raise SettleError(
                f"these people cannot tell {best.order} from {rivals[0].order}: a gain of {low:+.4f} … {high:+.4f} in -log10 FMR",
                "give the order of colours (--order rgb or bgr), or add more people",
            )
    return best, table


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
    return Crops(crops.pixels[keep], crops.people, crops.person[keep], tuple(crops.names[index] for index in keep), crops.digest)


def _measure(raw: Raw, way: Way, crops: Crops) -> tuple[Candidate, NDArray[np.float64]]:
    """A candidate, and its rarity in RESAMPLES draws of people with replacement. The draws are the same for every candidate, and the
    impostors that rarity is counted among are not drawn again."""
    try:
        vectors = embedder(raw, way)(crops.pixels)
    except OnnxError:
        return Candidate(way, *[math.nan] * 5), np.full(RESAMPLES, math.nan)
    genuine, impostor = metrics.all_pairs(vectors, crops.person)
    as_alike = len(impostor) - np.searchsorted(np.sort(impostor), genuine)
    rarity = -np.log10((as_alike + 1) / (len(impostor) + 1))
    first, second = np.triu_indices(len(crops), 1)
    owner = crops.person[first][crops.person[first] == crops.person[second]]
    people = len(crops.people)
    drawn = np.random.default_rng(1).multinomial(people, np.full(people, 1 / people), size=RESAMPLES)
    draws = drawn @ np.bincount(owner, rarity, people) / np.maximum(1, drawn @ np.bincount(owner, minlength=people))
    low, high = float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))
    tar = metrics.at_fmr(genuine, impostor, 1e-2).tar
    return Candidate(way, metrics.auc(genuine, impostor), tar, float(rarity.mean()), low, high), draws


def _shown(table: Sequence[Candidate], best: Way, title: str) -> Table:
    shown = Table("order", "mean", "scale", "AUC", "TAR@1e-2", "-log10 FMR", "95 % interval", "", title=title)
    for item in sorted(table, key=lambda item: math.inf if math.isnan(item.rarity) else -item.rarity):
        numbers = [f"{item.auc:.5f}", f"{item.tar:.4f}", f"{item.rarity:.3f}", f"{item.low:.2f} … {item.high:.2f}"]
        way = item.way
        shown.add_row(way.order, f"{way.mean:g}", f"{way.scale:g}", *numbers, "best" if way == best else "")
    return shown
