"""One-shot trials like Lake's, but on background alphabets that a run held out. Recipes, views and pairs of networks are chosen by them, so
that the evaluation alphabets are looked at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.measure import metrics
from trainer.measure.metrics import Floats, Similarity
from trainer.measure.oneshot import WAYS
from trainer.people.data import Crops
from trainer.people.datasets import alphabet

RUNS = 40  # of each alphabet; Lake has two
Ints = NDArray[np.int64]


def shares(crops: Crops, vectors: Floats, similarity: Similarity, seed: int = 1) -> NDArray[np.float64]:
    """The share of right answers in each run, float [runs]. `vectors` [n, d] belong to `crops`. A tie counts as wrong. Empty if no alphabet
    has 20 characters that two hands drew."""
    right = np.arange(WAYS)
    ranks = [metrics.ranks(similarity(vectors[test], vectors[training]), right) for training, test in runs(crops, seed)]
    return np.array([np.mean(rank == 1) for rank in ranks], np.float64)


def runs(crops: Crops, seed: int = 1) -> Iterator[tuple[Ints, Ints]]:
    """(training, test) of each run, crop numbers int64 [20] each: twenty characters of one alphabet by one hand, and the same ones, in the
    same order, by another."""
    alphabets = np.array([alphabet(person) for person in crops.people])
    hand = np.array([_hand(name) for name in crops.names])
    for name in dict.fromkeys(alphabets.tolist()):
        characters = np.flatnonzero(alphabets == name)
        place = {(crops.person[row], hand[row]): row for row in np.flatnonzero(np.isin(crops.person, characters))}
        rng = np.random.default_rng((seed, len(characters)))
        hands = [who for who in np.unique(hand) if sum((character, who) in place for character in characters) >= WAYS]
        for _ in range(RUNS if len(hands) > 1 else 0):
            one, other = rng.choice(hands, 2, replace=False)
            both = [character for character in characters if (character, one) in place and (character, other) in place]
            if len(both) >= WAYS:
                drawn = rng.choice(both, WAYS, replace=False)
                yield tuple(np.array([place[character, who] for character in drawn], np.int64) for who in (one, other))  # type: ignore[misc]


def _hand(name: str) -> str:
    """Who drew a picture: the end of its name, as 07 in .../0709_07.png."""
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0].rsplit("_", 1)[-1]
