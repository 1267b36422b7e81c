"""Which crops make a batch. A batch is a pure function of (seed, step), so a resumed run sees the same data as an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Sampler = Callable[[int], NDArray[np.int64]]


def shuffled(count: int, batch: int, seed: int) -> Sampler:
    """Every crop once per epoch, in a new order each epoch; an incomplete last batch is filled from the epoch's start."""
    per_epoch = max(1, -(-count // batch))

    def sample(step: int) -> NDArray[np.int64]:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, 1, epoch)).permutation(count)
        return order[np.arange(place * batch, (place + 1) * batch) % count]

    return sample


def people_by_images(person: NDArray[np.int64], people: int, images: int, seed: int, always: int = 0) -> Sampler:
    """P x K: `people` different persons, and `images` crops of each. A person with fewer crops gives some of them twice.

    Persons are drawn without replacement, because a person drawn twice would be their own negative. The first `always` persons are in every
    batch.
    """
    crops = [np.flatnonzero(person == who) for who in np.unique(person)]
    if len(crops) < 2:
        raise ValueError("triplets need two people")
    always = min(always, people, len(crops))

    def sample(step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((seed, 2, step))
        drawn = always + rng.choice(len(crops) - always, min(people, len(crops)) - always, replace=False)
        chosen = np.concatenate([np.arange(always), drawn])
        rows = []
        for who in chosen:
            own = crops[who]
            rows.append(rng.permutation(own)[np.arange(images) % len(own)])
        return np.concatenate(rows)

    return sample


def triplets(person: NDArray[np.int64], count: int, seed: int) -> Sampler:
    """Random triplets, rows [3*count] laid out anchor, positive, negative, anchor, …

    The anchor's person is drawn evenly from those with two crops, with two distinct crops. The negative is a crop of another person, who is
    drawn evenly from all. person: [n], the person of each crop. Raises ValueError if there are fewer than two people, or nobody with two
    crops.
    """
    crops, first, size = _grouped(person)
    several = np.flatnonzero(size >= 2)

    def sample(step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((seed, 4, step))
        own = rng.choice(several, count)
        anchor, positive = _two(rng, size[own])
        foreign = _others(rng, own, len(size))
        negative = rng.integers(size[foreign])
        places = np.stack([first[own] + anchor, first[own] + positive, first[foreign] + negative], axis=1)
        return np.take(crops, places.ravel())

    return sample


def pairs(person: NDArray[np.int64], count: int, seed: int) -> Sampler:
    """Random pairs, rows [2*count] laid out a, b, a, …: the first count // 2 pairs are of one person, the others of two.

    People are drawn evenly, for the first half from those with two crops. The two crops of a pair are distinct. person: [n], the person of
    each crop. Raises ValueError if there are fewer than two people, or nobody with two crops.
    """
    crops, first, size = _grouped(person)
    several = np.flatnonzero(size >= 2)
    same = count // 2

    def sample(step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((seed, 5, step))
        own = rng.choice(several, same)
        one, two = _two(rng, size[own])
        left = rng.integers(len(size), size=count - same)
        right = _others(rng, left, len(size))
        a = np.concatenate([first[own] + one, first[left] + rng.integers(size[left])])
        b = np.concatenate([first[own] + two, first[right] + rng.integers(size[right])])
        return np.take(crops, np.stack([a, b], axis=1).ravel())

    return sample


def _grouped(person: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The crops in the order of their persons; and for each person, where their crops begin and how many there are."""
    _, first, size = np.unique(np.sort(person), return_index=True, return_counts=True)
    if len(size) < 2:
        raise ValueError("triplets and pairs need two people")
    if size.max() < 2:
        raise ValueError("triplets and pairs need somebody with two crops")
    return np.argsort(person, kind="stable").astype(np.int64), first.astype(np.int64), size.astype(np.int64)


def _two(rng: np.random.Generator, size: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two distinct numbers below each size."""
    one = rng.integers(size)
    return one, _others(rng, one, size)


def _others(rng: np.random.Generator, taken: NDArray[np.int64], size: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """A number below size other than the one taken, drawn evenly: a step of 1 to size - 1 around the circle."""
    return (taken + rng.integers(1, size, size=len(taken))) % size
