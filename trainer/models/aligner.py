"""The aligner's network: a glimpse at a roughly placed face in, its five landmarks out."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from daemon.core.faces.align import TEMPLATE
from daemon.core.faces.glimpse import CENTRE, GLIMPSE_PX
from trainer.models.losses import Tensor

WIDTHS = (16, 24, 40, 56)
MOST_PX = 12.0
"""One glimpse moves the landmarks by at most this many pixels of the crop in each way: by 0.51 to 1.49 in size, by 26 degrees."""


class Levelled(layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Each picture with mean 0 and deviation 1, whatever its light: [N, side, side, 1]."""

    def call(self, pixels: Tensor) -> Tensor:
        """The levelled pictures."""
        mean = keras.ops.mean(pixels, axis=(1, 2, 3), keepdims=True)
        spread = keras.ops.sqrt(keras.ops.mean(keras.ops.square(pixels - mean), axis=(1, 2, 3), keepdims=True))
        return (pixels - mean) / (spread + 4.0)


def basis() -> NDArray[np.float32]:
    """[4, 10]: what one pixel of growth, turn, shift right and shift down does to the template's five points."""
    away = TEMPLATE - np.array(CENTRE)
    reach = float(np.sqrt((away**2).sum(1).mean()))
    turned = np.stack([-away[:, 1], away[:, 0]], axis=1)
    ones, zeros = np.ones(5), np.zeros(5)
    rows = [away / reach, turned / reach, np.stack([ones, zeros], 1), np.stack([zeros, ones], 1)]
    return np.asarray([row.reshape(-1) for row in rows], np.float32)


class Points(layers.Layer):  # type: ignore[misc]
    """Four numbers [N, 4] to landmarks [N, 5, 2]: the template grown, turned and shifted a little, so they always are a face's."""

    def call(self, numbers: Tensor) -> Tensor:
        """Landmarks in pixels of the crop."""
        moved = keras.ops.matmul(MOST_PX * keras.ops.tanh(numbers), keras.ops.convert_to_tensor(basis()))
        return keras.ops.reshape(moved + TEMPLATE.astype(np.float32).reshape(1, 10), (-1, 5, 2))


def aligner() -> keras.Model:
    """Fresh weights. Glimpses, float32 [N, GLIMPSE_PX, GLIMPSE_PX, 1] in 0..255, to landmarks, float32 [N, 5, 2] in pixels of the crop."""
    pixels = layers.Input((GLIMPSE_PX, GLIMPSE_PX, 1), dtype="float32", name="glimpse")
    x = Levelled()(pixels)
    for place, width in enumerate(WIDTHS):
        x = _conv(x, width, stride=2)
        if place:
            x = _conv(x, width)
    x = layers.Flatten()(x)
    x = layers.Dense(64, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    numbers = layers.Dense(4, kernel_initializer="zeros")(x)
    return keras.Model(pixels, Points()(numbers), name="aligner")


def _conv(x: Tensor, width: int, stride: int = 1) -> Tensor:
    x = layers.Conv2D(width, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.ReLU()(layers.BatchNormalization()(x))
