"""Make a bundle of a trained encoder: one ONNX graph from uint8 crops to unit vectors, with its card. It is written only if it equals
Keras."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core import bundle as bundles
from daemon.core.bundle import Calibration, Card, Figure, Golden
from daemon.core.faces.align import ALIGNMENT, CROP_PX
from daemon.core.faults import Fault, first_line
from daemon.edges.files import replace
from trainer.bundle import constant_shapes
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, Embed, embedder, loaded, whole
from trainer.recipes.values import Recipe

OPSET = 18  # tf2onnx fails on 20 and above
HALVED_FROM = 4096
"""Tensors with fewer numbers stay float32: they take no room."""
GOLDEN_COUNT = 4
GOLDEN_ALIKE = 1 - 20 * (1 - bundles.GOLDEN_COSINE)
"""Another crop's answer must be much farther away than the check allows. An absolute limit of 0.9 would refuse models whose vectors share a
large mean."""


class ExportError(Fault):
    """The bundle cannot be made; `message` and `hint` are one line each."""


def stored(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The weights as the bundle will have them: rounded, if the recipe wants them stored as float16. Raises ExportError."""
    if not recipe.export.half:
        return list(weights)
    if recipe.network.kind != "dlib":
        # The conversion folds batch normalisations into the weights, which are then no longer the rounded ones.
        raise ExportError(f"export.half does not work for a network of kind {recipe.network.kind}", "set export.half = false")
    if max(float(np.max(np.abs(weight), initial=0.0)) for weight in weights) > float(np.finfo(np.float16).max):
        raise ExportError("a weight is too large for float16", "set export.half = false")
    return [weight.astype(np.float16).astype(np.float32) for weight in weights]


def export(
    recipe: Recipe,
    weights: Sequence[NDArray[np.float32]],
    path: Path,
    data_digest: str,
    calibration: Calibration,
    evaluation: Sequence[Figure],
    crops: NDArray[np.uint8],
    notes: str = "",
    licence: str | None = None,
) -> float:
    """Write the bundle. `weights` are what `stored` gives, and `crops` real faces for the parity check, in addition to the golden crops.
    `licence` is the recipe's if it is not given. Returns the largest difference between Keras and ONNX. If ExportError is raised, no file
    is written."""
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
        licence=recipe.export.licence if licence is None else licence,
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
    """Golden crops that can show a mistake: they are as far apart as the model tells them, and each gets another answer (cosine < 0.998) if
    the channels are swapped, the pixels scaled twice, or the mean left in. Raises ExportError if the model tells too few apart."""
    crops = np.stack([bundles.golden_crop(seed) for seed in range(64)])
    right = embed(crops)
    caught = np.abs(np.linalg.norm(right, axis=1) - 1) < 1e-3
    for mistake in MISTAKES:
        caught &= np.sum(right * embed(mistake(crops)), axis=1) < bundles.GOLDEN_COSINE - 1e-3
    left = np.flatnonzero(caught)
    chosen = [int(left[0])] if len(left) else []
    while chosen and len(chosen) < GOLDEN_COUNT:
        nearest = (right[left] @ right[chosen].T).max(axis=1)
        if not nearest.min() < GOLDEN_ALIKE:
            break
        chosen.append(int(left[nearest.argmin()]))
    if len(chosen) < GOLDEN_COUNT:
        raise ExportError(
            f"the model tells only {len(chosen)} golden crops apart", "train longer: it has collapsed, or has hardly been trained"
        )
    return tuple(Golden(seed, tuple(round(float(value), 7) for value in right[seed])) for seed in chosen)


def _swapped(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(crops[:, :, :, ::-1])


def _scaled_twice(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As if the pixels were 0..1 instead of 0..255."""
    return (crops // 255).astype(np.uint8)


def _mean_left_in(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As if 127.5 had not been subtracted: everything is half a scale too bright."""
    return np.minimum(crops.astype(np.int64) + 128, 255).astype(np.uint8)


MISTAKES = (_swapped, _scaled_twice, _mean_left_in)


def halve(graph: Any) -> None:
    """Store the large tensors that float16 can hold without loss, so the rounded weights, as float16, each with a node behind it that makes
    float32 of it. ONNX Runtime runs these nodes once, when it opens the file."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or math.prod(tensor.dims) < HALVED_FROM:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if (half == values).all():
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}/half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}/single", to=TensorProto.FLOAT))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *rest])


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
    constant_shapes.make_constant(proto)
    if recipe.export.half:
        halve(proto.graph)
    entry = proto.metadata_props.add()
    entry.key, entry.value = bundles.CARD_KEY, msgspec.json.encode(card).decode()
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(
            f"the converted graph is not valid ONNX: {first_line(error)}", "report the recipe; no file was written"
        ) from error
    return bytes(proto.SerializeToString())
