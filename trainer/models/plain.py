"""The bundle's model of Keras' own layers alone, for people who want to use or train it without Ostiary's code."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.models import dlib_network, whole
from trainer.recipes.values import Recipe


def plain(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> keras.Model:
    """The bundle's model of Keras' own layers alone, so that a saved file of it opens in any Keras 3: crops [N, side, side, channels] in
    0..255 to unit vectors [N, D]. The encoder is its layer `encoder`, whose layers keep the order of their weights."""
    side, channels = recipe.data.side, recipe.network.channels
    trained = whole.loaded(recipe, weights)
    encoder = keras.models.clone_model(trained, clone_function=_plain_layer)
    for layer in trained.layers:
        if layer.get_weights():
            encoder.get_layer(layer.name).set_weights(layer.get_weights())
    crops = keras.layers.Input((side, side, channels), dtype="float32", name="crops")
    seen = [
        encoder(_resampler(rows, columns, channels, f"view_{number}")(crops)) for number, (rows, columns) in enumerate(whole.views(recipe))
    ]
    raw = keras.layers.Average(name="views")(seen) if len(seen) > 1 else seen[0]
    return keras.Model(crops, keras.layers.UnitNormalization(name="unit")(raw), name="bundle")


def _plain_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer again, or what does the same with Keras' own layers."""
    if isinstance(layer, dlib_network.Chip):
        return _resampler(layer.rows, layer.columns.T, len(layer.mean), layer.name, dlib_network.MEAN_RGB, dlib_network.SCALE)
    if isinstance(layer, dlib_network.Widen):
        steps = [keras.layers.Permute((1, 3, 2)), keras.layers.ZeroPadding2D(((0, 0), (0, layer.more))), keras.layers.Permute((1, 3, 2))]
        return keras.Sequential(steps, name=layer.name)
    return layer.__class__.from_config(layer.get_config())


def _resampler(
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    channels: int,
    name: str,
    mean: Sequence[float] = (),
    scale: float = 1.0,
) -> keras.Model:
    """rows @ picture @ columns for each channel, less `mean` and divided by `scale`, as layers: [N, h, w, channels] to
    [N, H, W, channels]."""
    picture = keras.layers.Input((rows.shape[1], columns.shape[0], channels), dtype="float32")
    x = picture
    if mean:
        x = keras.layers.Rescaling([1 / scale] * channels, [-value / scale for value in mean])(x)
    across = keras.layers.Dense(columns.shape[1], use_bias=False, trainable=False, name="columns")
    down = keras.layers.Dense(len(rows), use_bias=False, trainable=False, name="rows")
    planes = keras.layers.Permute((3, 1, 2))(x)  # channels, h, w
    turned = keras.layers.Permute((1, 3, 2))(across(planes))  # channels, W, h
    model = keras.Model(picture, keras.layers.Permute((3, 2, 1))(down(turned)), name=name)
    across.set_weights([columns])
    down.set_weights([rows.T])
    return model
