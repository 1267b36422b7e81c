"""Changes to other people's ONNX face models, so that a graph for one crop of floats takes a batch of uint8 crops.

Every change is only a proposal: the caller runs it beside the original model and trusts only the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from daemon.core.bundle import CARD_KEY
from daemon.core.faces.align import CROP_PX
from trainer.bundle.constant_shapes import keep, read
from trainer.bundle.raw_model import NUDGE, TINY, Numbers, Raw, Way

Batch = Literal["as it is", "mended", "one by one"]
Step: TypeAlias = tuple[str, list[NDArray[Any]], dict[str, Any]]
"""An operator, its constants, and its attributes."""
SCAN_OPSET = 9
IR = 8  # since version 4, weights need not be inputs as well
PREFIX = "raw/"


def proposal(raw: Raw, way: Way, batch: Batch, name: str, card: str) -> Any | None:
    """The model with the input `image` uint8 [N, 112, 112, 3], the output `embedding` float32 [N, D] of unit length, and its card.

    `batch` says how the graph takes many crops: unchanged, with mended constant shapes, or with a loop over the crops. Returns None if
    there is nothing to mend, or if this opset has no loop. The weights are shared, and `raw` is not changed.
    """
    model = onnx.ModelProto()
    model.CopyFrom(raw.model)
    graph = model.graph
    _prefix(graph)
    source = next(port.name for port in graph.input if port.name not in {tensor.name for tensor in graph.initializer})
    result = graph.output[0].name
    if (batch == "mended" and not _mend(graph, source, raw.batch or 1)) or (batch == "one by one" and _opset(model) < SCAN_OPSET):
        return None
    looped = batch == "one by one"
    before = _before(raw, way, "pixels" if looped else source)
    after = _after(raw, "answers" if looped else result, [] if looped else _single(raw))
    if looped:
        nodes, weights = [_loop(raw, graph, source, result)], []
    else:
        nodes, weights = list(graph.node), list(graph.initializer)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", CROP_PX, CROP_PX, 3])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", raw.dimension])
    whole = helper.make_graph([*before[0], *nodes, *after[0]], name, [image], [embedding], [*before[1], *weights, *after[1]])
    if not looped:
        whole.sparse_initializer.extend(graph.sparse_initializer)
    made = helper.make_model(whole, opset_imports=model.opset_import, functions=model.functions, producer_name="ostiary-train adopt")
    made.ir_version = max(IR, model.ir_version)
    helper.set_model_props(made, {CARD_KEY: card})
    return made


def _prefix(graph: Any) -> None:
    """Give every name of a graph and of the graphs inside it the prefix, so that none is a name of the bundle's own. `onnx.compose` leaves
    out what a branch reads from outside it."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [PREFIX + name if name else "" for name in names]  # an empty name is an input that is left out
        for field in node.attribute:
            for inner in (*([field.g] if field.HasField("g") else []), *field.graphs):
                _prefix(inner)
    for port in (*graph.input, *graph.output, *graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        port.name = PREFIX + port.name
    del graph.value_info[:], graph.quantization_annotation[:]


def _opset(model: Any) -> int:
    return max(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _mend(graph: Any, source: str, batch: int) -> bool:
    """Change every constant shape for so many crops into one for any number of crops. Returns whether there was one. Only tensors computed
    from the picture are changed; a reshaped weight is not."""
    shapes = {tensor.name: tensor for tensor in graph.initializer}
    constants = [node for node in graph.node if node.op_type == "Constant"]
    shapes |= {node.output[0]: field.t for node in constants for field in node.attribute if field.name == "value"}
    varying, mended, replaced = {source}, False, set()
    for node in graph.node:
        if varying.isdisjoint(read([node])):
            continue
        varying.update(node.output)
        if node.op_type == "Reshape" and node.input[1] in shapes:
            shape = numpy_helper.to_array(shapes[node.input[1]]).ravel().tolist()
            if shape[:1] == [batch]:
                # Only one dimension may be inferred (-1). If another one is already inferred, 0 copies the batch size from the input.
                many = np.array([0 if -1 in shape else -1, *shape[1:]], np.int64)
                replaced.add(node.input[1])
                node.input[1] = f"{node.output[0]}/shape"
                graph.initializer.append(numpy_helper.from_array(many, node.input[1]))
                mended = True
        for field in node.attribute if node.op_type == "Flatten" else ():
            if field.name == "axis" and field.i == 0:
                field.i, mended = 1, True
    # The runtime warns about unused constants each time it opens the bundle.
    unread = replaced - read(graph.node)
    keep(graph.node, lambda node: unread.isdisjoint(node.output))
    keep(graph.initializer, lambda tensor: tensor.name not in unread)
    return mended


def _loop(raw: Raw, graph: Any, source: str, result: str) -> Any:
    """The whole graph as the body of a Scan, which takes the crops of a batch one after the other."""
    shape, many = [3, raw.height, raw.width] if raw.planes else [raw.height, raw.width, 3], raw.batch or 1
    into, weights = _chain("crop", [("Reshape", [np.array([1, *shape], np.int64)], {})], source if many == 1 else "one")
    if many > 1:  # a fixed batch is full of the same crop, and its first answer counts
        into.append(helper.make_node("Concat", ["one"] * many, [source], axis=0))
    one: list[Step] = [
        *_single(raw),
        ("Reshape", [np.array([many, raw.dimension], np.int64)], {}),
        ("Gather", [np.array([0], np.int64)], {"axis": 0}),
        ("Reshape", [np.array([raw.dimension], np.int64)], {}),
    ]
    out, more = _chain(result, one, "vector")
    crop = helper.make_tensor_value_info("crop", helper.np_dtype_to_tensor_dtype(raw.kind), shape)
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [raw.dimension])
    body = helper.make_graph([*into, *graph.node, *out], "each", [crop], [vector], [*graph.initializer, *weights, *more])
    body.sparse_initializer.extend(graph.sparse_initializer)
    return helper.make_node("Scan", ["pixels"], ["answers"], num_scan_inputs=1, body=body)


def _before(raw: Raw, way: Way, target: str) -> tuple[list[Any], list[Any]]:
    """The operators from `image` to the model's input. They resize by matrices, as in the trainer's own bundles."""
    steps: list[Step] = [("Cast", [], {"to": TensorProto.FLOAT})]
    part = raw.sampling(way.cut)
    if part is None:
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    else:
        # Colours first and both axes exchanged, so that each product works on the last axis, and the second product exchanges them back.
        rows, columns = (np.ascontiguousarray(matrix.T) for matrix in part)
        steps += [("Transpose", [], {"perm": [0, 3, 2, 1]}), ("MatMul", [rows], {})]
        steps += [("Transpose", [], {"perm": [0, 1, 3, 2]}), ("MatMul", [columns], {})]
    steps += [("Sub", [_of_colours(way.mean)], {}), ("Div", [_of_colours(way.scale)], {})]
    if way.order == "bgr":
        steps.append(("Gather", [np.array([2, 1, 0], np.int64)], {"axis": 1}))
    if raw.kind.kind == "u":
        steps += [("Add", [np.array(NUDGE, np.float32)], {}), ("Floor", [], {})]
    if raw.kind != np.float32:
        steps.append(("Cast", [], {"to": helper.np_dtype_to_tensor_dtype(raw.kind)}))
    if not raw.planes:
        steps.append(("Transpose", [], {"perm": [0, 2, 3, 1]}))
    return _chain("image", steps, target)


def _single(raw: Raw) -> list[Step]:
    """What makes float32 of the model's own answer."""
    return [] if raw.model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT else [("Cast", [], {"to": TensorProto.FLOAT})]


def _of_colours(numbers: Numbers) -> NDArray[np.float32]:
    """A number, or those of three planes as [3, 1, 1]."""
    found = np.array(numbers, np.float32)
    return found.reshape(3, 1, 1) if found.ndim else found


def _after(raw: Raw, result: str, single: Sequence[Step]) -> tuple[list[Any], list[Any]]:
    """The operators from the model's output to `embedding`. A product with ones sums the squares, because ReduceSum depends on the
    opset."""
    flat, weights = _chain(result, [*single, ("Reshape", [np.array([-1, raw.dimension], np.int64)], {})], "flat")
    square = helper.make_node("Mul", ["flat", "flat"], ["square"])
    length, more = _chain(
        "square",
        [("MatMul", [np.ones((raw.dimension, 1), np.float32)], {}), ("Sqrt", [], {}), ("Add", [np.array(TINY, np.float32)], {})],
        "length",
    )
    return [*flat, square, *length, helper.make_node("Div", ["flat", "length"], ["embedding"])], [*weights, *more]


def _chain(start: str, steps: Sequence[Step], end: str) -> tuple[list[Any], list[Any]]:
    """(nodes, weights) of a chain of operators, each with its constants, from tensor `start` to tensor `end`."""
    nodes, weights, last = [], [], start
    for number, (operator, constants, settings) in enumerate(steps):
        result = end if number == len(steps) - 1 else f"{start}/{number}/{operator}"
        names = [f"{start}/{number}/{operator}/{index}" for index in range(len(constants))]
        weights += [numpy_helper.from_array(value, name) for value, name in zip(constants, names, strict=True)]
        nodes.append(helper.make_node(operator, [last, *names], [result], **settings))
        last = result
    return nodes, weights
