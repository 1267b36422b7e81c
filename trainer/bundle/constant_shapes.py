"""Graphs whose only free dimension is the batch, without a node that computes a shape.

A converter writes `Shape → Gather → Concat → Reshape` where it does not know the batch. ONNX Runtime keeps such nodes on the CPU by its own
rule, so a model that has them does not run on a GPU alone, and cannot be captured as a CUDA graph. Here each such shape becomes a constant
in which -1 stands for the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from daemon.core.faults import Fault

ON_THE_CPU = {
    "Shape": "its answer is a shape, which ONNX Runtime keeps in the CPU's memory",
    "Size": "its answer is a number, which ONNX Runtime keeps in the CPU's memory",
    "NonZero": "only the CPU knows the size of its answer, after it has run",
    "If": "its condition is read on the CPU",
    "Loop": "its condition is read on the CPU",
    "Scan": "its steps are counted on the CPU",
}
"""Operators that need the CPU between two steps of a GPU, and why (onnxruntime, fallback_cpu_capability.cc and the CUDA kernels' memory
types)."""
SIZES = (2, 3)
"""A shape is computed for batches of two sizes: a number that does not change is a constant."""


class ShapeError(Fault):
    """The graph's shapes cannot be made constant; `message` and `hint` are one line each."""


def make_constant(model: Any) -> None:
    """Turn every shape that a Reshape gets from the batch into a constant, and drop what computed it. `model` (inputs [N, …]) is changed.
    Raises ShapeError if something is left that needs the CPU."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer} | {node.output[0] for node in graph.node if node.op_type == "Constant"}
    reshapes = [node for node in graph.node if node.op_type == "Reshape" and node.input[1] not in constants]
    names = sorted({node.input[1] for node in reshapes})
    if names:
        shapes = {name: _constant(name, *both) for name, *both in zip(names, *(_shapes(model, names, size) for size in SIZES), strict=True)}
        graph.initializer.extend(numpy_helper.from_array(shape, f"{name}/constant") for name, shape in shapes.items())
        for node in reshapes:
            node.input[1] = f"{node.input[1]}/constant"
    drop_unread(graph)
    left = sorted(on_the_cpu(graph))
    if left:
        raise ShapeError(f"the graph has an operator {left[0]}: {ON_THE_CPU[left[0]]}", "export the model with a fixed picture size")


def on_the_cpu(graph: Any) -> set[str]:
    """The operators of a graph that need the CPU between two steps of a GPU."""
    return {node.op_type for node in graph.node} & set(ON_THE_CPU)


def drop_unread(graph: Any) -> None:
    """Drop every node and every weight whose result nobody reads."""
    wanted = {port.name for port in graph.output}
    for node in reversed(graph.node):  # nodes are in the order of their execution
        if wanted.intersection(node.output):
            wanted |= read([node])
    keep(graph.node, lambda node: not wanted.isdisjoint(node.output))
    keep(graph.initializer, lambda tensor: tensor.name in wanted)


def read(nodes: Any) -> set[str]:
    """Every tensor that is an input of these nodes, or of a node in a graph inside them."""
    inside = [field.g.node for node in nodes for field in node.attribute if field.HasField("g")]
    return {name for node in nodes for name in node.input}.union(*(read(inner) for inner in inside))


def keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    """Keep only the wanted items in a repeated field of a protobuf."""
    for index in reversed(range(len(items))):
        if not wanted(items[index]):
            del items[index]


def difference(one: bytes, other: bytes) -> float:
    """The largest difference between two models' answers to batches of random pixels, of the sizes 1, 2, 4 and 8."""
    first, second = _session(one), _session(other)
    rng = np.random.default_rng(1)
    worst = 0.0
    for size in (1, 2, 4, 8):
        feeds = {port.name: rng.integers(0, 256, (size, *port.shape[1:])).astype(np.uint8) for port in first.get_inputs()}
        both = zip(first.run(None, feeds), second.run(None, feeds), strict=True)
        # np.max, because max() would pass over NaN.
        worst = float(np.max([worst, *(np.abs(answer - again).max() for answer, again in both)]))
    return worst


def _shapes(model: Any, names: list[str], size: int) -> list[NDArray[np.int64]]:
    """The values of these tensors for a batch of this size."""
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for port in model.graph.input:
        if port.name not in weights:
            rest = [dimension.dim_value for dimension in port.type.tensor_type.shape.dim][1:]
            feeds[port.name] = np.zeros((size, *rest), helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type))
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return [np.asarray(shape, np.int64) for shape in _session(probe.SerializeToString()).run(names, feeds)]


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _constant(name: str, small: NDArray[np.int64], large: NDArray[np.int64]) -> NDArray[np.int64]:
    if small.shape != large.shape or np.count_nonzero(small != large) > 1:
        raise ShapeError(f"the shape {name} depends on the batch in more than one dimension", "export the model with a free batch only")
    return np.where(small == large, small, -1)
