"""The Keras weights of a bundle that this trainer made, read back out of its graph, so that training can go on from them.

They are the very numbers that the file computes with: those of the run, rounded to float16 where the recipe stores them so, and to 7 bits
where the file was quantised. Batch normalisations cannot be read back, because a bundle has them folded into its convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from daemon.core import bundle as bundles
from daemon.core.bundle import Card
from daemon.core.faults import Fault
from trainer.models import networks
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, embedder
from trainer.recipes import reading
from trainer.recipes.values import Recipe, RecipeError

Weight = NDArray[np.float32]
READABLE = (keras.layers.Conv2D, keras.layers.Dense)
ROUNDED_COSINE = 0.995
"""What a quantised bundle and its weights in float agree to at least on golden crops, which are noise; measured: 0.9989."""
WANTED = "give a bundle that `ostiary-train export` wrote, a run, or dlib"


class ReadBackError(Fault):
    """The bundle's weights cannot be learned on; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A bundle's card and recipe, and its encoder's weights in the order of Keras' `get_weights`. `quantised`: they are rounded to
    7 bits."""

    card: Card
    recipe: Recipe
    weights: list[Weight]
    quantised: bool


def read(path: Path) -> Weights:
    """Read a bundle's weights, and prove that Keras answers with them as the bundle does. Raises ReadBackError, and BundleError for a file
    that is no bundle."""
    found, card = onnx_embedder(path)
    if card.recipe.startswith("adopted_from"):
        raise ReadBackError(f"{path} was adopted from another model: only a gate can use it, nothing can be learned on from it", WANTED)
    try:
        recipe = reading.parse(card.recipe)
    except RecipeError as error:
        raise ReadBackError(f"the recipe of {path} cannot be read: {error.message}", "use the trainer that made the bundle") from error
    graph = onnx.load(path).graph
    quantised = any(node.op_type == "DequantizeLinear" for node in graph.node)
    weights = _weights(path, recipe, graph)
    theirs, ours = found(probes()), embedder(recipe, weights)(probes())
    # A graph of integers or of float16 also rounds what goes from layer to layer, which Keras does not.
    half = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    rounded = quantised or any(node.op_type == "Conv" and node.input[1] in half for node in graph.node)
    same = np.sum(theirs * ours, axis=1).min() >= ROUNDED_COSINE if rounded else np.abs(theirs - ours).max() <= PARITY
    if not same:
        raise ReadBackError(
            f"Keras does not answer as {path} does with the weights read from it", "report the bundle, and give the run instead"
        )
    return Weights(card, recipe, weights, quantised)


def probes() -> NDArray[np.uint8]:
    """Crops on which two forms of one model must agree."""
    return np.stack([bundles.golden_crop(seed) for seed in range(8)])


def _weights(path: Path, recipe: Recipe, graph: Any) -> list[Weight]:
    """Every layer's weights, found by their place: a network's convolutions and matrices stand one after the other in the graph too."""
    layers = [layer for layer in networks.encoder(recipe.network).layers if layer.get_weights()]
    strange = next((layer for layer in layers if not isinstance(layer, READABLE) or isinstance(layer, keras.layers.DepthwiseConv2D)), None)
    if strange is not None:
        raise ReadBackError(
            f"{path} has its batch normalisations folded into the convolutions, where they cannot be learned on",
            "give the .keras file that `export --keras` writes beside a bundle, or the run",
        )
    constants = _constants(graph)
    nodes = [node for node in graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    readers = {name: node for node in graph.node for name in node.input}
    weights: list[Weight] = []
    for layer in layers:
        wanted = layer.kernel.shape
        kernel = bias = None
        while nodes and kernel is None:
            node = nodes.pop(0)
            # What has another shape is no layer of the network: a resampling, or the average that `quantise` makes a convolution of.
            kernel, bias = _kernel(node, constants, wanted)
            after = readers.get(node.output[0])
            if kernel is not None and bias is None and layer.use_bias and after is not None and after.op_type == "Add":
                bias = next((constants[name] for name in after.input if name in constants), None)
        if kernel is None or (layer.use_bias and (bias is None or bias.size != wanted[-1])):
            raise ReadBackError(f"{path} is not the network of its card's recipe {recipe.name}", WANTED)
        weights += [kernel, bias.reshape(-1)] if layer.use_bias and bias is not None else [kernel]
    return weights


def _kernel(node: Any, constants: dict[str, Weight], wanted: tuple[int, ...]) -> tuple[Weight | None, Weight | None]:
    """A node's kernel in Keras' order, and its bias; None where the node is of another shape or has none."""
    kernel = constants.get(node.input[1])
    if kernel is None or kernel.ndim != len(wanted):
        return None, None
    if node.op_type == "Conv":
        kernel = kernel.transpose(2, 3, 1, 0)
    elif any(field.name == "transB" and field.i for field in node.attribute):
        kernel = kernel.T
    bias = constants.get(node.input[2]) if len(node.input) > 2 else None
    return (np.ascontiguousarray(kernel), bias) if kernel.shape == tuple(wanted) else (None, None)


def _constants(graph: Any) -> dict[str, Weight]:
    """Every constant of the graph as float32: its initializers, also those stored as float16 or as integers with a scale."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]].astype(np.float32)
        elif node.op_type == "DequantizeLinear" and all(name in found for name in node.input):
            stored, scale, *shift = (found[name] for name in node.input)
            zero = shift[0] if shift else np.zeros_like(scale)
            axis = next((field.i for field in node.attribute if field.name == "axis"), 1)
            along = [-1 if place == axis % stored.ndim else 1 for place in range(stored.ndim)] if scale.ndim else ()
            steps = stored.astype(np.float32) - zero.astype(np.float32).reshape(along)
            found[node.output[0]] = steps * scale.astype(np.float32).reshape(along)
    return {name: value.astype(np.float32) for name, value in found.items()}
