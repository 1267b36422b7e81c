"""From crops to vectors, and from two sets of vectors to similarities: all that evaluation needs of a model.

A gate compares unit vectors by their cosine. A network that ends in a same-or-different head compares by the head: minus the weighted L1
distance plus the bias, which is the logit of "same".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Card
from trainer.measure.metrics import Floats, Similarity, cosine
from trainer.models import networks
from trainer.models.networks import Weight
from trainer.models.opened import onnx_embedder
from trainer.models.whole import embedder
from trainer.recipes.stages import Same
from trainer.recipes.values import Recipe

Vectors: TypeAlias = NDArray[np.float32]
BLOCK = 1 << 16  # numbers compared at once: they stay in the processor's cache, which makes a head twelve times as fast


@dataclass(frozen=True, slots=True)
class Scorer:
    """`embed` crops uint8 [n, side, side, channels] -> vectors [n, D]; `similarity` vectors [n, D], [m, D] -> [n, m], higher is closer.
    `cosine`: whether the similarity is the cosine of unit vectors, as at a gate."""

    embed: Callable[[NDArray[np.uint8]], Vectors]
    similarity: Similarity
    cosine: bool = True


def by_head(kernel: NDArray[np.float32], bias: float) -> Similarity:
    """The logit Σ wᵢ|aᵢ - bᵢ| + bias of every two rows."""

    def similarity(a: Floats, b: Floats) -> Floats:
        logits = np.empty((len(a), len(b)), np.float32)
        width = max(1, BLOCK // b.shape[1])
        apart = np.empty((width, b.shape[1]), np.float32)
        for at in range(0, len(b), width):
            columns = b[at : at + width]
            room = apart[: len(columns)]
            for row, own in enumerate(a):
                np.abs(np.subtract(columns, own, out=room), out=room)
                np.matmul(room, kernel, out=logits[row, at : at + width])
        return logits + np.float32(bias)

    return similarity


def of_run(recipe: Recipe, weights: Sequence[Weight]) -> Scorer:
    """The scorer of the weights that a run keeps, with its head if it has one."""
    encoder, head = networks.split(weights)
    if not head:
        return Scorer(embedder(recipe, encoder), cosine)
    return Scorer(embedder(recipe, encoder, features(recipe)), by_head(head[0], float(head[1])), cosine=False)


def features(recipe: Recipe) -> str:
    """What the recipe's head compares."""
    last = recipe.stages[-1]
    assert isinstance(last, Same)
    return last.features


def untrained(recipe: Recipe) -> Scorer:
    """The scorer of the same network before its first step, for the figures before training."""
    return Scorer(embedder(recipe, networks.fresh(recipe).get_weights()), cosine)


def joined(scorers: Sequence[Scorer]) -> Scorer:
    """Networks side by side: the unit vectors of all of them in a row, so that the cosine is the mean of theirs. All compare by cosine."""
    assert all(scorer.cosine for scorer in scorers)

    def embed(crops: NDArray[np.uint8]) -> Vectors:
        vectors = np.concatenate([scorer.embed(crops) for scorer in scorers], axis=1)
        return np.asarray(vectors / np.sqrt(len(scorers)), np.float32)

    return Scorer(embed, cosine)


def of_bundle(path: Path) -> tuple[Scorer, Card]:
    """The scorer of a bundle, and its card. Raises BundleError."""
    embed, card = onnx_embedder(path)
    return Scorer(embed, cosine), card
