"""A bundle's graph with its weights in float16 (half the file), or its convolutions in 8-bit integers: half the time on a CPU, half the
file, and nearly the same vectors.

Only what lies between the first and the last convolution is quantised; pixels are resampled and vectors normalised in float. Weights are
integers of 7 bits, each output channel with its own scale: 2 · 255 · 64 still fits into the 16 bits in which CPUs without VNNI add two
products, so every CPU computes the same integers. The file has QuantizeLinear and DequantizeLinear around float operators (QDQ). ONNX
Runtime makes integer operators of them on a CPU; a GPU computes in float and rounds where they stand.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from daemon.core.faults import Fault
from trainer.bundle import constant_shapes, export

RANGES_FROM = 256
"""So many crops give the range of each tensor. Four times as many, or others, change no figure (LOG.md)."""
OPERATORS = ("Conv", "Relu", "Add", "MaxPool", "AveragePool", "Pad")


class QuantiseError(Fault):
    """The bundle cannot be quantised; `message` and `hint` are one line each."""


def quantised(model: Any, crops: NDArray[np.uint8]) -> Any:
    """The model of a bundle in 8 bits. `crops` uint8 [n, 112, 112, 3] are of people it learned from. `model` stays. Raises QuantiseError
    and ShapeError."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    made = onnx.ModelProto()
    made.CopyFrom(model)
    if any(node.op_type == "DequantizeLinear" for node in made.graph.node):
        raise QuantiseError("the bundle is quantised already", "give the float bundle that it was made from")
    _widen_weights(made.graph)
    constant_shapes.make_constant(made)
    _pool_by_convolving(made)
    _drop_identities(made.graph)
    constant_shapes.drop_unread(made.graph)
    for number, node in enumerate(made.graph.node):
        node.name = f"{number}/{node.op_type}"
    convolutions = [number for number, node in enumerate(made.graph.node) if node.op_type == "Conv"]
    if not convolutions:
        raise QuantiseError("the model has no convolutions", "only convolutions are quantised: keep the float bundle")
    inside = range(convolutions[0], convolutions[-1] + 1)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            made,
            path,
            _Reader(crops[:: max(1, len(crops) // RANGES_FROM)][:RANGES_FROM]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=[node.name for number, node in enumerate(made.graph.node) if number not in inside],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(path)


def halved(model: Any) -> Any:
    """The model of a bundle with its large weights rounded to float16: half the file. They are float32 again when it is opened, so it
    takes the same time. `model` stays. Raises QuantiseError."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    if any(node.op_type == "DequantizeLinear" for node in made.graph.node):
        raise QuantiseError("the bundle is in 8 bits already", "give the float bundle that it was made from")
    large = [tensor for tensor in made.graph.initializer if tensor.data_type == TensorProto.FLOAT and _size(tensor) >= export.HALVED_FROM]
    if not large:
        raise QuantiseError("the bundle has no large float32 weights", "it is in half precision already, or its weights are in a loop")
    for tensor in large:
        value = numpy_helper.to_array(tensor)
        if not np.abs(value).max() <= np.finfo(np.float16).max:
            raise QuantiseError(f"the weight {tensor.name} is too large for float16", "keep the float bundle")
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16).astype(np.float32), tensor.name))
    export.halve(made.graph)
    return made


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.dims))


class _Reader:
    """Crops as ONNX Runtime's quantiser asks for them: some at a time, then None."""

    def __init__(self, crops: NDArray[np.uint8], batch: int = 16) -> None:
        self._parts: Iterator[NDArray[np.uint8]] = (crops[at : at + batch] for at in range(0, len(crops), batch))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        part = next(self._parts, None)
        return None if part is None else {"image": part}

    def __iter__(self) -> Iterator[dict[str, NDArray[np.uint8]]]:
        return iter(self.get_next, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises on the root logger to do what was done already."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _widen_weights(graph: Any) -> None:
    """Weights that are stored as float16 with a Cast become float32."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in weights]
    for node in casts:
        value = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    done = {node.output[0] for node in casts}
    constant_shapes.keep(graph.node, lambda node: node.output[0] not in done)


def _drop_identities(graph: Any) -> None:
    """Drop products with the identity: what a bundle's resampling becomes if crop and network have one size."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    instead: dict[str, str] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = instead.get(name, name)
        if node.op_type == "MatMul":
            for one, other in ((0, 1), (1, 0)):
                if node.input[one] in weights and _is_identity(numpy_helper.to_array(weights[node.input[one]])):
                    instead[node.output[0]] = node.input[other]
                    break
    kept = {port.name for port in graph.output}
    constant_shapes.keep(graph.node, lambda node: node.output[0] not in instead or node.output[0] in kept)


def _is_identity(matrix: NDArray[Any]) -> bool:
    return matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and bool((matrix == np.eye(len(matrix))).all())


def _pool_by_convolving(model: Any) -> None:
    """An average of 2x2 pixels becomes a convolution that also appends the empty channels of a Pad behind it. ONNX Runtime makes
    no integer Pad of QDQ, and its integer average takes longer."""
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for place, node in enumerate(graph.node):
        settings = {field.name: helper.get_attribute_value(field) for field in node.attribute}
        plain = settings.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") and not any(settings.get("pads", ()))
        halves = node.op_type == "AveragePool" and list(settings["kernel_shape"]) == [2, 2] and plain and not settings.get("ceil_mode")
        if not halves or node.input[0] not in shapes:
            continue
        channels = shapes[node.input[0]][1].dim_value
        result, more = node.output[0], 0
        behind = readers.get(result, [])
        if len(behind) == 1 and behind[0].op_type == "Pad" and behind[0].input[1] in weights:
            pads = weights[behind[0].input[1]]
            more = int(pads[5]) if len(pads) == 8 and np.count_nonzero(pads) == 1 and pads[5] > 0 else 0
        average = np.zeros((channels + more, channels, 2, 2), np.float32)
        average[np.arange(channels), np.arange(channels)] = 0.25
        names = f"{result}/average", f"{result}/zero"
        values = average, np.zeros(channels + more, np.float32)
        graph.initializer.extend(numpy_helper.from_array(value, name) for value, name in zip(values, names, strict=True))
        if more:
            result = behind[0].output[0]
            behind[0].output[0] = f"{result}/unread"
        strides = list(settings.get("strides", (1, 1)))
        graph.node[place].CopyFrom(helper.make_node("Conv", [node.input[0], *names], [result], kernel_shape=[2, 2], strides=strides))
    constant_shapes.drop_unread(graph)
