"""Reads somebody else's ONNX file as a face-embedding model, and says what is wrong with one that is none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto

from daemon.core.bundle import CARD_KEY, golden_crop
from daemon.core.faces.align import CROP_PX
from daemon.core.faults import first_line
from trainer.bundle import constant_shapes, raw_model
from trainer.bundle.raw_model import FAILURES, OnnxError, Order, Raw, Way, embedder, way_of
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, Embed

OPSET = 7  # the first whose Add, Sub, Mul and Div broadcast
SIDES_PX = (32, 256)
DIMENSIONS = (16, 4096)
MOST_BYTES = 2**31 - 2**24
"""One protobuf holds less than 2 GiB, and the bundle adds its card."""
TEACHER_BATCH = 32
PIXELS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64, TensorProto.UINT8: np.uint8}
ANSWERS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
WANTED = "adopt takes a model with one input [N, 3, H, W] or [N, H, W, 3] of floats or bytes, and an embedding as its output"


def read(path: Path, output: str | None = None) -> Raw:
    """Read a face-embedding model of any origin, and run it once to check its signature. `output` names the embedding of a model with
    several outputs. Raises OnnxError."""
    model, sha256 = _load(path)
    if any(entry.key == CARD_KEY for entry in model.metadata_props):
        raise OnnxError(f"{path} is already a bundle", "use it as it is")
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OPSET:
        raise OnnxError(f"{path} is written in ONNX opset {opset}", f"convert it to opset {OPSET} or later with onnx.version_converter")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in weights]
    if len(inputs) != 1:
        raise OnnxError(f"{path} has {len(inputs)} inputs: {', '.join(map(_told, inputs)) or 'none'}", WANTED)
    _choose(path, model, inputs[0].name, output)
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type not in PIXELS:
        raise OnnxError(f"{path} takes pixels of type {_type(inputs[0])}", "adopt gives float16, float32, float64 or uint8")
    kind = np.dtype(PIXELS[tensor.elem_type])
    batch, height, width, planes = _layout(path, [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim])
    probe = Raw(model, sha256, height, width, planes, batch, kind, 0)
    found = _one_answer(path, probe)
    if found.size != max(found.shape, default=0) or not DIMENSIONS[0] <= found.size <= DIMENSIONS[1]:
        hint = f"an embedding is one vector of {DIMENSIONS[0]} to {DIMENSIONS[1]} numbers; a classifier or a detector has none"
        raise OnnxError(f"{path} answers one crop with numbers of shape {list(found.shape)}, which is not an embedding", hint)
    return Raw(model, sha256, height, width, planes, batch, kind, int(found.size))


def is_bundle(path: Path) -> bool:
    """Whether this ONNX file already has a card. Raises OnnxError."""
    return any(entry.key == CARD_KEY for entry in _load(path)[0].metadata_props)


def open_raw(model: Path, order: Order, mean: float, scale: float) -> Embed:
    """A raw model as a function from crops uint8 [n, 112, 112, 3] RGB to unit vectors float32 [n, D]. It runs crop by crop, unless the
    model declares to take batches and gives the same answers for them. Raises OnnxError."""
    way = way_of(order, mean, scale)
    raw = read(model)
    singly, batched = embedder(raw, way), embedder(raw, way, TEACHER_BATCH)
    probes = np.stack([golden_crop(seed) for seed in range(3)])
    try:
        alike = raw.batch is None and np.allclose(singly(probes), batched(probes), rtol=0, atol=PARITY)
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


def _load(path: Path) -> tuple[Any, str]:
    """The model with its weights, and the sha256 of its file and of those that hold its weights."""
    hint = "give the ONNX file of a face-embedding model, with its external data (if any) beside it"
    try:
        _need_small(path, path.stat().st_size)
        model = onnx.load(path, load_external_data=False)
        beside = sorted({entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"})
        _need_small(path, path.stat().st_size + sum((path.parent / name).stat().st_size for name in beside))
        onnx.load_external_data_for_model(model, str(path.parent))
        digest = hashlib.sha256(path.read_bytes())
        for name in beside:
            digest.update((path.parent / name).read_bytes())
    except OSError as error:
        raise OnnxError(f"{error.filename or path} cannot be read: {error.strerror or first_line(error)}", hint) from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise OnnxError(f"{path} cannot be read as ONNX: {raw_model.reason(error)}", hint) from error
    if not model.graph.node:
        raise OnnxError(f"{path} is not an ONNX model", hint)
    return model, digest.hexdigest()


def _need_small(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise OnnxError(f"{path} and its weights are {size / 1e9:.1f} GB", "a bundle is one file of less than 2 GB: give a smaller model")


def _choose(path: Path, model: Any, source: str, output: str | None) -> None:
    """Leave the model one output, and nothing that only the others need."""
    graph = model.graph
    names = [port.name for port in graph.output]
    if output is None and len(names) != 1:
        said = f"{path} has {len(names)} outputs: {', '.join(map(_told, graph.output))}"
        raise OnnxError(said, "name the embedding with --output; a detector has none")
    if output is not None and output not in names:
        raise OnnxError(f"{path} has no output {output!r}", f"its outputs are {', '.join(map(_told, graph.output))}")
    if len(names) > 1:
        constant_shapes.keep(graph.output, lambda port: port.name == output)
        constant_shapes.drop_unread(graph)
        left = {source, *(tensor.name for tensor in graph.initializer)}
        constant_shapes.keep(graph.input, lambda port: port.name in left)  # old files name every weight as an input too
    if graph.output[0].type.tensor_type.elem_type not in ANSWERS:
        raise OnnxError(f"{path} answers with numbers of type {_type(graph.output[0])}", "an embedding is of floats: give the float model")


def _type(port: Any) -> str:
    return str(TensorProto.DataType.Name(port.type.tensor_type.elem_type)).lower()


def _told(port: Any) -> str:
    """A port with its shape, as `embedding (1x512)`."""
    sizes = [dim.dim_param or (str(dim.dim_value) if dim.HasField("dim_value") else "?") for dim in port.type.tensor_type.shape.dim]
    return f"{port.name} ({'x'.join(sizes) or '?'})"


def _layout(path: Path, shape: Sequence[int | None]) -> tuple[int | None, int, int, bool]:
    """(batch, height, width, colours first) from the input's shape, in which None is an open dimension; an open side counts as 112."""
    face = f"a face model takes {SIDES_PX[0]} to {SIDES_PX[1]} pixels on either side"
    told = f"{path} takes pictures of shape {'x'.join(str(side or 'N') for side in shape) or 'unknown'}"
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise OnnxError(told, WANTED + ("; a model of grey pictures cannot be adopted" if 1 in shape[1:] else ""))
    planes = shape[1] == 3
    height, width = ((side or CROP_PX) for side in (shape[2:] if planes else shape[1:3]))
    if not all(SIDES_PX[0] <= side <= SIDES_PX[1] for side in (height, width)):
        raise OnnxError(told, f"{face}: this one is for whole pictures, or too small")
    return shape[0], height, width, planes


