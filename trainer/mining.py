"""Which triplets of a batch to learn from, as pure functions of keras.ops."""

from __future__ import annotations

from keras import ops

from trainer.losses import Tensor, distances, soft_margin

FAR = 1e6


def batch_hard(apart: Tensor, person: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor its farthest own and its nearest foreign crop (Hermans et al. 2017).

    apart: distances [n, n]; person: int [n]. Gives (positive [n], negative [n], usable [n] as 0/1): an anchor that is alone, or has
    nobody else in the batch, is not usable.
    """
    same = ops.cast(ops.equal(person[:, None], person[None, :]), apart.dtype)
    own = same - ops.eye(apart.shape[0] or ops.shape(apart)[0], dtype=apart.dtype)
    other = 1.0 - same
    positive = ops.max(apart * own - FAR * (1.0 - own), axis=1)
    negative = ops.min(apart * other + FAR * same, axis=1)
    usable = ops.cast(ops.logical_and(ops.any(own > 0, axis=1), ops.any(other > 0, axis=1)), apart.dtype)
    return ops.where(usable > 0, positive, 0.0), ops.where(usable > 0, negative, 0.0), usable


def batch_hard_loss(person: Tensor, embeddings: Tensor) -> Tensor:
    """Mean soft margin over the usable anchors; embeddings [n, d] of unit length, person [n] or [n, 1]."""
    person = ops.cast(ops.reshape(person, (-1,)), "int32")
    positive, negative, usable = batch_hard(distances(ops.cast(embeddings, "float32")), person)
    return ops.sum(soft_margin(positive, negative) * usable) / ops.maximum(ops.sum(usable), 1.0)
