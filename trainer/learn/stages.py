"""The stages of training as values: which model and loss, which crops in which batch, which learning rate when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import keras
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault
from trainer.learn import mining, samplers
from trainer.models import losses, networks
from trainer.models.losses import Tensor
from trainer.people import augment
from trainer.people.data import Crops
from trainer.recipes.stages import Distil, Identify, Pairs, Same, StageRecipe, Triplets, kind_of
from trainer.recipes.values import Recipe

Batch: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.float32]]
Teacher: TypeAlias = Mapping[str, NDArray[np.float32]]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
IMAGES = 4  # of a person in a batch of identification joined with triplets
SHARPNESS = (10.0, -5.0)  # where the learned logistic of a cosine verification loss begins: a half at cosine 0.5


class FitError(Fault):
    """Training that cannot go on; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training. `model` is trained, `kept` (part of it) is what the run keeps the weights of. `rate` maps progress 0..1 to a
    learning rate, `batch` a step and progress to pixels and targets (also pure); `select` thins a batch out by what the model says to it.
    `stuck_at` is the loss at which this stage's collapse shows, if it has one."""

    name: str
    model: keras.Model
    kept: keras.Model
    steps: int
    per_epoch: float
    ema: float
    rate: Callable[[float], float]
    batch: Callable[[int, float], Batch]
    select: Callable[[Batch, int], Batch] | None = None
    stuck_at: float | None = None


def build(recipe: Recipe, index: int, crops: Crops, encoder: keras.Model, teacher: Teacher | None = None) -> Stage:
    """Stage number `index` of a recipe on these fit crops; `encoder` is trained in place. Raises FitError."""
    how, crops = recipe.stages[index], able(recipe, index, crops)
    if isinstance(how, Identify):
        return _identify(recipe, index, how, crops, encoder)
    if isinstance(how, Triplets):
        return _triplets(recipe, index, how, crops, encoder)
    if isinstance(how, Pairs):
        return _pairs(recipe, index, how, crops, encoder)
    if isinstance(how, Same):
        return _same(recipe, index, how, crops, encoder)
    return _distil(recipe, index, how, crops, encoder, teacher)


def able(recipe: Recipe, index: int, crops: Crops) -> Crops:
    """The crops of those fit people that a stage can learn from. Raises FitError where they are fewer than two, or where none of them has
    the two pictures that a pair or a triplet needs."""
    how = recipe.stages[index]
    crops = crops.with_images(how.min_images)
    if len(crops.people) < 2:
        raise FitError(
            f"fewer than two fit people have {how.min_images} pictures", f"lower stages.{index}.min_images, or add pictures of these people"
        )
    pairs = not isinstance(how, (Identify, Distil)) or (isinstance(how, Identify) and how.verify > 0)
    if pairs and np.bincount(crops.person).max() < 2:
        raise FitError("no fit person has two pictures", "add pictures of these people, or take a recipe of identification")
    return crops


def rows_of(how: StageRecipe) -> int:
    """How many crops a step trains on."""
    if isinstance(how, Identify):
        return how.batch
    if isinstance(how, (Pairs, Same)):
        return 2 * how.pairs // IMAGES * IMAGES if isinstance(how, Same) and how.every else 2 * how.pairs
    if isinstance(how, Triplets) and how.mining == "article":
        return 3 * (how.hard + how.random)
    if isinstance(how, Triplets) and how.mining == "random":
        return how.people * how.images // 3 * 3
    return how.people * how.images


