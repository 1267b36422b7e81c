"""Other people's face models in ONNX: what they take, and each as a function from crops to unit vectors."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from daemon.core.faces.align import CROP_PX
from daemon.core.faults import Fault
from trainer.models.whole import Embed
from trainer.people import augment
from trainer.people.augment import Cut

Order = Literal["rgb", "bgr"]
ORDERS: tuple[Order, ...] = ("rgb", "bgr")
Numbers: TypeAlias = float | tuple[float, float, float]
"""One number for all colours, or those of red, green and blue, whatever order the model takes them in."""
FAILURES = (ort.Fail, ort.InvalidGraph, ort.InvalidProtobuf, ort.InvalidArgument, ort.NotImplemented, ort.RuntimeException)
TINY = 1e-12
NUDGE = 0.501
"""Whole numbers are the floor of x + this. With 0.5, the half between two pixels would fall as the last bit of a sum says."""


class OnnxError(Fault):
    """The ONNX file is not a usable face-embedding model; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a model takes pixels of 0..255: in this order of colours, as (x - mean) / scale, and which part of a crop; None: the whole."""

    order: Order
    mean: Numbers
    scale: Numbers
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """An original model: `model` is its protobuf with one input and one output, `sha256` that of its file.

    It takes pictures of `height` and `width` pixels with the colours first (`planes`) or last, in numbers of `kind` (float16, 32, 64 or
    uint8), `batch` at a time (None: any number). `dimension` is that of its embedding.
    """

    model: Any
    sha256: str
    height: int
    width: int
    planes: bool
    batch: int | None
    kind: np.dtype[Any]
    dimension: int

    @property
    def exact(self) -> bool:
        """Whether the model computes in float32 or better, so that its answers do not depend on the size of a batch."""
        kinds = {tensor.data_type for tensor in self.model.graph.initializer}
        kinds |= {field.i for node in self.model.graph.node if node.op_type == "Cast" for field in node.attribute if field.name == "to"}
        return self.kind != np.float16 and TensorProto.FLOAT16 not in kinds

    def sampling(self, cut: Cut | None) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """(rows [height, 112], columns [width, 112]) that bring a crop to the model's size; None if nothing changes.

        Without a cut the longer side shows the whole crop, and the shorter one the middle of it: 112x96 is the crop without eight columns
        on either side, as models of this size are trained.
        """
        if cut is not None:
            return cut.matrices(self.height)[0], cut.matrices(self.width)[1]
        if (self.height, self.width) == (CROP_PX, CROP_PX):
            return None
        longer = max(self.height, self.width)
        return augment.resize_matrix(self.height, zoom=longer / self.height), augment.resize_matrix(self.width, zoom=longer / self.width)

    def pixels(self, crops: NDArray[np.uint8], way: Way) -> NDArray[Any]:
        """Convert crops uint8 [n, 112, 112, 3] RGB to the model's input."""
        x = crops.astype(np.float32)
        mean, scale = (np.array(value, np.float32) for value in (way.mean, way.scale))
        found = self.sampling(way.cut)
        if found is not None:
            rows = np.tensordot(x, found[0], axes=([1], [1]))  # n, x, c, Y
            x = np.asarray(np.tensordot(rows, found[1], axes=([1], [1])), np.float32).transpose(0, 2, 3, 1)
        x = np.asarray((x - mean) / scale, np.float32)
        x = x if way.order == "rgb" else x[..., ::-1]
        x = np.floor(x + np.float32(NUDGE)) if self.kind.kind == "u" else x
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.planes else x).astype(self.kind)


def reason(error: BaseException) -> str:
    """What ONNX Runtime or the checker says, in a line, without the place in the library's own source that it begins with."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    if re.match(r"^\S+\.(h|cc):\d+ ", text) and "(" in text:
        depth = 0
        for place, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if letter == ")" and depth == 0:
                text = text[place + 1 :].removeprefix(" const").strip() or text
                break
    return text[:300] or type(error).__name__


def session(model: Any) -> Any:
    """An ONNX Runtime session on the CPU, silent. Raises one of FAILURES."""
    options = onnxruntime.SessionOptions()
    # A graph may fail on a batch here: then the next proposal is tried, and the runtime's log is of no use.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def embedder(raw: Raw, way: Way, batch: int = 1) -> Embed:
    """The original model, this many crops at a time. One that takes a fixed number gets each crop so many times. Raises OnnxError if its
    answers are not vectors."""
    machine = session(raw.model)
    source = machine.get_inputs()[0].name
    fixed = raw.batch or 1
    batch = 1 if fixed > 1 else batch

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = np.empty((len(crops), raw.dimension), np.float32)
        for at in range(0, len(crops), batch):
            part = raw.pixels(crops[at : at + batch], way)
            try:
                answer = machine.run(None, {source: np.repeat(part, fixed, axis=0)})[0]
                vectors[at : at + batch] = np.reshape(answer, (len(part) * fixed, raw.dimension))[: len(part)]
            except (*FAILURES, ValueError) as error:
                raise OnnxError(f"the model fails on {len(part)} crops: {reason(error)}", "export the model again") from error
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(length).all() and (length > TINY).all()):
            raise OnnxError("the model answers faces with zeros, or with numbers that are not finite", "check mean and scale")
        return np.asarray(vectors / length, np.float32)

    return embed


def way_of(order: Order, mean: Numbers, scale: Numbers, cut: Cut | None = None) -> Way:
    """A checked Way. Raises OnnxError."""
    if order not in ORDERS:
        raise OnnxError(f"the order is {order!r}", "give rgb or bgr")
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and np.min(scale) > 0):
        raise OnnxError(f"pixels cannot become (x - {mean}) / {scale}", "give numbers for mean and scale, and a scale above 0")
    if cut is not None and not (math.isfinite(cut.x) and math.isfinite(cut.y) and math.isfinite(cut.apart) and cut.apart > 0):
        raise OnnxError(f"the cut is {cut}", "give numbers, and a distance of the eyes above 0")
    return Way(order, _numbers(mean), _numbers(scale), cut)


def _numbers(value: Numbers) -> Numbers:
    return tuple(float(number) for number in value) if isinstance(value, tuple) else float(value)  # type: ignore[return-value]
