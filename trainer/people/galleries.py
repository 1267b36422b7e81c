"""Galleries drawn at random from labelled crops: enrolled crops, rightful searches and strangers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 30

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw, as indices of crops: gallery `entries` [g]; rightful `probes` [p], with the gallery column `owner` [p] of their person; and
    `strangers` [s], one crop of each person who is not enrolled."""

    entries: Ints
    probes: Ints
    owner: Ints
    strangers: Ints


def able(person: Ints) -> int:
    """How many people have at least two crops: one to enrol, one to search with."""
    return int(np.sum(np.bincount(person) >= 2)) if len(person) else 0


def drawn(person: Ints, gallery: int, seed: int = 1) -> Iterator[Draw]:
    """DRAWS draws of `gallery` people (at most `able`) from those with at least two crops; `person` [n] is the person of each crop."""
    crops_of = _crops_of(person)
    two = np.array([who for who, own in enumerate(crops_of) if len(own) >= 2], np.int64)
    rng = np.random.default_rng((seed, gallery))
    for _ in range(DRAWS):
        enrolled = rng.choice(two, gallery, replace=False)
        entries, probes, owner = _enrol([crops_of[who] for who in enrolled], rng)
        inside = set(enrolled.tolist())
        strangers = np.array([rng.choice(own) for who, own in enumerate(crops_of) if len(own) and who not in inside], np.int64)
        yield Draw(entries, probes, owner, strangers)


def everybody(person: Ints, seed: int = 1) -> Iterator[Draw]:
    """DRAWS draws in which everybody with at least two crops is enrolled, and nobody else searches."""
    two = [own for own in _crops_of(person) if len(own) >= 2]
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield Draw(*_enrol(two, rng), np.empty(0, np.int64))


def _crops_of(person: Ints) -> list[Ints]:
    return [np.flatnonzero(person == who) for who in range(int(person.max(initial=-1)) + 1)]


def _enrol(people: Sequence[Ints], rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """(gallery entries, probes, owner of each probe): one crop of each person is enrolled, and the others search."""
    mixed = [rng.permutation(own) for own in people]
    owner = np.repeat(np.arange(len(mixed)), [len(own) - 1 for own in mixed])
    return np.array([own[0] for own in mixed]), np.concatenate([own[1:] for own in mixed]), owner
