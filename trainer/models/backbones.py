"""The networks of `keras.applications` as encoders: any of them by name, with its own preprocessing in the graph.

A network sees what it was made for: blue first with a mean taken away (VGG16), -1 to 1 (MobileNetV2), or 0 to 255 (EfficientNet, which
scales by itself). `preprocess_input` of each is linear in a pixel's colours, so a 3x3 matrix and an offset say all of it.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from daemon.core.faults import first_line
from daemon.core.settings import shown
from trainer.models.losses import Tensor
from trainer.recipes.values import Network, RecipeError

NAMES = tuple(sorted(name for name in dir(keras.applications) if name[0].isupper()))
SETTLES = 0.99
"""The slowest that the mean and variance of a batch normalisation follow the batches. MobileNetV2's own 0.999 and NASNet's 0.9997 are for
millions of steps: after a run of a thousand, the mean 0 and the variance 1 that they begin with would still weigh 37 % and 74 %."""


def trunk(pixels: Tensor, network: Network, dtype: str) -> Tensor:
    """The last feature map of the backbone, with fresh weights, over pixels [N, size, size, 3] in 0..255. Raises RecipeError."""
    seen = Preprocess(network.backbone, name="preprocess")(pixels) if network.channels == 3 else pixels
    model = _built(network, dtype, None, seen)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, SETTLES)
    return model.output


def load(encoder: keras.Model, network: Network) -> None:
    """Put the weights that the recipe names into a fresh encoder. Raises RecipeError if they cannot be had."""
    if network.weights == "none":
        return
    own = [layer for layer in encoder.layers if layer.weights]
    for layer, given in zip(own, [layer for layer in _pretrained(network).layers if layer.weights], strict=False):
        layer.set_weights(given.get_weights())


def check(network: Network) -> None:
    """Raises RecipeError if there is no such backbone, if it does not take pictures of this size, or if its weights cannot be had."""
    if network.kind == "applications":
        _built(network, "float32", None) if network.weights == "none" else _pretrained(network)


class Preprocess(layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """What `preprocess_input` of a backbone does to colours in 0..255: [N, h, w, 3] to [N, h, w, 3]."""

    def __init__(self, backbone: str, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        # numpy, not tensors: a tensor made here would become an input of the exported graph.
        self.matrix, self.offset = linear(sys.modules[_builder(backbone).__module__].preprocess_input)

    def call(self, pixels: Tensor) -> Tensor:
        """Scale, shift and order."""
        return keras.ops.matmul(pixels, self.matrix) + self.offset


def linear(preprocess: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(matrix [3, 3], offset [3]) so that preprocess(colours) = colours @ matrix + offset. Raises RecipeError if it is not so."""
    black = np.asarray(preprocess(np.zeros((1, 1, 1, 3), np.float32)), np.float64)[0, 0, 0]
    full = np.asarray(preprocess(255 * np.eye(3, dtype=np.float32)[None, None]), np.float64)[0, 0]
    matrix = (full - black) / 255
    some = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)
    if not np.allclose(np.asarray(preprocess(some.copy())), some @ matrix + black, atol=1e-3):
        raise RecipeError("the preprocessing of this backbone is not linear", "use another network.backbone")
    return matrix.astype(np.float32), black.astype(np.float32)


def _pretrained(network: Network) -> keras.Model:
    weights = network.weights
    if weights != "imagenet" and not Path(weights).is_file():
        raise RecipeError(f"network.weights: {weights} does not exist", 'give "none", "imagenet", or a file of weights without top layers')
    try:
        return _built(network, "float32", weights)
    except RecipeError:
        raise
    except Exception as error:  # a download and a file of weights fail in many different ways
        if weights == "imagenet":
            said, hint = (
                f"the ImageNet weights of {network.backbone} cannot be downloaded",
                'give their file with network.weights = "FILE.h5"',
            )
        else:
            said, hint = f"{weights} does not fit {network.backbone}", "give the weights of this backbone without its top layers"
        raise RecipeError(f"{said}: {first_line(error)}", hint) from error


def _built(network: Network, dtype: str, weights: str | None, pixels: Tensor | None = None) -> keras.Model:
    if network.channels != 3:
        raise RecipeError("the networks of keras.applications see colour", "give channels = 3, or another network.kind")
    build, shape = _builder(network.backbone), (network.size, network.size, 3)
    with _policy(dtype):
        try:
            return build(include_top=False, weights=weights, input_tensor=pixels, input_shape=shape)
        except ValueError as error:
            if "nput size" not in str(error) or weights is not None:
                raise
            smallest = first_line(error).split(";")[0]
            raise RecipeError(
                f"{network.backbone} does not take pictures of {network.size} pixels: {smallest}", "raise network.size"
            ) from error


def _builder(name: str) -> Any:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(NAMES)}"
        raise RecipeError(f"network.backbone = {shown(name)} is not in keras.applications", hint)
    return getattr(keras.applications, name)


@contextmanager
def _policy(dtype: str) -> Iterator[None]:
    """keras.applications takes no dtype but the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
