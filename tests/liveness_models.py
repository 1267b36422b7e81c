"""Liveness models made for tests, in the layout of MiniFASNetV2: bright pictures are alive to them, dark ones are not."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIDDLE = 128.0


def brightness_model(
    path: Path,
    *,
    side: int = 80,
    classes: int = 3,
    probabilities: bool = False,
    constant: bool = False,
    scale: float = 0.1,
    middle: float = MIDDLE,
) -> Path:
    """Write it. Class 1 is as likely as the mean of the picture is above `middle`; `scale` is how sharply (per grey level)."""
    weights = np.zeros((1, classes), np.float32)
    weights[0, 1] = 0 if constant else scale
    bias = np.zeros(classes, np.float32)
    bias[1] = 0 if constant else -scale * middle
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Gemm", ["column", "weights", "bias"], ["logits" if probabilities else "output"]),
    ]
    if probabilities:
        nodes.append(helper.make_node("Softmax", ["logits"], ["output"], axis=1))
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", classes])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
