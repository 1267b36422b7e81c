"""Everything that a report shows, as numbers: how good a model is on people it never saw, over all pairs of their crops.

`measure` is pure: vectors and crops in, a `Report` out, which is written beside the page as report.json. Rates are shares 0..1,
similarities have no unit, intervals are 95 %. What the data cannot show is null and never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Card, Figure
from daemon.core.faults import Fault
from trainer.measure import evaluate
from trainer.measure.metrics import Floats, Similarity, cosine
from trainer.people.data import Crops
from trainer.reports import bands, searches
from trainer.reports.bands import Ints
from trainer.reports.classes import Classes, classes
from trainer.reports.searches import Cmc, OpenSet
from trainer.reports.verification import Before, Gate, Verification, at_gate, before, verification

GALLERIES = (10, 50, 100, 1000)
MAX_CROPS = 5000
HARDEST = 8
CANDIDATES = 20_000
MAP_PEOPLE = 12

PairList = tuple[Sequence[str], Sequence[str], NDArray[np.bool_]]


class ReportError(Fault):
    """A report that cannot be made; `message` and `hint` are one line each."""


class Pair(msgspec.Struct, frozen=True):
    """Two crops by their names, and how alike they are."""

    a: str
    b: str
    similarity: float


class Cloud(msgspec.Struct, frozen=True):
    """One person's crops on the map."""

    person: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Map(msgspec.Struct, frozen=True):
    """Embeddings of the people with the most crops, on their first two principal components. `explained` is the share of the variance
    that each component holds."""

    explained: tuple[float, float]
    people: tuple[Cloud, ...]


class Report(msgspec.Struct, frozen=True):
    """Everything that is drawn. `on` names the people measured, and `noun` says what they are: person, digit or character. Parts
    that could not be measured or were not given are null or empty."""

    model: str
    on: str
    made: str | None
    crops: int
    people: int
    dimension: int
    verification: Verification | None
    gate: Gate
    open_set: tuple[OpenSet, ...]
    cmc: Cmc | None
    protocol: tuple[Figure, ...]
    hardest_genuine: tuple[Pair, ...]
    hardest_impostor: tuple[Pair, ...]
    map: Map | None
    history: tuple[dict[str, float | str | None], ...]
    card: Card | None
    classes: Classes | None = None
    before: Before | None = None
    noun: str = "person"


@dataclass(frozen=True, slots=True)
class Earlier:
    """The same crops as vectors [n, d] of weights from before the training, how these compare, and what they are called."""

    vectors: Floats
    similarity: Similarity
    what: str


