"""The encoders: a crop in, an embedding out. Keras functional models, one function per kind.

Every encoder takes pixels [N, size, size, 3] RGB in 0..255 and gives the *raw* embedding [N, D] float32; `unit` brings it to length
one. That is left out of the encoder because flip averaging adds two raw embeddings before it normalises.

The default is a small residual network of plain 3x3 convolutions rather than MobileFaceNet's depthwise ones: on a CPU a depthwise
convolution trains three times slower for the same number of parameters (measured figures in LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

from trainer.losses import Tensor
from trainer.recipe import Network, RecipeError


def encoder(network: Network, dtype: str = "float32") -> keras.Model:
    """Build the encoder of a recipe with fresh weights; `dtype` is a Keras dtype policy (variables are float32 under all of them)."""
    build = KINDS.get(network.kind)
    if build is None:
        raise RecipeError(f"unknown network kind {network.kind!r}", f"known kinds: {', '.join(sorted(KINDS))}")
    if len(network.widths) != len(network.blocks):
        raise RecipeError("network.widths and network.blocks differ in length", "give one number of blocks for each width")
    pixels = layers.Input((network.size, network.size, 3), dtype="float32", name="pixels")
    scaled = layers.Rescaling(1 / 128, offset=-127.5 / 128, dtype="float32", name="scale")(pixels)
    features = build(scaled, network, dtype)
    return keras.Model(pixels, _embedding(features, network, dtype), name="encoder")


def unit(embedding: Tensor) -> Tensor:
    """Bring rows [N, D] to length one; a zero row stays finite (gradient included) because epsilon stands under the root."""
    square = keras.ops.sum(keras.ops.square(embedding), axis=-1, keepdims=True)
    return embedding * keras.ops.rsqrt(square + 1e-12)


def _embedding(x: Tensor, network: Network, dtype: str) -> Tensor:
    """Global depthwise convolution (each place of the face gets its own weight, unlike average pooling), then linear and batch norm."""
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
        x = _conv(x, network.stem, dtype, stride=2)
        for width, blocks in zip(network.widths, network.blocks, strict=True):
            for index in range(blocks):
                x = block(x, width, 2 if index == 0 else 1, dtype)
        return _conv(x, network.head, dtype, kernel=1)

    return build


def _plain(x: Tensor, network: Network, dtype: str) -> Tensor:
    """Three times convolution and pooling, as small articles have it; `blocks` is ignored."""
    for width in network.widths:
        x = layers.MaxPooling2D(dtype=dtype)(_conv(x, width, dtype))
    return x


KINDS: dict[str, Callable[[Tensor, Network, str], Tensor]] = {
    "residual": _tower(_residual_block),
    "mobile": _tower(_mobile_block),
    "plain": _plain,
}
