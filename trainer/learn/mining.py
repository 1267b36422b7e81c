"""Which triplets of a batch to learn from, as pure functions of keras.ops; and, in numpy, how hard a batch is.

Every mining has the same signature. It takes apart (float32 [n, n], plain or squared distances), person (int [n]), margin and difficulty (a
scalar 0..1). It gives (positive, negative, usable) of equal shape: d(a,p), d(a,n) and 0/1. Where usable is 0 the two distances are 0 and
carry no gradient. A mining that does not need margin or difficulty ignores it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import ops
from numpy.typing import NDArray

from trainer.models.losses import FAR, Tensor, row_distances

Triplets: TypeAlias = tuple[Tensor, Tensor, Tensor]
Mining: TypeAlias = Callable[[Tensor, Tensor, float, Tensor], Triplets]


def batch_hard(apart: Tensor, person: Tensor, margin: float, difficulty: Tensor) -> Triplets:
    """[n]: each anchor with the farthest crop of its own person and the nearest crop of another (Hermans et al. 2017)."""
    own, other = sides(person)
    positive = ops.max(ops.where(own, apart, -FAR), axis=1)
    negative = ops.min(ops.where(other, apart, FAR), axis=1)
    return _kept(positive, negative, ops.logical_and(ops.any(own, axis=1), ops.any(other, axis=1)))


def batch_all(apart: Tensor, person: Tensor, margin: float, difficulty: Tensor) -> Triplets:
    """[n, n, n]: every anchor with every other crop of its person and every crop of another (Hermans et al. 2017). Memory grows with n³."""
    own, other = sides(person)
    return _kept(apart[:, :, None], apart[:, None, :], ops.logical_and(own[:, :, None], other[:, None, :]))


def semi_hard(apart: Tensor, person: Tensor, margin: float, difficulty: Tensor) -> Triplets:
    """[n, n]: every anchor-positive pair with the nearest negative that is farther than the positive (FaceNet, Schroff et al. 2015);
    usable where that negative is within the margin. Memory grows only with n², because this mining needs large batches."""
    own, other = sides(person)
    foreign = ops.where(other, apart, FAR)
    n = ops.shape(person)[0]
    # How many negatives are no farther than each crop. Sorting is stable, so negatives come first where distances are equal.
    order = ops.argsort(ops.concatenate([foreign, apart], axis=1), axis=1)
    passed = ops.cumsum(ops.cast(order < n, "int32"), axis=1)
    nearer = ops.take_along_axis(passed, ops.argsort(order, axis=1)[:, n:], axis=1)
    # No crop is its own negative, so there are at most n - 1 negatives and the index stays in range.
    negative = ops.take_along_axis(ops.sort(foreign, axis=1), nearer, axis=1)
    return _kept(apart, negative, ops.logical_and(own, negative <= apart + margin))


def hard(apart: Tensor, person: Tensor, margin: float, difficulty: Tensor) -> Triplets:
    """[n, n]: every anchor-positive pair with the anchor's nearest negative; usable where the negative is nearer than the positive."""
    own, other = sides(person)
    negative = ops.min(ops.where(other, apart, FAR), axis=1, keepdims=True)
    return _kept(apart, negative, ops.logical_and(own, negative < apart))


def rising(apart: Tensor, person: Tensor, margin: float, difficulty: Tensor) -> Triplets:
    """[n, n]: every anchor-positive pair with one of the anchor's negatives. Its rank falls with difficulty, from the median at 0 (of an
    even number, the farther of the two in the middle) to the nearest at 1. This is the "consistently increasing difficulty" of FaceNet."""
    own, other = sides(person)
    count = ops.sum(ops.cast(other, "int32"), axis=1, keepdims=True)
    ease = 1.0 - ops.clip(ops.cast(difficulty, "float32"), 0.0, 1.0)
    rank = ops.cast(ops.floor(ease * ops.cast(count, "float32") / 2.0), "int32")
    negative = ops.take_along_axis(ops.sort(ops.where(other, apart, FAR), axis=1), rank, axis=1)
    return _kept(apart, negative, ops.logical_and(own, count > 0))


