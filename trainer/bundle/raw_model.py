"""Other people's face models in ONNX: their input and output, and each as a function from crops to unit vectors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from daemon.core.bundle import CARD_KEY, golden_crop
from daemon.core.faces.align import CROP_PX
from daemon.core.faults import Fault, first_line
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, Embed
from trainer.people import augment
from trainer.people.augment import Cut

Order = Literal["rgb", "bgr"]
ORDERS: tuple[Order, ...] = ("rgb", "bgr")
FAILURES = (ort.Fail, ort.InvalidGraph, ort.InvalidProtobuf, ort.InvalidArgument, ort.NotImplemented, ort.RuntimeException)
OPSET = 7  # the first whose Add, Sub, Mul and Div broadcast
SIDES_PX = (32, 256)
DIMENSIONS = (2, 4096)
TINY = 1e-12
TEACHER_BATCH = 32
WANTED = "adopt takes a model with one input float32 [N, 3, S, S] or [N, S, S, 3] and one output, the embedding"


class OnnxError(Fault):
    """The ONNX file is not a usable face-embedding model; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a model takes pixels of 0..255: in this order of colours, as (x - mean) / scale, and which part of a crop; None: the whole."""

    order: Order
    mean: float
    scale: float
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """An original model: `model` is its protobuf, `sha256` that of its file. It takes crops of `side` pixels with the colours first
    (`planes`) or last. `batched` says whether it declares to take any number of crops; `dimension` is that of its embedding."""

    model: Any
    sha256: str
    side: int
    planes: bool
    batched: bool
    dimension: int

    def pixels(self, crops: NDArray[np.uint8], way: Way) -> NDArray[np.float32]:
        """Convert crops uint8 [n, 112, 112, 3] RGB to the model's input."""
        x = augment.shrink(crops, self.side, way.cut)
        x = (x if way.order == "rgb" else x[..., ::-1]) - np.float32(way.mean)
        x /= np.float32(way.scale)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.planes else x)


def is_bundle(path: Path) -> bool:
    """Whether this ONNX file already has a card. Raises OnnxError."""
    return any(entry.key == CARD_KEY for entry in _load(path)[0].metadata_props)


def read(path: Path) -> Raw:
    """Read a face-embedding model of any origin, and run it once to check its signature. Raises OnnxError."""
    model, sha256 = _load(path)
    if any(entry.key == CARD_KEY for entry in model.metadata_props):
        raise OnnxError(f"{path} is already a bundle", "use it as it is")
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OPSET:
        raise OnnxError(f"{path} is written in ONNX opset {opset}", f"convert it to opset {OPSET} or later with onnx.version_converter")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in weights]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise OnnxError(f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs", WANTED)
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT or model.graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise OnnxError(f"{path} has an input or output that is not float32", WANTED)
    shape = [dim.dim_value or None for dim in tensor.shape.dim]
    side, planes = _layout(path, shape)
    if shape[0] not in (None, 1):
        raise OnnxError(f"{path} takes {shape[0]} crops at a time", "export it with a batch of one, or of any number")
    probe = Raw(model, sha256, side, planes, shape[0] is None, 0)
    found = _one_answer(path, probe)
    if found.size != max(found.shape, default=0) or not DIMENSIONS[0] <= found.size <= DIMENSIONS[1]:
        raise OnnxError(f"{path} answers one crop with numbers of shape {list(found.shape)}, which is not an embedding", WANTED)
    return Raw(model, sha256, side, planes, shape[0] is None, int(found.size))


def open_raw(model: Path, order: Order, mean: float, scale: float) -> Embed:
    """A raw model as a function from crops uint8 [n, 112, 112, 3] RGB to unit vectors float32 [n, D]. It runs crop by crop, unless the
    model declares to take batches and gives the same answers for them. Raises OnnxError."""
    way = way_of(order, mean, scale)
    raw = read(model)
    singly, batched = embedder(raw, way), embedder(raw, way, TEACHER_BATCH)
    probes = np.stack([golden_crop(seed) for seed in range(3)])
    try:
        alike = raw.batched and np.allclose(singly(probes), batched(probes), rtol=0, atol=PARITY)
    except OnnxError:
        alike = False
    return batched if alike else singly


def teacher(model: Path, order: Order | None = None, mean: float = 127.5, scale: float = 127.5) -> Embed:
    """A model to distil from, raw or a bundle, as a function from crops uint8 [n, 112, 112, 3] RGB to unit vectors float32 [n, D].

    A bundle has order, mean and scale inside, so the arguments are ignored; a raw model needs its order. Raises OnnxError, BundleError.
    """
    if is_bundle(model):
        return onnx_embedder(model)[0]
    if order is None:
        raise OnnxError(f"{model} does not say whether it takes RGB or BGR", "give the order, or adopt the model first, which measures it")
    return open_raw(model, order, mean, scale)


def session(model: Any) -> Any:
    """An ONNX Runtime session on the CPU, silent. Raises one of FAILURES."""
    options = onnxruntime.SessionOptions()
    # A graph may fail on a batch here: then the next proposal is tried, and the runtime's log is of no use.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def embedder(raw: Raw, way: Way, batch: int = 1) -> Embed:
    """The original model, this many crops at a time. Raises OnnxError if its answers are not vectors."""
    machine = session(raw.model)
    source = machine.get_inputs()[0].name

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = np.empty((len(crops), raw.dimension), np.float32)
        for at in range(0, len(crops), batch):
            part = raw.pixels(crops[at : at + batch], way)
            try:
                vectors[at : at + batch] = np.reshape(machine.run(None, {source: part})[0], (len(part), raw.dimension))
            except (*FAILURES, ValueError) as error:
                raise OnnxError(f"the model fails on {len(part)} crops: {first_line(error)}", "export the model again") from error
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(length).all() and (length > TINY).all()):
            raise OnnxError("the model answers faces with zeros, or with numbers that are not finite", "check mean and scale")
        return np.asarray(vectors / length, np.float32)

    return embed


