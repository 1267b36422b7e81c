"""Pictures that do not belong to the person whose name they have: single ones, and groups of them (two people under one name)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.clean.chance import Cautious
from trainer.clean.pairs import Ints, Vectors

LISTED, UNLIKE = 0.01, 0.05
"""The rates among strangers: a picture is listed if it is no more alike to the others than one pair of strangers in a hundred is, and
surely unlike them at one in twenty. Of people's own pictures 0.6 % and 0.2 % are so unlike, of others' 99 % and 96 % (LOG.md)."""
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Stray:
    """Crops `rows` of one person that are unlike the `rest` of that person's crops; `similarity` is the mean between the two. `sure`: they
    are as unlike as strangers, and it is clear which of the two is the smaller group."""

    person: int
    rows: Ints
    rest: Ints
    similarity: float
    rate: float
    sure: bool


def strays(vectors: Vectors, person: Ints, strangers: Cautious) -> list[Stray]:
    """All strays, the most unlike first. `vectors` [n, d] are of unit length; people with one picture have none."""
    listed, unlike = strangers.at(LISTED), strangers.at(UNLIKE)
    found: list[Stray] = []
    if not np.isfinite(listed):
        return found
    order = np.argsort(person, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(person[order])) + 1):
        for rows, rest in _parts(vectors, own, listed, unlike):
            alike = float((vectors[rows] @ vectors[rest].T).mean())
            if not alike < listed:  # it was only unlike other strays
                continue
            # Of two pictures nobody can tell which one is wrong.
            sure = alike < unlike and len(own) > 2
            found.append(Stray(int(person[own[0]]), rows, rest, alike, strangers.rate(alike), sure))
    return sorted(found, key=lambda stray: stray.similarity)


def _parts(vectors: Vectors, own: Ints, listed: float, unlike: float) -> list[tuple[Ints, Ints]]:
    """(stray crops, the rest) of one person: two groups if they are unlike each other, else single crops that are unlike all the others."""
    count = len(own)
    if count < 2:
        return []
    alike = vectors[own] @ vectors[own].T
    if count == 2:
        return [(own[1:], own[:1])] if alike[0, 1] < unlike else []
    group = _two(vectors[own])
    # Of two groups of one size the first crop's counts as the person's.
    smaller = ~group if (2 * group.sum(), group[0]) > (count, False) else group
    if _together(alike, smaller) >= listed > alike[np.ix_(smaller, ~smaller)].mean():
        return [(own[smaller], own[~smaller])]
    mean = (alike.sum(axis=1) - np.diag(alike)) / (count - 1)
    single = np.flatnonzero(mean < listed)
    # If most are unlike the others, the person has no crops that belong together: each is shown against all the others.
    good = np.setdiff1d(np.arange(count), single)
    return [(own[[at]], own[good] if len(good) else np.delete(own, at)) for at in single]


def _together(alike: Vectors, group: NDArray[np.bool_]) -> float:
    """The mean similarity within a group; minus infinity for a group of one. A wrong picture and a dark one are no second person."""
    many = int(group.sum())
    return float((alike[np.ix_(group, group)].sum() - alike[group, group].sum()) / (many * (many - 1))) if many > 1 else -np.inf


def _two(vectors: Vectors) -> NDArray[np.bool_]:
    """The two groups of a person's vectors [n, d]: cut along their widest direction, then 2-means on the sphere. True for one group."""
    middle = vectors - vectors.mean(axis=0)
    group = np.asarray(middle @ np.linalg.svd(middle, full_matrices=False)[2][0] > 0)
    for _ in range(ROUNDS):
        if group.all() or not group.any():
            break
        first, second = (vectors[which].sum(axis=0) for which in (group, ~group))
        again = vectors @ (first / np.linalg.norm(first)) > vectors @ (second / np.linalg.norm(second))
        if (again == group).all():
            break
        group = np.asarray(again)
    return group
