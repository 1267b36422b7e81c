"""Verification of characters, as in Koch, Zemel and Salakhutdinov 2015: is one character drawn twice, or are they two characters?

10,000 pairs of drawings of evaluation characters, half of one character and half of two. A character is drawn evenly from all, and then two
different drawings of it; two characters are drawn evenly from all alphabets, and one drawing of each. The threshold is the one that
judges most of 10,000 pairs of val characters correctly, drawn in the same way. The accuracy is the share of the evaluation pairs that it
judges correctly. Koch's best network reached 93.4 %. His evaluation characters are of ten alphabets and four drawers, and he learned from
thirty alphabets; here they are all 659 characters of the twenty alphabets of `images_evaluation`, by all their drawers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trainer.measure import metrics
from trainer.measure.metrics import Floats

PAIRS = 10_000

Vectors: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
Numbers: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pairs as places a, b int64 [n] of drawings, and whether they show the `same` character bool [n]."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]


def drawn(person: NDArray[np.int64], pairs: int = PAIRS, seed: int = 1) -> Drawn:
    """Half pairs of one character and half of two, from the character [n] of each drawing. There must be two characters or more, one of
    them with two drawings."""
    _, number, size = np.unique(person, return_inverse=True, return_counts=True)
    order, first = np.argsort(number, kind="stable"), np.append(0, np.cumsum(size)[:-1])
    rng, half = np.random.default_rng((seed, 6)), pairs // 2
    own = rng.choice(np.flatnonzero(size >= 2), half)
    one = rng.integers(size[own])
    two = (one + rng.integers(1, size[own])) % size[own]
    left = rng.integers(len(size), size=pairs - half)
    right = (left + rng.integers(1, len(size), size=pairs - half)) % len(size)
    a = np.concatenate([first[own] + one, first[left] + rng.integers(size[left])])
    b = np.concatenate([first[own] + two, first[right] + rng.integers(size[right])])
    return Drawn(order[a], order[b], np.arange(pairs) < half)


def right(val: Floats, val_same: NDArray[np.bool_], test: Floats, test_same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which test pairs [n] are judged correctly at the threshold that is best for the val pairs. A similarity that is no number is never
    right."""
    threshold = metrics.best_threshold(val, val_same)
    return np.asarray(((test >= threshold) == test_same) & np.isfinite(test), bool)
