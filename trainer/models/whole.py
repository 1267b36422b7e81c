"""The model as a bundle has it: an encoder with its views of a crop, from uint8 crops to unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault
from trainer.models import networks
from trainer.models.losses import Tensor
from trainer.people import augment
from trainer.recipes.values import Recipe

PARITY = 1e-5
"""How far a graph may be from the model it was made of, in every number of a vector."""

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops uint8 [N, side, side, channels] to unit vectors float32 [N, D]."""


class VectorError(Fault):
    """A model answers with numbers that are not finite; `message` and `hint` are one line each."""


def finite(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors [n, D] themselves. Raises VectorError if a number of them is not finite: nothing can be measured with such a model."""
    broken = int((~np.isfinite(vectors)).any(axis=1).sum())
    if broken:
        raise VectorError(
            f"the model answers {broken} of {len(vectors)} pictures with numbers that are not finite",
            "its training diverged, or its file is damaged: train or export it again",
        )
    return vectors


def whole(recipe: Recipe, encoder: keras.Model, features: str = "unit") -> keras.Model:
    """The model as the bundle has it, around a float32 encoder: crops [N, side, side, channels] in 0..255 to unit vectors [N, D] (or the
    `features` that a head compares, or raw embeddings), free of augmentation."""
    side = recipe.data.side
    crops = keras.layers.Input((side, side, recipe.network.channels), dtype="float32", name="crops")
    return keras.Model(crops, networks.squashed(_graph(crops, encoder, recipe), features), name="bundle")


def loaded(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> keras.Model:
    """A float32 encoder with these weights."""
    encoder = networks.encoder(recipe.network)
    encoder.set_weights(list(weights))
    return encoder


def _graph(crops: Tensor, encoder: keras.Model, recipe: Recipe) -> Tensor:
    """Resize by matrices, encode every view of the crop, average their embeddings."""
    ops = keras.ops
    planes = ops.transpose(crops, (0, 3, 1, 2))
    # One batch of all views lets the file hold the weights once.
    seen = [ops.matmul(ops.matmul(rows, planes), columns) for rows, columns in views(recipe)]
    pixels = ops.concatenate(seen, axis=0) if len(seen) > 1 else seen[0]
    raw = encoder(ops.transpose(pixels, (0, 2, 3, 1)), training=False)
    return ops.mean(ops.reshape(raw, (len(seen), -1, recipe.network.embedding)), axis=0) if len(seen) > 1 else raw


def views(recipe: Recipe) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(rows, columns) for each view: rows @ crop @ columns resizes, moves and mirrors it. Plain numpy arrays: a tensor made here would be
    captured and become an input of the exported graph."""
    size, side, step = recipe.network.size, recipe.data.side, recipe.export.shift_px
    moves = [(0, 0), (step, 0), (-step, 0), (0, step), (0, -step)] if step else [(0, 0)]

    def moved(zoom: float) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        matrix = augment.resize_matrix(size, side, zoom)
        shift = {by: np.eye(size, k=by, dtype=np.float32) @ matrix for by in (-step, 0, step)}
        return [(shift[down], shift[right]) for down, right in moves]

    found = [view for zoom in recipe.export.zooms or (1.0,) for view in moved(zoom)]
    if recipe.export.flip:
        # Mirroring is the same matrix read backwards.
        found += [(rows, columns[:, ::-1]) for rows, columns in moved(recipe.export.zoom)]
    return [(rows, np.ascontiguousarray(columns.T)) for rows, columns in found]


def embedder(recipe: Recipe, weights: Sequence[NDArray[np.float32]], features: str = "unit", batch: int = 128) -> Embed:
    """The Keras model of a run as a function of uint8 crops, which raises VectorError."""
    model = whole(recipe, loaded(recipe, weights), features)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.asarray(model.predict_on_batch(crops[at : at + batch].astype(np.float32))) for at in range(0, len(crops), batch)]
        return finite(np.concatenate(parts)) if parts else np.empty((0, recipe.network.embedding), np.float32)

    return embed
