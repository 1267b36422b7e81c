"""Graphs without a node that keeps a GPU waiting for the CPU: what the daemon comes with, and how a graph becomes one."""

from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.bundle import constant_shapes
from trainer.bundle.constant_shapes import ON_THE_CPU, ShapeError
from trainer.commands import reshape

MODELS = sorted(DEFAULT_BUNDLE.parent.glob("*.onnx"))
ON_CUDA = {
    *("Add", "AveragePool", "Cast", "Concat", "Conv", "Div", "Gemm", "MatMul", "MaxPool", "Mul", "Pad", "Reciprocal", "ReduceMean"),
    *("ReduceSum", "Relu", "Reshape", "Sigmoid", "Slice", "Softmax", "Sqrt", "Sub", "Tanh", "Transpose", "Unsqueeze"),
    *("QuantizeLinear", "DequantizeLinear"),  # of uint8 and int8; those of int32 biases are constants, and folded before
}
"""Operators of these graphs that have a CUDA kernel for the types they get here (onnxruntime, docs/OperatorKernels.md)."""


def as_cuda_gets_it(path: Path, folder: Path) -> onnx.ModelProto:
    """The graph after the optimisations that ONNX Runtime makes before it gives nodes to a provider, set as the daemon sets it for CUDA."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.optimized_model_filepath = str(folder / path.name)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / path.name)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_no_node_of_a_shipped_model_stays_on_the_cpu(path: Path, tmp_path: Path) -> None:
    graph = as_cuda_gets_it(path, tmp_path).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert not {kind: ON_THE_CPU[kind] for kind in kinds if kind in ON_THE_CPU} and set(kinds) <= ON_CUDA
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True).graph.value_info
    assert inferred
    for value in inferred:
        assert [size.HasField("dim_value") for size in value.type.tensor_type.shape.dim].count(False) <= 1, value.name


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_shipped_models_answer_a_batch_as_they_answer_each(path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    pixels = np.random.default_rng(1).integers(0, 256, (8, *port.shape[1:])).astype(np.uint8)
    alone = [np.concatenate(parts) for parts in zip(*(session.run(None, {port.name: pixels[i : i + 1]}) for i in range(8)), strict=True)]
    for size in (2, 4, 8):
        for together, each in zip(session.run(None, {port.name: pixels[:size]}), alone, strict=True):
            assert np.abs(together - each[:size]).max() < 1e-4 and np.abs(each).max() > 0.05


def flattening(*dimensions: str) -> onnx.ModelProto:
    """[N, 4, 6] of uint8 to a Reshape whose shape is computed from these: `N` of the batch, or a number."""
    pieces = {"N": "batch"} | {name: f"constant {name}" for name in dimensions if name != "N"}
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["pixels"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
        helper.make_node("Concat", [pieces[name] for name in dimensions], ["wanted"], axis=0),
        helper.make_node("Reshape", ["pixels", "wanted"], ["embedding"]),
    ]
    weights = [numpy_helper.from_array(np.array([0], np.int64), "first")]
    weights += [numpy_helper.from_array(np.array([int(name)], np.int64), pieces[name]) for name in {*dimensions} - {"N"}]
    graph = helper.make_graph(
        nodes,
        "flattening",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 4, 6])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


def test_a_shape_computed_from_the_batch_becomes_a_constant_and_the_answers_stay() -> None:
    model = flattening("N", "24")
    before = model.SerializeToString()
    constant_shapes.make_constant(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Reshape"]
    (shape,) = model.graph.initializer
    assert numpy_helper.to_array(shape).tolist() == [-1, 24]
    assert constant_shapes.difference(before, model.SerializeToString()) == 0
    again = model.SerializeToString()
    constant_shapes.make_constant(model)
    assert model.SerializeToString() == again


def test_a_shape_that_no_constant_can_say_is_refused() -> None:
    with pytest.raises(ShapeError, match="more than one dimension"):
        constant_shapes.make_constant(flattening("N", "N", "-1"))


def test_what_is_left_for_the_cpu_is_named() -> None:
    model = flattening("N", "24")
    model.graph.output.append(helper.make_tensor_value_info("shape", TensorProto.INT64, [3]))
    with pytest.raises(ShapeError, match="operator Shape: its answer is a shape"):
        constant_shapes.make_constant(model)


def test_a_file_that_is_not_there_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="cannot be read: No such file") as caught:
        reshape.run(Namespace(file=tmp_path / "none.onnx", out=tmp_path / "out.onnx"))
    assert "a file that ostiary-train wrote" in caught.value.hint and not (tmp_path / "out.onnx").exists()
