"""The encoders: a crop in, an embedding out. Keras functional models, one function per kind.

Every encoder takes pixels [N, size, size, channels] in 0..255 and gives the *raw* embedding [N, D] float32; `unit` brings it to length
one. That is left out of the encoder because flip averaging adds two raw embeddings before it normalises. A network that ends in a
same-or-different head is the encoder with `SameHead` behind it; `split` takes its weights apart.

The default is a small residual network of plain 3x3 convolutions rather than MobileFaceNet's depthwise ones: on a CPU a depthwise
convolution trains three times slower for the same number of parameters (measured figures in LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from trainer.models import backbones, dlib_network, losses
from trainer.models.losses import Tensor
from trainer.recipes.values import Network, Recipe, RecipeError

Weight: TypeAlias = NDArray[np.float32]


def encoder(network: Network, dtype: str = "float32") -> keras.Model:
    """Build the encoder of a recipe with fresh weights; `dtype` is a Keras dtype policy (variables are float32 under all of them)."""
    if len(network.widths) != len(network.blocks):
        raise RecipeError("network.widths and network.blocks differ in length", "give one number of blocks for each width")
    pixels = layers.Input((network.size, network.size, network.channels), dtype="float32", name="pixels")
    model = keras.Model(pixels, KINDS[network.kind](pixels, network, dtype), name="encoder")
    for layer in [layer for layer in model.layers if isinstance(layer, layers.Conv2D)][: network.frozen_layers]:
        layer.trainable = False
    return model


def _scaled(pixels: Tensor, network: Network) -> Tensor:
    """Pixels in 0..255 around zero. A drawing's paper is 0, and stays 0: the convolutions' padding then looks like more paper."""
    offset = -127.5 / 128 if network.channels == 3 else 0.0
    return layers.Rescaling(1 / 128, offset=offset, dtype="float32", name="scale")(pixels)


def unit(embedding: Tensor) -> Tensor:
    """Bring rows [N, D] to length one; a zero row stays finite (gradient included) because epsilon stands under the root."""
    square = keras.ops.sum(keras.ops.square(embedding), axis=-1, keepdims=True)
    return embedding * keras.ops.rsqrt(square + 1e-12)


class SameHead(layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Are two pictures of one person? The logit Σ wᵢ|aᵢ - bᵢ| + bias (Koch 2015) from features [n, D]: of `every` two rows, [n, n], or of
    rows a, b, a, b …, [n/2, 1]."""

    def __init__(self, features: str, every: bool = False, name: str = "same") -> None:
        super().__init__(name=name, dtype="float32")
        self.features, self.every = features, every

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Start as a falling function of the L1 distance, so that the head is right about the direction from the first step on."""
        dimension = shape[-1] or 1
        slope, bias = (-8.0 / dimension, 2.0) if self.features == "sigmoid" else (-1.0, 0.0)
        self.kernel = self.add_weight(shape=(dimension,), initializer=keras.initializers.Constant(slope), dtype="float32", name="kernel")
        self.bias = self.add_weight(shape=(), initializer=keras.initializers.Constant(bias), dtype="float32", name="bias")

    def call(self, features: Tensor) -> Tensor:
        """Logits."""
        if self.every:
            return losses.same_logits(features[:, None, :], features[None, :, :], self.kernel, self.bias)
        return losses.same_logits(features[0::2], features[1::2], self.kernel, self.bias)[:, None]


def squashed(embedding: Tensor, features: str) -> Tensor:
    """What is compared: the `unit` vector of a raw embedding, or for a head its `sigmoid` (Koch 2015); `raw` leaves it as it is."""
    if features == "raw":
        return embedding
    return keras.ops.sigmoid(embedding) if features == "sigmoid" else unit(embedding)


def split(weights: Sequence[Weight]) -> tuple[list[Weight], list[Weight]]:
    """(encoder's weights, head's kernel and bias or nothing) of what a run keeps: nothing but a head ends in a scalar."""
    extra = 2 if np.ndim(weights[-1]) == 0 else 0
    return list(weights[: len(weights) - extra]), list(weights[len(weights) - extra :])


def fresh(recipe: Recipe, pretrained: bool = True) -> keras.Model:
    """The encoder as training begins it: the recipe's seed decides the weights, with `pretrained` but for those that the recipe takes from
    a file. Raises RecipeError."""
    keras.utils.set_random_seed(recipe.seed)
    model = encoder(recipe.network, recipe.network.compute)
    if pretrained and recipe.network.kind == "applications":
        backbones.load(model, recipe.network)
    return model


class Constants(layers.Layer):  # type: ignore[misc]
    """Learned numbers that hang on no input, repeated for each row: [n, anything] to [n, count]."""

    def __init__(self, start: Sequence[float]) -> None:
        super().__init__(dtype="float32")
        self.start = start

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Begin with the numbers given."""
        self.numbers = self.add_weight(shape=(len(self.start),), initializer="zeros", dtype="float32", name="numbers")
        self.numbers.assign(np.array(self.start, np.float32))

    def call(self, rows: Tensor) -> Tensor:
        """The numbers, once a row."""
        return keras.ops.zeros_like(rows[:, :1]) + self.numbers[None, :]