def way_of(order: Order, mean: float, scale: float, cut: Cut | None = None) -> Way:
    if order not in ORDERS:
        raise OnnxError(f"the order is {order!r}", "give rgb or bgr")
    if not (math.isfinite(mean) and math.isfinite(scale) and scale > 0):
        raise OnnxError(f"pixels cannot become (x - {mean}) / {scale}", "give numbers for mean and scale, and a scale above 0")
    if cut is not None and not (math.isfinite(cut.x) and math.isfinite(cut.y) and math.isfinite(cut.apart) and cut.apart > 0):
        raise OnnxError(f"the cut is {cut}", "give numbers, and a distance of the eyes above 0")
    return Way(order, float(mean), float(scale), cut)


def _load(path: Path) -> tuple[Any, str]:
    hint = "give the ONNX file of a face-embedding model, with its external data (if any) beside it"
    try:
        model = onnx.load(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise OnnxError(f"{path} cannot be read as ONNX: {first_line(error)}", hint) from error
    if not model.graph.node:
        raise OnnxError(f"{path} is not an ONNX model", hint)
    return model, digest


def _layout(path: Path, shape: Sequence[int | None]) -> tuple[int, bool]:
    """(side in pixels, colours first) from the input's shape, in which None is an open dimension; an open side counts as 112."""
    if len(shape) == 4 and 3 in (shape[1], shape[3]):
        planes = shape[1] == 3
        sides = {side or CROP_PX for side in (shape[2:] if planes else shape[1:3])}
        if len(sides) == 1 and SIDES_PX[0] <= min(sides) <= SIDES_PX[1]:
            return min(sides), planes
    raise OnnxError(f"{path} takes pictures of shape {[side or 'N' for side in shape]}", WANTED + f", S {SIDES_PX[0]} to {SIDES_PX[1]}")


def _one_answer(path: Path, raw: Raw) -> NDArray[np.float32]:
    try:
        machine = session(raw.model)
        crop = raw.pixels(golden_crop(0)[None], Way("rgb", 127.5, 127.5))
        return np.asarray(machine.run(None, {machine.get_inputs()[0].name: crop})[0])
    except FAILURES as error:
        raise OnnxError(f"ONNX Runtime cannot run {path}: {first_line(error)}", "export the model again") from error
    except ValueError as error:  # protobuf's, for more than 2 GB
        raise OnnxError(f"{path} is too large: {error}", "give a model of less than 2 GB") from error
