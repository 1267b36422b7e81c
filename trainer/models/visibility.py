"""The network that tells whether a face is upright and open: small, because it looks at every face of every frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from daemon.core.faces.align import CROP_PX
from daemon.core.faces.visibility import REGIONS, TURNS

SIZE = 56
"""What the network sees: the crop at half its size."""
STEPS = ((24, 2), (32, 2), (32, 1), (64, 2), (64, 1))
"""Width and stride of each 3x3 convolution."""


def network() -> keras.Model:
    """Pixels [N, SIZE, SIZE, 3] in 0..255 to the logits of `turn` [N, 4] and `covered` [N, 2]."""
    pixels = layers.Input((SIZE, SIZE, 3), dtype="float32", name="pixels")
    x: Any = layers.Rescaling(1 / 64, offset=-127.5 / 64)(pixels)
    for width, stride in STEPS:
        x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.98)(x))
    # Which half of the face is covered is a matter of places, so the places stay.
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.98)(layers.Conv2D(16, 1, use_bias=False)(x)))
    x = layers.Dropout(0.2)(layers.Dense(64, activation="relu")(layers.Flatten()(x)))
    outputs = {"turn": layers.Dense(TURNS, name="turn")(x), "covered": layers.Dense(REGIONS, name="covered")(x)}
    return keras.Model(pixels, outputs, name="visibility")


def whole(trained: keras.Model) -> keras.Model:
    """The model as the file has it: crops [N, 112, 112, 3] in 0..255 to the two outputs as probabilities."""
    crops = layers.Input((CROP_PX, CROP_PX, 3), dtype="float32", name="crops")
    logits = trained(layers.AveragePooling2D(CROP_PX // SIZE)(crops), training=False)
    answers = {"turn": keras.ops.softmax(logits["turn"]), "covered": keras.ops.sigmoid(logits["covered"])}
    return keras.Model(crops, answers, name="visibility")


def seer(trained: keras.Model, size: int = 256) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A trained network as a function of uint8 crops [N, 112, 112, 3], N >= 1, to its answers, float32 [N, TURNS + REGIONS]."""
    model = whole(trained)

    def sees(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [model.predict_on_batch(crops[at : at + size].astype(np.float32)) for at in range(0, len(crops), size)]
        return np.concatenate([np.concatenate([part["turn"], part["covered"]], axis=1) for part in parts])

    return sees