def _identify(recipe: Recipe, index: int, how: Identify, crops: Crops, encoder: keras.Model) -> Stage:
    people = len(crops.people)
    head = keras.layers.Dense(people, use_bias=False, kernel_constraint=keras.constraints.UnitNorm(axis=0), dtype="float32", name="people")
    vectors = networks.unit(encoder.output)
    columns = [head(vectors), vectors]
    if how.verify_form == "cosine":
        columns.append(networks.Constants(SHARPNESS)(vectors))
    model = keras.Model(encoder.input, _side_by_side(columns))
    width, in_images = recipe.network.embedding, how.verify_form == "batch-hard"

    def loss(targets: Tensor, given: Tensor) -> Tensor:
        total = losses.cosine_margin(targets, given[:, :people], how.label_smoothing)
        if how.verify and in_images:
            person = keras.ops.cast(targets[:, 0], "int32")
            apart = losses.distances(given[:, people : people + width])
            positive, negative, usable = mining.batch_hard(apart, person, 0.0, 0.0)
            total = total + how.verify * losses.triplet(positive, negative, usable, 0.0, True, "mean")
        elif how.verify:
            same = keras.ops.cast(keras.ops.equal(targets[0::2, 0], targets[1::2, 0]), "float32")
            a, b = given[0::2, people : people + width], given[1::2, people : people + width]
            steep, shift = (given[0, -2], given[0, -1]) if how.verify_form == "cosine" else SHARPNESS
            pairs = losses.verification(a, b, same, cast(losses.Form, how.verify_form), how.verify_margin, steep, shift)
            total = total + how.verify * keras.ops.mean(pairs)
        return total

    if how.verify and in_images:
        sample = samplers.people_by_images(crops.person, how.batch // IMAGES, IMAGES, recipe.seed)
    elif how.verify:
        sample = samplers.pairs(crops.person, how.batch // 2, recipe.seed)
    else:
        sample = samplers.shuffled(len(crops), how.batch, recipe.seed)
    per_epoch = max(1, -(-len(crops) // how.batch))
    epochs = how.steps / per_epoch if how.steps else how.epochs

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        raised = min(1.0, max(0.0, (progress * epochs - how.warm_epochs) / max(how.ramp_epochs, 1e-9)))
        scale = how.scale_warm + (how.scale - how.scale_warm) * raised
        targets = np.empty((len(rows), 3), np.float32)
        targets[:, 0], targets[:, 1], targets[:, 2] = crops.person[rows], how.margin * raised, scale
        return _disturbed(recipe, crops, rows, (index, step)), targets

    return _stage(recipe, index, how, model, encoder, loss, per_epoch, batch)


def _triplets(recipe: Recipe, index: int, how: Triplets, crops: Crops, encoder: keras.Model) -> Stage:
    model = keras.Model(encoder.input, networks.unit(encoder.output))
    in_rows = how.mining in ("random", "article")

    def loss(targets: Tensor, vectors: Tensor) -> Tensor:
        if in_rows:
            positive, negative, usable = mining.rows(vectors, how.squared)
        else:
            person = keras.ops.cast(targets[:, 0], "int32")
            apart = losses.distances(vectors, how.squared)
            positive, negative, usable = mining.MININGS[how.mining](apart, person, how.margin, targets[0, 1])
        return losses.triplet(positive, negative, usable, how.margin, how.soft, how.reduce)

    if how.mining == "article":
        sample = samplers.triplets(crops.person, how.candidates, recipe.seed)
    elif how.mining == "random":
        sample = samplers.triplets(crops.person, rows_of(how) // 3, recipe.seed)
    else:
        sample = samplers.people_by_images(crops.person, how.people, how.images, recipe.seed)

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        targets = np.empty((len(rows), 2), np.float32)
        targets[:, 0], targets[:, 1] = crops.person[rows], progress
        return _disturbed(recipe, crops, rows, (index, step)), targets

    def select(given: Batch, step: int) -> Batch:
        pixels, targets = given
        vectors = np.asarray(model.predict_on_batch(pixels))
        anchor, positive, negative = vectors[0::3], vectors[1::3], vectors[2::3]
        rng = np.random.default_rng((recipe.seed, 4, index, step))
        near, far = np.linalg.norm(anchor - positive, axis=1), np.linalg.norm(anchor - negative, axis=1)
        chosen = mining.article(near**2 if how.squared else near, far**2 if how.squared else far, rng, how.hard, how.random)
        rows = (3 * np.sort(chosen)[:, None] + np.arange(3)).ravel()
        return pixels[rows], targets[rows]

    stuck_at = math.log(2) if how.soft else how.margin
    per_epoch = max(1, len(crops) // rows_of(how))
    thinned = select if how.mining == "article" else None
    return _stage(recipe, index, how, model, encoder, loss, per_epoch, batch, select=thinned, stuck_at=stuck_at)


def _pairs(recipe: Recipe, index: int, how: Pairs, crops: Crops, encoder: keras.Model) -> Stage:
    model = keras.Model(encoder.input, networks.unit(encoder.output))

    def loss(targets: Tensor, vectors: Tensor) -> Tensor:
        same = keras.ops.cast(keras.ops.equal(targets[0::2, 0], targets[1::2, 0]), "float32")
        apart = losses.row_distances(vectors[0::2], vectors[1::2])
        return keras.ops.mean(losses.contrastive(apart, same, how.margin))

    batch, per_epoch = _pair_batches(recipe, index, how, crops)
    return _stage(recipe, index, how, model, encoder, loss, per_epoch, batch)


def _same(recipe: Recipe, index: int, how: Same, crops: Crops, encoder: keras.Model) -> Stage:
    encoder.trainable = not how.frozen
    pixels = keras.Input(encoder.input.shape[1:], dtype="float32", name="pairs")
    # Calling the encoder as a whole, rather than going on from its output, keeps its weights in one piece before the head's.
    model = keras.Model(pixels, networks.SameHead(how.features, how.every)(networks.squashed(encoder(pixels), how.features)))

    def loss(targets: Tensor, logits: Tensor) -> Tensor:
        person = targets[:, 0]
        if not how.every:
            same = keras.ops.cast(keras.ops.equal(person[0::2], person[1::2]), "float32")
            return keras.ops.mean(losses.binary_cross_entropy(logits[:, 0], same))
        same = keras.ops.cast(keras.ops.equal(person[:, None], person[None, :]), "float32")
        row = keras.ops.arange(keras.ops.shape(person)[0])
        own = same - keras.ops.cast(keras.ops.equal(row[:, None], row[None, :]), "float32")
        each = losses.binary_cross_entropy(logits, same)
        return (_mean(each, own) + _mean(each, 1 - same)) / 2

    batch, per_epoch = _pair_batches(recipe, index, how, crops)
    return _stage(recipe, index, how, model, model, loss, per_epoch, batch)


def _mean(values: Tensor, wanted: Tensor) -> Tensor:
    return keras.ops.sum(values * wanted) / keras.ops.maximum(keras.ops.sum(wanted), 1.0)


def _pair_batches(recipe: Recipe, index: int, how: Pairs | Same, crops: Crops) -> tuple[Callable[[int, float], Batch], int]:
    if isinstance(how, Same) and how.every:
        sample = samplers.people_by_images(crops.person, rows_of(how) // IMAGES, IMAGES, recipe.seed)
    else:
        sample = samplers.pairs(crops.person, how.pairs, recipe.seed)

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        return _disturbed(recipe, crops, rows, (index, step)), crops.person[rows].astype(np.float32)[:, None]

    return batch, max(1, len(crops) // (2 * how.pairs))


def _distil(recipe: Recipe, index: int, how: Distil, crops: Crops, encoder: keras.Model, teacher: Teacher | None) -> Stage:
    if teacher is None:
        raise FitError("distillation needs a teacher", "give an embedding model with --teacher MODEL.onnx")
    taught = np.stack([teacher[name] for name in crops.names])
    own, theirs = recipe.network.embedding, taught.shape[1]
    vectors = networks.unit(encoder.output)
    # A teacher of another length is met in its own space; the projection is dropped afterwards.
    seen = vectors
    if own != theirs:
        seen = networks.unit(keras.layers.Dense(theirs, use_bias=False, dtype="float32", name="projection")(vectors))
    model = keras.Model(encoder.input, _side_by_side([vectors, seen]))

    def loss(targets: Tensor, given: Tensor) -> Tensor:
        total = keras.ops.mean(losses.distillation(given[:, own:], targets[:, 1:]))
        if how.triplets:
            apart = losses.distances(given[:, :own])
            positive, negative, usable = mining.batch_hard(apart, keras.ops.cast(targets[:, 0], "int32"), 0.0, 0.0)
            total = total + how.triplets * losses.triplet(positive, negative, usable, 0.0, True, "mean")
        return total

    sample = samplers.people_by_images(crops.person, how.people, how.images, recipe.seed)

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        targets = np.concatenate([crops.person[rows, None], taught[rows]], axis=1).astype(np.float32)
        return _disturbed(recipe, crops, rows, (index, step)), targets

    return _stage(recipe, index, how, model, encoder, loss, max(1, len(crops) // rows_of(how)), batch)


def _stage(
    recipe: Recipe,
    index: int,
    how: StageRecipe,
    model: keras.Model,
    kept: keras.Model,
    loss: Loss,
    per_epoch: int,
    batch: Callable[[int, float], Batch],
    select: Callable[[Batch, int], Batch] | None = None,
    stuck_at: float | None = None,
) -> Stage:
    optimizer = keras.optimizers.AdamW(how.rate, weight_decay=how.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])
    model.compile(optimizer, loss=loss, jit_compile=keras.backend.backend() == "jax")
    steps = how.steps or max(1, round(how.epochs * per_epoch))
    epochs = steps / per_epoch

    def rate(progress: float) -> float:
        warm = min(1.0, (progress * epochs + 0.02) / max(how.rate_warm_epochs, 1e-9))
        return how.rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-8

    kinds = [kind_of(stage) for stage in recipe.stages]
    name = kinds[index] if kinds.count(kinds[index]) == 1 else f"{kinds[index]} {index}"
    return Stage(name, model, kept, steps, per_epoch, how.ema, rate, batch, select, stuck_at)


def _side_by_side(columns: list[Tensor]) -> Tensor:
    return keras.layers.Concatenate(dtype="float32")(columns)


def _disturbed(recipe: Recipe, crops: Crops, rows: NDArray[np.int64], key: tuple[int, int]) -> NDArray[np.uint8]:
    rng = np.random.default_rng((recipe.seed, 3, *key))
    disturb = augment.disturb if recipe.data.kind == "people" else augment.redrawn
    return np.stack([disturb(crops.pixels[row], recipe.network.size, recipe.augment, rng) for row in rows])
