"""A float graph in 8 bits: what is quantised, what stays in float, and how near its answers stay."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from daemon.core.bundle import golden_crop
from trainer.bundle import quantise
from trainer.bundle.quantise import QuantiseError

CROPS = np.stack([golden_crop(seed) for seed in range(12)])


def small_model() -> onnx.ModelProto:
    """A block as the included bundle has them: identity, convolutions, and a shortcut that averages and appends empty channels."""
    rng = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name)

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("MatMul", ["identity", "planes"], ["same"]),
        helper.make_node("Cast", ["half"], ["stem"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["same", "stem"], ["a"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "down"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["b"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Pad", ["d", "wider"], ["e"]),
        helper.make_node("Add", ["c", "e"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("ReduceMean", ["g", "places"], ["embedding"], keepdims=0),
    ]
    weights = [
        numpy_helper.from_array(np.eye(112, dtype=np.float32), "identity"),
        numpy_helper.from_array(numpy_helper.to_array(weight("", 8, 3, 4, 4)).astype(np.float16), "half"),
        weight("down", 16, 8, 2, 2),
        numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 8, 0, 0], np.int64), "wider"),
        numpy_helper.from_array(np.array([2, 3], np.int64), "places"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 112, 112, 3])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 16])
    model = helper.make_model(helper.make_graph(nodes, "small", [image], [embedding], weights), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


def answers(model: onnx.ModelProto, **settings: str) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    for key, value in settings.items():
        options.add_session_config_entry(f"session.{key}", value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": CROPS})[0]
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def test_eight_bits_answer_nearly_as_float_does_on_a_cpu_and_as_a_gpu_computes_them() -> None:
    model = small_model()
    before = model.SerializeToString()
    made = quantise.quantised(model, CROPS)
    onnx.checker.check_model(made, full_check=True)
    truth, integers, in_float = answers(model), answers(made), answers(made, disable_quant_qdq="1")
    assert model.SerializeToString() == before
    assert 0.999 < np.sum(truth * integers, axis=1).min() < 1 - 1e-7 and np.sum(integers * in_float, axis=1).min() > 0.9995


def test_weights_are_seven_bits_and_what_lies_outside_the_convolutions_is_float() -> None:
    made = quantise.quantised(small_model(), CROPS)
    integers = [numpy_helper.to_array(tensor) for tensor in made.graph.initializer if tensor.data_type == TensorProto.INT8 and tensor.dims]
    kernels = [value for value in integers if value.ndim == 4]
    assert len(kernels) == 3 and max(np.abs(kernel.astype(int)).max() for kernel in kernels) <= 64
    kinds = [node.op_type for node in made.graph.node]
    assert not {"Pad", "AveragePool", "MatMul"} & set(kinds) and kinds[-1] == "ReduceMean" and kinds[-2] == "Relu"


def test_a_bundle_is_quantised_once() -> None:
    with pytest.raises(QuantiseError, match="quantised already"):
        quantise.quantised(quantise.quantised(small_model(), CROPS), CROPS)


def test_a_model_without_convolutions_is_refused() -> None:
    model = small_model()
    del model.graph.node[2:]
    model.graph.node.append(helper.make_node("ReduceMean", ["planes", "places"], ["embedding"], keepdims=0))
    with pytest.raises(QuantiseError, match="no convolutions"):
        quantise.quantised(model, CROPS)


def test_half_precision_rounds_large_weights_and_halves_the_file() -> None:
    model = small_model()
    (down,) = [tensor for tensor in model.graph.initializer if tensor.name == "down"]
    wide = np.random.default_rng(2).normal(size=(512, 8, 2, 2)).astype(np.float32)
    down.CopyFrom(numpy_helper.from_array(wide, "down"))
    (pads,) = [tensor for tensor in model.graph.initializer if tensor.name == "wider"]
    pads.CopyFrom(numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 504, 0, 0], np.int64), "wider"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 512
    made = quantise.halved(model)
    onnx.checker.check_model(made, full_check=True)
    assert made.ByteSize() < 0.6 * model.ByteSize() and numpy_helper.to_array(down).tolist() == wide.tolist()
    alike = np.sum(answers(model) * answers(made), axis=1)
    assert alike.min() > 0.99999 and (answers(model) != answers(made)).any()
    with pytest.raises(QuantiseError, match="no large float32 weights"):
        quantise.halved(made)
    down.CopyFrom(numpy_helper.from_array(wide * 1e6, "down"))
    with pytest.raises(QuantiseError, match="down is too large for float16"):
        quantise.halved(model)
    with pytest.raises(QuantiseError, match="8 bits already"):
        quantise.halved(quantise.quantised(small_model(), CROPS))
