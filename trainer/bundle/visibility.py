"""The trained network of visibility as one ONNX file with its card. It is written only if it equals Keras."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import golden_crop
from daemon.core.faces.align import ALIGNMENT, CROP_PX
from daemon.core.faces.visibility import CARD_KEY, MAX_COVERED, MIN_UPRIGHT, REGIONS, SCHEMA, TURNS, Card, Figure, Golden
from daemon.edges.files import replace
from daemon.edges.visibility import open_visibility
from trainer.bundle import constant_shapes
from trainer.bundle.export import OPSET, ExportError
from trainer.models.visibility import seer, whole
from trainer.models.whole import PARITY

SEEDS, GOLDEN_COUNT = range(64), 6
Answer = NDArray[np.float32]


def export(
    network: keras.Model,
    path: Path,
    data_digest: str,
    licence: str,
    notes: str,
    answers: Sequence[tuple[str, Answer]],
    crops: NDArray[np.uint8],
) -> float:
    """Write the file. `answers` are the network's to each kind of val crops, by name; `crops` are for the comparison of Keras and ONNX.
    Returns their largest difference. If ExportError is raised, no file is written."""
    sees = seer(network)
    golden = np.stack([golden_crop(seed) for seed in SEEDS])
    said = sees(golden)
    # Answers near 0 and 1 hardly move with the weights; those in between show a damaged file.
    chosen = np.argsort(-(said * (1 - said)).sum(axis=1))[:GOLDEN_COUNT]
    card = Card(
        schema=SCHEMA,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        alignment=ALIGNMENT.id,
        data_digest=data_digest,
        licence=licence,
        notes=notes,
        max_covered=MAX_COVERED,
        figures=tuple(figure(name, found) for name, found in answers),
        golden=tuple(
            Golden(SEEDS[index], tuple(round(float(value), 7) for value in said[index])) for index in sorted(chosen.tolist())
        ),
    )
    content = _converted(whole(network), card)
    path.parent.mkdir(parents=True, exist_ok=True)
    trial = path.with_name(f".{path.name}.new")
    try:
        trial.write_bytes(content)
        opened = open_visibility(trial)
        probes = np.concatenate([golden, crops[:64]])
        worst = float(np.abs(opened(probes) - sees(probes)).max())
    finally:
        trial.unlink(missing_ok=True)
    if not worst <= PARITY:
        raise ExportError(f"Keras and ONNX differ by {worst:.2e}, more than {PARITY:.0e}", "report it; no file was written")
    replace(path, content)
    return worst


def figure(kind: str, found: Answer) -> Figure:
    """The shares of these answers that are refused."""
    turned = found[:, 0] < MIN_UPRIGHT
    covered = (found[:, TURNS:].max(axis=1) > MAX_COVERED) & ~turned
    return Figure(kind, len(found), round(float(turned.mean()), 4), round(float(covered.mean()), 4))


def _converted(model: keras.Model, card: Card) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, CROP_PX, CROP_PX, 3), tf.uint8, name="image")]

    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        found = model(tf.cast(image, tf.float32), training=False)
        return {"turn": found["turn"], "covered": found["covered"]}

    proto, _ = tf2onnx.convert.from_function(tf.function(answer, input_signature=signature), input_signature=signature, opset=OPSET)
    widths = {"turn": TURNS, "covered": REGIONS}
    for port in (*proto.graph.input, *proto.graph.output):
        port.type.tensor_type.shape.dim[0].dim_param = "N"
    for port in proto.graph.output:
        port.type.tensor_type.shape.dim[1].dim_value = widths[port.name]
    proto.graph.name = "visibility"
    constant_shapes.make_constant(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = CARD_KEY, msgspec.json.encode(card).decode()
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())
