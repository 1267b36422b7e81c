"""Write an aligner as the daemon opens it: one ONNX graph from glimpses to landmarks, with its card. Only what equals Keras is written."""

from __future__ import annotations

import datetime
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core.faces import glimpse as glimpses
from daemon.core.faces.align import ALIGNMENT
from daemon.core.faces.glimpse import GLIMPSE_PX, AlignerCard, Golden
from daemon.edges.files import replace
from trainer.bundle import constant_shapes
from trainer.bundle.export import OPSET, ExportError

GOLDEN_COUNT = 4
PARITY_PX = 1e-3
LICENCE = "research data, not for production"


def write(model: keras.Model, path: Path, data_digest: str, notes: str, seen: NDArray[np.uint8]) -> float:
    """Write the file. `seen` are real glimpses uint8 [n, GLIMPSE_PX, GLIMPSE_PX] for the parity check. Returns the largest difference
    between Keras and ONNX in pixels of the crop. If ExportError is raised, no file is written."""
    import onnxruntime

    if keras.backend.backend() != "tensorflow":
        raise ExportError(f"the {keras.backend.backend()} backend cannot write ONNX", "make the aligner with KERAS_BACKEND=tensorflow")
    golden = np.stack([glimpses.golden_glimpse(seed) for seed in range(GOLDEN_COUNT)])
    card = AlignerCard(
        schema=glimpses.SCHEMA,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        alignment=ALIGNMENT.id,
        glimpse=glimpses.geometry(),
        data_digest=data_digest,
        licence=LICENCE,
        notes=notes,
        golden=tuple(
            Golden(seed, tuple(round(float(number), 4) for number in answer.reshape(-1)))
            for seed, answer in enumerate(_answers(model, golden))
        ),
    )
    content = _convert(model, card)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    probes = np.concatenate([golden, seen])
    away = float(np.abs(session.run(None, {"glimpse": probes})[0] - _answers(model, probes)).max())
    if not away <= PARITY_PX:
        raise ExportError(f"Keras and ONNX differ by {away:.2e} px, more than {PARITY_PX:.0e}", "report it; no file was written")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
    return away


def _answers(model: keras.Model, seen: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(model.predict(seen[..., None].astype(np.float32), verbose=0), np.float32)


def _convert(model: keras.Model, card: AlignerCard) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, GLIMPSE_PX, GLIMPSE_PX), tf.uint8, name="glimpse")]
    function = tf.function(
        lambda glimpse: {"landmarks": model(tf.cast(glimpse, tf.float32)[..., None], training=False)}, input_signature=signature
    )
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for port in (*proto.graph.input, *proto.graph.output):
        port.type.tensor_type.shape.dim[0].dim_param = "N"
    proto.graph.name = "aligner"
    constant_shapes.make_constant(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = glimpses.CARD_KEY, msgspec.json.encode(card).decode()
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())
