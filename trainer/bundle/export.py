"""Make a bundle of a trained encoder: one ONNX graph from uint8 crops to unit vectors, with its card. It is written only if it equals
Keras."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core import bundle as bundles
from daemon.core.bundle import Calibration, Card, Figure, Golden
from daemon.core.faces.align import ALIGNMENT, CROP_PX
from daemon.core.faults import Fault, first_line
from daemon.edges.files import replace
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, Embed, embedder, loaded, whole
from trainer.recipes.values import Recipe

OPSET = 18  # tf2onnx fails on 20 and above
GOLDEN_COUNT = 4
GOLDEN_ALIKE = 0.9


class ExportError(Fault):
    """The bundle cannot be made; `message` and `hint` are one line each."""


def export(
    recipe: Recipe,
    weights: Sequence[NDArray[np.float32]],
    path: Path,
    data_digest: str,
    calibration: Calibration,
    evaluation: Sequence[Figure],
    crops: NDArray[np.uint8],
    notes: str = "",
) -> float:
    """Write the bundle. `crops` are real faces for the parity check, in addition to the golden crops. Returns the largest difference
    between Keras and ONNX. If ExportError is raised, no file is written."""
    check(recipe, weights)
    embed = embedder(recipe, weights)
    golden = golden_vectors(embed)
    card = Card(
        schema=bundles.SCHEMA,
        name=recipe.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        recipe_digest=recipe.digest,
        recipe=recipe.text,
        data_digest=data_digest,
        alignment=ALIGNMENT.id,
        dimension=recipe.network.embedding,
        licence=recipe.export.licence,
        notes=notes,
        evaluation=tuple(evaluation),
        calibration=calibration,
        golden=golden,
    )
    content = _convert(recipe, weights, card)
    found, _ = onnx_embedder(content)
    probes = np.concatenate([crops[:64], np.stack([bundles.golden_crop(item.seed) for item in golden])])
    bundles.check_golden(card, found)
    worst = 0.0
    for batch in (1, 3, 8, len(probes)):
        worst = max(worst, float(np.max(np.abs(found(probes[:batch]) - embed(probes[:batch])))))
    if not worst <= PARITY:
        raise ExportError(f"Keras and ONNX differ by {worst:.2e}, more than {PARITY:.0e}", "report the recipe; no file was written")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
    return worst


def check(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> None:
    """Raises ExportError if this cannot become a gate's bundle."""
    if (recipe.data.kind, recipe.data.side, recipe.network.channels) != ("people", CROP_PX, 3):
        raise ExportError(f"{recipe.name} is not a face model", "export a model of people's crops, 112x112 in colour")
    if np.ndim(weights[-1]) == 0:
        raise ExportError(
            f"{recipe.name} ends in a same-or-different head", "a gate compares by cosine: use a recipe without a stage of kind same"
        )
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"the {keras.backend.backend()} backend cannot write ONNX",
            "export with KERAS_BACKEND=tensorflow; it reads runs of every backend",
        )


def golden_vectors(embed: Embed) -> tuple[Golden, ...]:
    """Golden crops that can show a mistake: their pairwise similarity is below 0.9, and each gets another answer (cosine < 0.999) if the
    channels are swapped, the pixels scaled twice, or the mean left in. Raises ExportError if the model tells too few apart."""
    seeds = range(64)
    crops = np.stack([bundles.golden_crop(seed) for seed in seeds])
    right = embed(crops)
    wrong = [embed(mistake(crops)) for mistake in MISTAKES]
    chosen: list[int] = []
    for seed in seeds:
        length = float(np.linalg.norm(right[seed]))
        caught = abs(length - 1) < 1e-3 and all(float(right[seed] @ vectors[seed]) < bundles.GOLDEN_COSINE - 1e-3 for vectors in wrong)
        if caught and all(float(right[seed] @ right[other]) < GOLDEN_ALIKE for other in chosen):
            chosen.append(seed)
        if len(chosen) == GOLDEN_COUNT:
            return tuple(Golden(seed, tuple(round(float(value), 7) for value in right[seed])) for seed in chosen)
    raise ExportError(
        f"the model tells only {len(chosen)} golden crops apart", "train longer: it has collapsed, or has hardly been trained"
    )


def _swapped(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(crops[:, :, :, ::-1])


def _scaled_twice(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As if the pixels were 0..1 instead of 0..255."""
    return (crops // 255).astype(np.uint8)


def _mean_left_in(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As if 127.5 had not been subtracted: everything is half a scale too bright."""
    return np.minimum(crops.astype(np.int64) + 128, 255).astype(np.uint8)


MISTAKES = (_swapped, _scaled_twice, _mean_left_in)


def _convert(recipe: Recipe, weights: Sequence[NDArray[np.float32]], card: Card) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    model = whole(recipe, loaded(recipe, weights))
    signature = [tf.TensorSpec((None, CROP_PX, CROP_PX, 3), tf.uint8, name="image")]
    function = tf.function(lambda image: {"embedding": model(tf.cast(image, tf.float32), training=False)}, input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for port in (*proto.graph.input, *proto.graph.output):
        port.type.tensor_type.shape.dim[0].dim_param = "N"
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = recipe.network.embedding
    proto.graph.name = recipe.name
    entry = proto.metadata_props.add()
    entry.key, entry.value = bundles.CARD_KEY, msgspec.json.encode(card).decode()
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(
            f"the converted graph is not valid ONNX: {first_line(error)}", "report the recipe; no file was written"
        ) from error
    return bytes(proto.SerializeToString())
