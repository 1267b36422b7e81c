"""Which crops make a batch. A batch is a pure function of (seed, step): a resumed run sees the same data as an uninterrupted one."""

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


def people_by_images(person: NDArray[np.int64], people: int, images: int, seed: int) -> Sampler:
    """P x K: `people` different persons, `images` crops of each; a person with fewer crops gives some of them twice.

    A person repeated within the batch would make a false negative out of an own crop, so persons are drawn without replacement.
    """
    crops = [np.flatnonzero(person == who) for who in np.unique(person)]
    if len(crops) < 2:
        raise ValueError("triplets need two people")

    def sample(step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((seed, 2, step))
        chosen = rng.choice(len(crops), min(people, len(crops)), replace=False)
        rows = []
        for who in chosen:
            own = crops[who]
            rows.append(rng.permutation(own)[np.arange(images) % len(own)])
        return np.concatenate(rows)

    return sample
