"""A trained encoder becomes a bundle: one ONNX graph from uint8 crops to unit vectors, with its card; equal to Keras or not written."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core import bundle as bundles
from daemon.core.bundle import Calibration, Card, Figure, Golden
from daemon.core.faults import Fault
from trainer.models import networks
from trainer.models.losses import Tensor
from trainer.people import augment
from trainer.recipes.values import Recipe
from trainer.runs import replace

OPSET = 18  # tf2onnx fails on 20 and above
PARITY = 1e-5
GOLDEN_COUNT = 4
GOLDEN_ALIKE = 0.9

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class ExportError(Fault):
    """A bundle that cannot be made; `message` and `hint` are one line each."""


def whole(recipe: Recipe, encoder: keras.Model, features: str = "unit") -> keras.Model:
    """The model as the bundle has it, around a float32 encoder: crops [N, side, side, channels] in 0..255 to unit vectors [N, D] (or the
    `features` that a head compares, or raw embeddings), free of augmentation."""
    side = recipe.data.side
    crops = keras.layers.Input((side, side, recipe.network.channels), dtype="float32", name="crops")
    return keras.Model(crops, networks.squashed(_graph(crops, encoder, recipe), features), name="bundle")


def loaded(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> keras.Model:
    """A float32 encoder with these weights."""
    encoder = networks.encoder(recipe.network)
    encoder.set_weights(list(weights))
    return encoder


def _graph(crops: Tensor, encoder: keras.Model, recipe: Recipe) -> Tensor:
    """Resize by matrices, encode every view of the crop, average their embeddings."""
    ops = keras.ops
    planes = ops.transpose(crops, (0, 3, 1, 2))
    # One batch of all views lets the file hold the weights once.
    seen = [ops.matmul(ops.matmul(rows, planes), columns) for rows, columns in views(recipe)]
    pixels = ops.concatenate(seen, axis=0) if len(seen) > 1 else seen[0]
    raw = encoder(ops.transpose(pixels, (0, 2, 3, 1)), training=False)
    return ops.mean(ops.reshape(raw, (len(seen), -1, recipe.network.embedding)), axis=0) if len(seen) > 1 else raw


def views(recipe: Recipe) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(rows, columns) for each view: rows @ crop @ columns resizes, moves and mirrors it. Plain numpy arrays: a tensor made here would be
    captured and become an input of the exported graph."""
    size, side, step = recipe.network.size, recipe.data.side, recipe.export.shift_px
    moves = [(0, 0), (step, 0), (-step, 0), (0, step), (0, -step)] if step else [(0, 0)]

    def moved(zoom: float) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        matrix = augment.resize_matrix(size, side, zoom)
        shift = {by: np.eye(size, k=by, dtype=np.float32) @ matrix for by in (-step, 0, step)}
        return [(shift[down], shift[right]) for down, right in moves]

    found = moved(1.0)
    if recipe.export.flip:
        # Mirroring is the same matrix read backwards.
        found += [(rows, columns[:, ::-1]) for rows, columns in moved(recipe.export.zoom)]
    return [(rows, np.ascontiguousarray(columns.T)) for rows, columns in found]


def embedder(recipe: Recipe, weights: Sequence[NDArray[np.float32]], features: str = "unit", batch: int = 128) -> Embed:
    """The Keras model of a run as a function of uint8 crops."""
    model = whole(recipe, loaded(recipe, weights), features)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.asarray(model.predict_on_batch(crops[at : at + batch].astype(np.float32))) for at in range(0, len(crops), batch)]
        return np.concatenate(parts) if parts else np.empty((0, recipe.network.embedding), np.float32)

    return embed


def onnx_embedder(content: bytes | Path, batch: int = 64) -> tuple[Embed, Card]:
    """A bundle opened with ONNX Runtime on the CPU, and its card. Raises BundleError."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    if isinstance(content, Path) and not content.is_file():
        raise bundles.BundleError(f"{content} does not exist", "give a bundle made by `ostiary-train export`")
    try:
        session = onnxruntime.InferenceSession(content if isinstance(content, bytes) else str(content), providers=["CPUExecutionProvider"])
    except (ort.Fail, ort.InvalidGraph, ort.InvalidProtobuf, ort.InvalidArgument, ort.NotImplemented, ort.RuntimeException) as error:
        text = str(error).splitlines()[0]
        raise bundles.BundleError(f"ONNX Runtime cannot open it: {text}", "give a bundle made by `ostiary-train export`") from error
    card = bundles.read_card(session)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [session.run(["embedding"], {"image": crops[at : at + batch]})[0] for at in range(0, len(crops), batch)]
        return np.concatenate(parts) if parts else np.empty((0, card.dimension), np.float32)

    return embed, card


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
    """Write the bundle; `crops` are real faces for the parity check beside the golden ones. Gives the largest difference between Keras
    and ONNX. Raises ExportError, and then no file is written."""
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
        alignment=bundles.ALIGNMENT,
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
        raise ExportError(f"Keras and ONNX differ by {worst:.2e}, more than {PARITY:.0e}", "no file was written; report the recipe")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
    return worst


def check(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> None:
    """Raises ExportError for what cannot become a gate's bundle."""
    if (recipe.data.kind, recipe.data.side, recipe.network.channels) != ("people", bundles.CROP_PX, 3):
        raise ExportError(f"{recipe.name} is not a face model", "a gate needs people's crops of 112x112 in colour")
    if np.ndim(weights[-1]) == 0:
        raise ExportError(
            f"{recipe.name} ends in a same-or-different head", "a gate compares by cosine: take a recipe without a stage of kind same"
        )
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"the {keras.backend.backend()} backend cannot write ONNX", "export with KERAS_BACKEND=tensorflow; runs fit either"
        )


def golden_vectors(embed: Embed) -> tuple[Golden, ...]:
    """Golden crops that mean something: pairwise less than 0.9 alike, and each answered differently (cosine < 0.999) when channels are
    swapped, pixels scaled twice, or the mean left in. Raises ExportError when the model tells too few apart."""
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
    raise ExportError(f"the model tells only {len(chosen)} golden crops apart", "it has collapsed or has hardly been trained; train longer")


def _swapped(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(crops[:, :, :, ::-1])


def _scaled_twice(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As if pixels came as 0..1 where 0..255 is meant."""
    return (crops // 255).astype(np.uint8)


def _mean_left_in(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As if 127.5 had not been subtracted: everything half a scale too bright."""
    return np.minimum(crops.astype(np.int64) + 128, 255).astype(np.uint8)


MISTAKES = (_swapped, _scaled_twice, _mean_left_in)


def _convert(recipe: Recipe, weights: Sequence[NDArray[np.float32]], card: Card) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    model = whole(recipe, loaded(recipe, weights))
    signature = [tf.TensorSpec((None, bundles.CROP_PX, bundles.CROP_PX, 3), tf.uint8, name="image")]
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
        raise ExportError(f"the converted graph is not valid ONNX: {str(error).splitlines()[0]}", "no file was written") from error
    return bytes(proto.SerializeToString())