def measure(
    vectors: Floats,
    crops: Crops,
    pairs: PairList | None = None,
    similarity: Similarity = cosine,
    history: Sequence[Mapping[str, object]] = (),
    card: Card | None = None,
    *,
    model: str,
    on: str,
    gate: int = 100,
    fpir: float = 0.01,
    made: str | None = None,
    earlier: Earlier | None = None,
    noun: str = "person",
) -> Report:
    """Measure vectors [n, d] of n crops. `pairs` is a pair protocol as `data.pairs` reads it, `history` the lines of history.jsonl,
    `made` a date to print, `earlier` what the training is compared with. Raises ReportError, and DataError for a pair list that names
    other crops."""
    if len(vectors) != len(crops) or len(crops) < 2:
        raise ReportError(f"{len(vectors)} vectors for {len(crops)} crops", "give one vector per crop, and at least two crops")
    if len(crops) > MAX_CROPS:
        raise ReportError(f"{len(crops)} crops make too many pairs", f"report on at most {MAX_CROPS}, for example on one part of a split")
    matrix = similarity(vectors, vectors)
    if not np.isfinite(matrix).all():
        raise ReportError("the model gives similarities that are not numbers", "its training has diverged: lower the learning rate")
    listed = evaluate.measure_pairs(np.asarray(vectors, np.float32), crops, pairs, similarity) if pairs is not None else None
    every = bands.all_pairs(matrix, crops.person)
    verified = verification(every, on) if len(every.genuine) and len(every.impostor) else None
    started = None
    if earlier is not None and verified is not None:
        matrix_before = earlier.similarity(earlier.vectors, earlier.vectors)
        if np.isfinite(matrix_before).all():
            by_distance = similarity is cosine and earlier.similarity is cosine
            started = before(bands.all_pairs(matrix_before, crops.person), every, earlier.what, on, by_distance)
    least, most = lowest(every.genuine), lowest(-every.impostor)
    couple = every.first * len(crops.people) + every.second
    found = (searches.open_set(matrix, crops.person, gallery) for gallery in GALLERIES)
    return Report(
        model=model,
        on=on,
        made=made,
        crops=len(crops),
        people=every.people,
        dimension=vectors.shape[1],
        verification=verified,
        gate=at_gate(every if verified else None, card, gate, fpir),
        open_set=tuple(curve for curve in found if curve is not None),
        cmc=searches.cmc(matrix, crops.person),
        protocol=tuple(evaluate.pair_figures(listed, on)) if listed is not None else (),
        hardest_genuine=hardest(every.genuine, least, every.genuine_a, every.genuine_b, every.owner, crops.names),
        hardest_impostor=hardest(every.impostor, most, every.impostor_a, every.impostor_b, couple, crops.names),
        map=embedding_map(vectors, crops),
        history=tuple({name: _plain(value) for name, value in line.items()} for line in history),
        # Nobody reads golden vectors.
        card=msgspec.structs.replace(card, golden=()) if card is not None else None,
        classes=classes(vectors, crops) if similarity is cosine else None,
        before=started,
        noun=noun,
    )


def lowest(values: Floats) -> Ints:
    """Places of the lowest values in ascending order, at most CANDIDATES: sorting millions of pairs to show a few is slow."""
    few = np.argpartition(values, CANDIDATES)[:CANDIDATES] if len(values) > CANDIDATES else np.arange(len(values))
    return few[np.lexsort((few, values[few]))]


def hardest(similarity: Floats, order: Ints, a: Ints, b: Ints, group: Ints, names: Sequence[str]) -> tuple[Pair, ...]:
    """The first HARDEST pairs in this order, one of each group, so that one person with a wrong label does not fill the list."""
    first = np.sort(np.unique(group[order], return_index=True)[1])[:HARDEST]
    return tuple(Pair(names[a[at]], names[b[at]], float(similarity[at])) for at in order[first])


def embedding_map(vectors: Floats, crops: Crops) -> Map | None:
    """Principal components of the people with the most crops. None if fewer than two people have two crops, or all crops are equal."""
    counts = np.bincount(crops.person, minlength=len(crops.people))
    chosen = [int(who) for who in np.argsort(-counts, kind="stable")[:MAP_PEOPLE] if counts[who] >= 2]
    if len(chosen) < 2 or vectors.shape[1] < 2:
        return None
    rows = np.flatnonzero(np.isin(crops.person, chosen))
    centred = np.asarray(vectors[rows], np.float64) - np.mean(vectors[rows], axis=0, dtype=np.float64)
    if not centred.any():
        return None
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary; its largest loading points up, so that the same vectors give the same map.
    top = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    x, y = np.round(centred @ top.T, 4).T
    explained = (size[:2] ** 2 / np.sum(size**2)).tolist()
    of = {who: crops.person[rows] == who for who in chosen}
    clouds = (Cloud(crops.people[who], tuple(x[own].tolist()), tuple(y[own].tolist())) for who, own in of.items())
    return Map((explained[0], explained[1]), tuple(clouds))


def to_json(report: Report) -> bytes:
    """The report as report.json."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


def _plain(value: object) -> float | str | None:
    """A value of a history line. NaN, and anything that is neither a number nor text, is null."""
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