def _one_answer(path: Path, raw: Raw) -> NDArray[np.float32]:
    """What the model says of one crop; of the first, if it takes several at a time."""
    try:
        machine = raw_model.session(raw.model)
        scaling = (0.0, 1.0) if raw.kind.kind == "u" else (127.5, 127.5)
        crop = np.repeat(raw.pixels(golden_crop(0)[None], Way("rgb", *scaling)), raw.batch or 1, axis=0)
        found = np.asarray(machine.run(None, {machine.get_inputs()[0].name: crop})[0])
    except FAILURES as error:
        hint = f"export the model again, with operators and an opset that ONNX Runtime {onnxruntime.__version__} knows"
        raise OnnxError(f"ONNX Runtime cannot run {path}: {raw_model.reason(error)}", hint) from error
    except ValueError as error:  # protobuf's, for more than 2 GB
        raise OnnxError(f"{path} is too large: {error}", "give a model of less than 2 GB") from error
    if raw.batch is not None and raw.batch > 1:
        if found.ndim == 0 or len(found) != raw.batch:
            said = f"{path} answers {raw.batch} crops with numbers of shape {list(found.shape)}"
            raise OnnxError(said, "adopt needs one vector for each crop: export the model with a batch of one")
        return np.asarray(found[0])
    return found
