"""How far people, or digits, are from each other: the mean distance between pictures of one and pictures of another."""

from __future__ import annotations

import msgspec
import numpy as np

from trainer.measure import allpairs
from trainer.measure.metrics import Floats
from trainer.people.data import Crops

MOST = 12
"""A table of more classes cannot be read; the closest pairs take its place."""
CLOSEST = 10


class Couple(msgspec.Struct, frozen=True):
    """Two people, and the mean Euclidean distance (0..2) between a picture of one and a picture of the other."""

    a: str
    b: str
    distance: float


class Classes(msgspec.Struct, frozen=True):
    """The mean distances between people: of few people the whole `table` [people, people] in the order of `people`, whose diagonal is
    between different pictures of one (null if there is only one picture); of many people none, and only the `closest` couples."""

    people: tuple[str, ...]
    table: tuple[tuple[float | None, ...], ...]
    closest: tuple[Couple, ...]


def classes(vectors: Floats, crops: Crops) -> Classes | None:
    """The distances between unit vectors [n, d] of n crops. None for fewer than two people, or if a vector is no number."""
    there = np.unique(crops.person)
    if len(there) < 2 or not np.isfinite(vectors).all():
        return None
    people = [crops.people[who] for who in there]
    found = allpairs.distance_table(vectors, crops.person)
    first, second = np.triu_indices(len(people), 1)
    apart = found[first, second]
    order = np.argsort(apart, kind="stable")[:CLOSEST]
    closest = tuple(Couple(people[first[at]], people[second[at]], float(apart[at])) for at in order)
    if len(people) > MOST:
        return Classes((), (), closest)
    rows = tuple(tuple(None if np.isnan(value) else float(value) for value in row) for row in found)
    return Classes(tuple(people), rows, closest)