def _embedding(x: Tensor, network: Network, dtype: str) -> Tensor:
    """Global depthwise convolution (each place of the face gets its own weight, unlike average pooling), then linear and batch norm."""
    if network.head:
        x = layers.DepthwiseConv2D(x.shape[1], use_bias=False, dtype=dtype)(x)
        x = layers.BatchNormalization(dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    if network.dropout:
        x = layers.Dropout(network.dropout, dtype=dtype)(x)
    x = layers.Dense(network.embedding, use_bias=False, dtype=dtype)(x)
    return layers.BatchNormalization(dtype="float32", name="embedding")(x)


def _conv(x: Tensor, width: int, dtype: str, kernel: int = 3, stride: int = 1, relu: bool = True) -> Tensor:
    x = layers.Conv2D(width, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal", dtype=dtype)(x)
    x = layers.BatchNormalization(dtype=dtype)(x)
    return layers.ReLU(dtype=dtype)(x) if relu else x


def _residual_block(x: Tensor, width: int, stride: int, dtype: str) -> Tensor:
    """He et al. 2015, basic block, post-activation."""
    y = _conv(x, width, dtype, stride=stride)
    y = _conv(y, width, dtype, relu=False)
    if stride != 1 or x.shape[-1] != width:
        x = _conv(x, width, dtype, kernel=1, stride=stride, relu=False)
    return layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([x, y]))


def _mobile_block(x: Tensor, width: int, stride: int, dtype: str) -> Tensor:
    """1x1 expand, depthwise 3x3, 1x1 project without activation (MobileNetV2, MobileFaceNet), ReLU for ONNX Runtime's sake."""
    y = _conv(x, 2 * x.shape[-1], dtype, kernel=1)
    y = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, dtype=dtype)(y)
    y = layers.ReLU(dtype=dtype)(layers.BatchNormalization(dtype=dtype)(y))
    y = _conv(y, width, dtype, kernel=1, relu=False)
    return layers.Add(dtype=dtype)([x, y]) if stride == 1 and x.shape[-1] == width else y


def _tower(block: Callable[[Tensor, int, int, str], Tensor]) -> Callable[[Tensor, Network, str], Tensor]:
    """A stem at half the resolution, then one stage per width, each halving it again, then a 1x1 layer of `head` channels."""

    def build(x: Tensor, network: Network, dtype: str) -> Tensor:
        x = _conv(_scaled(x, network), network.stem, dtype, stride=2)
        for width, blocks in zip(network.widths, network.blocks, strict=True):
            for index in range(blocks):
                x = block(x, width, 2 if index == 0 else 1, dtype)
        return _embedding(_conv(x, network.head, dtype, kernel=1) if network.head else x, network, dtype)

    return build


def _plain(x: Tensor, network: Network, dtype: str) -> Tensor:
    """For each width `blocks` convolutions, then pooling (not after the last): what drawings need."""
    for index, (width, blocks) in enumerate(zip(network.widths, network.blocks, strict=True)):
        for _ in range(blocks):
            x = _conv(x, width, dtype)
        x = layers.MaxPooling2D(dtype=dtype)(x) if index + 1 < len(network.widths) else x
    return _embedding(x, network, dtype)


def _application(x: Tensor, network: Network, dtype: str) -> Tensor:
    """A network of keras.applications, then the same end as a tower's; `stem`, `widths` and `blocks` are not used."""
    x = backbones.trunk(x, network, dtype)
    return _embedding(_conv(x, network.head, dtype, kernel=1) if network.head else x, network, dtype)


def _article(x: Tensor, network: Network, dtype: str) -> Tensor:
    """Convolution and pooling for each width, then fully connected layers, no batch norm anywhere; `stem` and `blocks` are not used."""
    x = _scaled(x, network)
    for width in network.widths:
        x = layers.Conv2D(width, 3, padding="same", activation="relu", kernel_initializer="he_uniform", dtype=dtype)(x)
        x = layers.MaxPooling2D(padding="same", dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    x = layers.Dense(network.head, activation="relu", dtype=dtype)(x)
    if network.dropout:
        x = layers.Dropout(network.dropout, dtype=dtype)(x)
    return layers.Dense(network.embedding, dtype="float32", name="embedding")(x)


KINDS: dict[str, Callable[[Tensor, Network, str], Tensor]] = {
    "residual": _tower(_residual_block),
    "mobile": _tower(_mobile_block),
    "dlib": dlib_network.trunk,
    "plain": _plain,
    "article": _article,
    "applications": _application,
}
