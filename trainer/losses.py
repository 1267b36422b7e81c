"""Losses as pure functions of keras.ops, so that TensorFlow and JAX run the same code."""

from __future__ import annotations

from typing import Any, TypeAlias

from keras import ops

Tensor: TypeAlias = Any
"""A backend tensor or a symbolic one. Keras ships no types, so the shapes stand in the docstrings."""


def cosine_margin(targets: Tensor, cosines: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy over scale*(cosine - margin at the true person) (CosFace, Wang et al. 2018); mean over the batch.

    targets: float32 [n, 3], person's number, margin and scale. Margin and scale travel with the targets because they are raised
    while training runs, and a compiled step would keep an old value of anything it closes over. cosines: float [n, people].
    """
    cosines = ops.cast(cosines, "float32")
    truth = ops.one_hot(ops.cast(targets[:, 0], "int32"), cosines.shape[-1])
    logits = targets[:, 2:3] * (cosines - targets[:, 1:2] * truth)
    logarithm = ops.log_softmax(logits, axis=-1)
    nll = -ops.sum(truth * logarithm, axis=-1)
    if label_smoothing:
        nll = (1 - label_smoothing) * nll - label_smoothing * ops.mean(logarithm, axis=-1)
    return ops.mean(nll)


def distances(embeddings: Tensor) -> Tensor:
    """All Euclidean distances [n, n] of rows [n, d]. The root of zero has no gradient, so the root is taken of d² + 1e-12:
    a picture beside its copy gives distance 1e-6 and gradient zero instead of NaN."""
    square = ops.sum(ops.square(embeddings), axis=-1)
    product = ops.matmul(embeddings, ops.transpose(embeddings))
    apart = square[:, None] + square[None, :] - 2.0 * product
    return ops.sqrt(ops.maximum(apart, 0.0) + 1e-12)


def soft_margin(positive: Tensor, negative: Tensor) -> Tensor:
    """log(1 + exp(d(a,p) - d(a,n))) per anchor (Hermans et al. 2017): a margin that never quite ends. 0.693 means collapse."""
    return ops.softplus(positive - negative)


def hard_margin(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(d(a,p) - d(a,n) + margin, 0) per anchor (Schroff et al. 2015)."""
    return ops.relu(positive - negative + margin)