MININGS: dict[str, Mining] = {
    "batch-hard": batch_hard,
    "batch-all": batch_all,
    "semi-hard": semi_hard,
    "hard": hard,
    "rising": rising,
}


def multi_similarity(cosines: Tensor, person: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Bool [n, n] twice: each anchor's (row's) pairs worth learning from, with its own person and with others (Wang et al. 2019). A pair of
    the same person counts if it is less alike than the anchor's nearest other plus the margin, a pair of two people if it is more
    alike than the anchor's least alike own picture minus the margin. cosines: [n, n]; person: int [n]."""
    own, other = sides(person)
    least = ops.min(ops.where(own, cosines, FAR), axis=1, keepdims=True)
    most = ops.max(ops.where(other, cosines, -FAR), axis=1, keepdims=True)
    return ops.logical_and(own, cosines - margin < most), ops.logical_and(other, cosines + margin > least)


def rows(embeddings: Tensor, squared: bool = False) -> Triplets:
    """[t]: the triplets of a batch [3t, d] laid out anchor, positive, negative, anchor, …; all usable. They
    were drawn like this, not mined."""
    triplets = ops.reshape(ops.cast(embeddings, "float32"), (-1, 3, embeddings.shape[-1]))
    positive = row_distances(triplets[:, 0], triplets[:, 1], squared)
    return positive, row_distances(triplets[:, 0], triplets[:, 2], squared), ops.ones_like(positive)


def article(
    positive: NDArray[np.floating[Any]], negative: NDArray[np.floating[Any]], rng: np.random.Generator, hard: int = 16, random: int = 16
) -> NDArray[np.int64]:
    """Choose from candidate triplets with distances d(a,p), d(a,n) [t]: the `hard` ones with the largest d(a,p) - d(a,n), hardest first,
    then `random` of the others. Raises ValueError if there are too few candidates."""
    if len(positive) < hard + random:
        raise ValueError(f"{len(positive)} candidate triplets are fewer than {hard} + {random}")
    order = np.argsort(negative - positive, kind="stable").astype(np.int64)
    return np.concatenate([order[:hard], rng.choice(order[hard:], random, replace=False)])


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares 0..1 of a batch's valid triplets: easy where d(a,p) + margin < d(a,n), hard where d(a,n) <= d(a,p), semi-hard between.
    They add up to one, or are all zero in a batch without a valid triplet."""

    easy: float
    semi_hard: float
    hard: float


def shares(apart: NDArray[np.floating[Any]], person: NDArray[np.integer[Any]], margin: float) -> Shares:
    """How hard a batch is, from apart [n, n] and person [n]. It sorts one anchor at a time, so that memory does not grow."""
    valid = hard = near = 0
    for anchor, row in enumerate(apart):
        same = person == person[anchor]
        negative = np.sort(np.where(np.isnan(row), -np.inf, row)[~same])  # a distance that is no number is a hard triplet's
        same[anchor] = False
        valid += len(negative) * int(np.count_nonzero(same))
        hard += int(np.searchsorted(negative, row[same], side="right").sum())
        near += int(np.searchsorted(negative, row[same] + margin, side="right").sum())
    total = max(valid, 1)
    return Shares((valid - near) / total, (near - hard) / total, hard / total)


def sides(person: Tensor) -> tuple[Tensor, Tensor]:
    """For each anchor (row): the other crops of its person, and the crops of other people, bool [n, n] each."""
    same = ops.equal(person[:, None], person[None, :])
    place = ops.arange(ops.shape(person)[0])
    return ops.logical_and(same, ops.not_equal(place[:, None], place[None, :])), ops.logical_not(same)


def _kept(positive: Tensor, negative: Tensor, usable: Tensor) -> Triplets:
    return ops.where(usable, positive, 0.0), ops.where(usable, negative, 0.0), ops.cast(usable, "float32")
