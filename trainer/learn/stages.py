"""The stage of each kind that a recipe can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.learn import mining, samplers
from trainer.learn.stage import Batch, FitError, Stage, disturbed, made, optimizer_of
from trainer.models import losses, networks
from trainer.models.losses import Tensor
from trainer.people import augment
from trainer.people.data import Crops
from trainer.recipes.stages import Circle, Distil, Identify, MultiSimilarity, Pairs, Same, StageRecipe, Triplets
from trainer.recipes.values import Recipe

Teacher: TypeAlias = Mapping[str, NDArray[np.float32]]
MEANS_BATCH = 128
IMAGES = 4  # a person's crops in a batch of identification joined with triplets
SHARPNESS = (10.0, -5.0)  # where the learned logistic of a cosine verification loss starts: one half at cosine 0.5


def build(recipe: Recipe, index: int, crops: Crops, encoder: keras.Model, teacher: Teacher | None = None) -> Stage:
    """Build stage number `index` of a recipe on these fit crops; it trains `encoder` in place. Raises FitError."""
    settings, crops = recipe.stages[index], able(recipe, index, crops)
    if isinstance(settings, Identify):
        return _identify(recipe, index, settings, crops, encoder)
    if isinstance(settings, Triplets):
        return _triplets(recipe, index, settings, crops, encoder)
    if isinstance(settings, (MultiSimilarity, Circle)):
        return _similarities(recipe, index, settings, crops, encoder)
    if isinstance(settings, Pairs):
        return _pairs(recipe, index, settings, crops, encoder)
    if isinstance(settings, Same):
        return _same(recipe, index, settings, crops, encoder)
    return _distil(recipe, index, settings, crops, encoder, teacher)


def able(recipe: Recipe, index: int, crops: Crops) -> Crops:
    """The crops of the fit people that a stage can learn from. Raises FitError if there are fewer than two of them, if nobody has the two
    pictures that a pair or a triplet needs, or if the optimizer does not have the stage's parameters."""
    settings = recipe.stages[index]
    optimizer_of(settings, index)
    crops = crops.with_images(settings.min_images)
    if len(crops.people) < 2:
        raise FitError(
            f"fewer than two fit people have {settings.min_images} pictures",
            f"lower stages.{index}.min_images, or add pictures of these people",
        )
    pairs = not isinstance(settings, (Identify, Distil)) or (isinstance(settings, Identify) and settings.verify > 0)
    if pairs and np.bincount(crops.person).max() < 2:
        raise FitError("no fit person has two pictures", "add pictures of these people, or use an identification recipe")
    return crops


def rows_of(settings: StageRecipe) -> int:
    """How many crops a step trains on."""
    if isinstance(settings, Identify):
        return settings.batch
    if isinstance(settings, (Pairs, Same)):
        return 2 * settings.pairs // IMAGES * IMAGES if isinstance(settings, Same) and settings.every else 2 * settings.pairs
    if isinstance(settings, Triplets) and settings.mining == "article":
        return 3 * (settings.hard + settings.random)
    if isinstance(settings, Triplets) and settings.mining == "random":
        return settings.people * settings.images // 3 * 3
    return settings.people * settings.images


def _identify(recipe: Recipe, index: int, settings: Identify, crops: Crops, encoder: keras.Model) -> Stage:
    people = len(crops.people)
    unit_norm = keras.constraints.UnitNorm(axis=0)
    head = keras.layers.Dense(people * settings.centres, use_bias=False, kernel_constraint=unit_norm, dtype="float32", name="people")
    vectors = networks.unit(encoder.output)
    cosines = head(vectors)
    columns = [losses.nearest_centre(cosines, settings.centres) if settings.centres > 1 else cosines, vectors]
    if settings.means:
        head.kernel.assign(_means(recipe, crops, encoder).T)
    if settings.verify_form == "cosine":
        columns.append(networks.Constants(SHARPNESS)(vectors))
    model = keras.Model(encoder.input, _side_by_side(columns))
    width, in_images = recipe.network.embedding, settings.verify_form == "batch-hard"
    softmax = losses.angular_margin if settings.margin_form == "angle" else losses.cosine_margin

    def loss(targets: Tensor, given: Tensor) -> Tensor:
        total = softmax(targets, given[:, :people], settings.label_smoothing)
        if settings.verify and in_images:
            person = keras.ops.cast(targets[:, 0], "int32")
            apart = losses.distances(given[:, people : people + width])
            positive, negative, usable = mining.batch_hard(apart, person, 0.0, 0.0)
            total = total + settings.verify * losses.triplet(positive, negative, usable, 0.0, True, "mean")
        elif settings.verify:
            same = keras.ops.cast(keras.ops.equal(targets[0::2, 0], targets[1::2, 0]), "float32")
            a, b = given[0::2, people : people + width], given[1::2, people : people + width]
            steep, shift = (given[0, -2], given[0, -1]) if settings.verify_form == "cosine" else SHARPNESS
            pairs = losses.verification(a, b, same, cast(losses.Form, settings.verify_form), settings.verify_margin, steep, shift)
            total = total + settings.verify * keras.ops.mean(pairs)
        if settings.apart:
            person = keras.ops.cast(targets[:, 0], "int32")
            total = total + settings.apart * losses.apart(given[:, people : people + width], person, settings.apart_at)
        return total

    if settings.verify and in_images:
        sample = samplers.people_by_images(crops.person, settings.batch // IMAGES, IMAGES, recipe.seed, always(recipe))
    elif settings.verify:
        sample = samplers.pairs(crops.person, settings.batch // 2, recipe.seed)
    else:
        sample = samplers.shuffled(len(crops), settings.batch, recipe.seed)
    per_epoch = max(1, -(-len(crops) // settings.batch))
    epochs = settings.steps / per_epoch if settings.steps else settings.epochs

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        raised = min(1.0, max(0.0, (progress * epochs - settings.warm_epochs) / max(settings.ramp_epochs, 1e-9)))
        scale = settings.scale_warm + (settings.scale - settings.scale_warm) * raised
        targets = np.empty((len(rows), 3), np.float32)
        targets[:, 0], targets[:, 1], targets[:, 2] = crops.person[rows], settings.margin * raised, scale
        return disturbed(recipe, crops, rows, (index, step)), targets

    return made(recipe, index, settings, model, encoder, loss, per_epoch, batch)


def always(recipe: Recipe) -> int:
    """How many people are in every batch. Digits beside characters are: drawn evenly, seven among a thousand would hardly be learned."""
    return len(recipe.data.classes or range(10)) if recipe.data.beside else 0


def _means(recipe: Recipe, crops: Crops, encoder: keras.Model) -> NDArray[np.float32]:
    """The direction of each person's crops from the mean of all, float32 [people, d] of unit length."""
    found = np.empty((len(crops), recipe.network.embedding), np.float32)
    for at in range(0, len(crops), MEANS_BATCH):
        some = slice(at, at + MEANS_BATCH)
        found[some] = encoder.predict_on_batch(augment.shrink(crops.pixels[some], recipe.network.size))
    found /= np.linalg.norm(found, axis=1, keepdims=True) + 1e-12
    means = np.zeros((len(crops.people), found.shape[1]), np.float32)
    np.add.at(means, crops.person, found - found.mean(axis=0))
    return np.asarray(means / (np.linalg.norm(means, axis=1, keepdims=True) + 1e-12), np.float32)


def _triplets(recipe: Recipe, index: int, settings: Triplets, crops: Crops, encoder: keras.Model) -> Stage:
    model = keras.Model(encoder.input, networks.unit(encoder.output))
    in_rows = settings.mining in ("random", "article")

    def loss(targets: Tensor, vectors: Tensor) -> Tensor:
        if in_rows:
            positive, negative, usable = mining.rows(vectors, settings.squared)
        else:
            person = keras.ops.cast(targets[:, 0], "int32")
            apart = losses.distances(vectors, settings.squared)
            positive, negative, usable = mining.MININGS[settings.mining](apart, person, settings.margin, targets[0, 1])
        return losses.triplet(positive, negative, usable, settings.margin, settings.soft, settings.reduce)

    if settings.mining == "article":
        sample = samplers.triplets(crops.person, settings.candidates, recipe.seed)
    elif settings.mining == "random":
        sample = samplers.triplets(crops.person, rows_of(settings) // 3, recipe.seed)
    else:
        sample = samplers.people_by_images(crops.person, settings.people, settings.images, recipe.seed, always(recipe))

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        targets = np.empty((len(rows), 2), np.float32)
        targets[:, 0], targets[:, 1] = crops.person[rows], progress
        return disturbed(recipe, crops, rows, (index, step)), targets

    def select(given: Batch, step: int) -> Batch:
        pixels, targets = given
        vectors = np.asarray(model.predict_on_batch(pixels))
        anchor, positive, negative = vectors[0::3], vectors[1::3], vectors[2::3]
        rng = np.random.default_rng((recipe.seed, 4, index, step))
        near, far = np.linalg.norm(anchor - positive, axis=1), np.linalg.norm(anchor - negative, axis=1)
        chosen = mining.article(
            near**2 if settings.squared else near, far**2 if settings.squared else far, rng, settings.hard, settings.random
        )
        rows = (3 * np.sort(chosen)[:, None] + np.arange(3)).ravel()
        return pixels[rows], targets[rows]

    stuck_at = math.log(2) if settings.soft else settings.margin
    per_epoch = max(1, len(crops) // rows_of(settings))
    thinned = select if settings.mining == "article" else None
    return made(recipe, index, settings, model, encoder, loss, per_epoch, batch, select=thinned, stuck_at=stuck_at)


def _similarities(recipe: Recipe, index: int, settings: MultiSimilarity | Circle, crops: Crops, encoder: keras.Model) -> Stage:
    model = keras.Model(encoder.input, networks.unit(encoder.output))

    def loss(targets: Tensor, vectors: Tensor) -> Tensor:
        person = keras.ops.cast(targets[:, 0], "int32")
        cosines = keras.ops.matmul(vectors, keras.ops.transpose(vectors))
        if isinstance(settings, Circle):
            return losses.circle(cosines, *mining.sides(person), settings.margin, settings.scale)
        pairs = mining.multi_similarity(cosines, person, settings.margin)
        return losses.multi_similarity(cosines, *pairs, settings.alpha, settings.beta, settings.base)

    sample = samplers.people_by_images(crops.person, settings.people, settings.images, recipe.seed)

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        return disturbed(recipe, crops, rows, (index, step)), crops.person[rows].astype(np.float32)[:, None]

    return made(recipe, index, settings, model, encoder, loss, max(1, len(crops) // rows_of(settings)), batch)


def _pairs(recipe: Recipe, index: int, settings: Pairs, crops: Crops, encoder: keras.Model) -> Stage:
    model = keras.Model(encoder.input, networks.unit(encoder.output))

    def loss(targets: Tensor, vectors: Tensor) -> Tensor:
        same = keras.ops.cast(keras.ops.equal(targets[0::2, 0], targets[1::2, 0]), "float32")
        apart = losses.row_distances(vectors[0::2], vectors[1::2])
        return keras.ops.mean(losses.contrastive(apart, same, settings.margin))

    batch, per_epoch = _pair_batches(recipe, index, settings, crops)
    return made(recipe, index, settings, model, encoder, loss, per_epoch, batch)


def _same(recipe: Recipe, index: int, settings: Same, crops: Crops, encoder: keras.Model) -> Stage:
    encoder.trainable = not settings.frozen
    pixels = keras.Input(encoder.input.shape[1:], dtype="float32", name="pairs")
    # The encoder is called as a whole, so that its weights stay together and before the head's.
    model = keras.Model(pixels, networks.SameHead(settings.features, settings.every)(networks.squashed(encoder(pixels), settings.features)))

    def loss(targets: Tensor, logits: Tensor) -> Tensor:
        person = targets[:, 0]
        if not settings.every:
            same = keras.ops.cast(keras.ops.equal(person[0::2], person[1::2]), "float32")
            return keras.ops.mean(losses.binary_cross_entropy(logits[:, 0], same))
        same = keras.ops.cast(keras.ops.equal(person[:, None], person[None, :]), "float32")
        row = keras.ops.arange(keras.ops.shape(person)[0])
        own = same - keras.ops.cast(keras.ops.equal(row[:, None], row[None, :]), "float32")
        each = losses.binary_cross_entropy(logits, same)
        return (_mean(each, own) + _mean(each, 1 - same)) / 2

    batch, per_epoch = _pair_batches(recipe, index, settings, crops)
    return made(recipe, index, settings, model, model, loss, per_epoch, batch)


def _mean(values: Tensor, wanted: Tensor) -> Tensor:
    return keras.ops.sum(values * wanted) / keras.ops.maximum(keras.ops.sum(wanted), 1.0)


def _pair_batches(recipe: Recipe, index: int, settings: Pairs | Same, crops: Crops) -> tuple[Callable[[int, float], Batch], int]:
    if isinstance(settings, Same) and settings.every:
        sample = samplers.people_by_images(crops.person, rows_of(settings) // IMAGES, IMAGES, recipe.seed)
    else:
        sample = samplers.pairs(crops.person, settings.pairs, recipe.seed)

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        return disturbed(recipe, crops, rows, (index, step)), crops.person[rows].astype(np.float32)[:, None]

    return batch, max(1, len(crops) // (2 * settings.pairs))


def _distil(recipe: Recipe, index: int, settings: Distil, crops: Crops, encoder: keras.Model, teacher: Teacher | None) -> Stage:
    if teacher is None:
        raise FitError("distillation needs a teacher", "give an embedding model with --teacher MODEL.onnx")
    taught = np.stack([teacher[name] for name in crops.names])
    own, theirs = recipe.network.embedding, taught.shape[1]
    vectors = networks.unit(encoder.output)
    # If the teacher's vectors have another length, a projection into their space is trained too and dropped afterwards.
    seen = vectors
    if own != theirs:
        seen = networks.unit(keras.layers.Dense(theirs, use_bias=False, dtype="float32", name="projection")(vectors))
    model = keras.Model(encoder.input, _side_by_side([vectors, seen]))

    def loss(targets: Tensor, given: Tensor) -> Tensor:
        total = keras.ops.mean(losses.distillation(given[:, own:], targets[:, 1:]))
        if settings.triplets:
            apart = losses.distances(given[:, :own])
            positive, negative, usable = mining.batch_hard(apart, keras.ops.cast(targets[:, 0], "int32"), 0.0, 0.0)
            total = total + settings.triplets * losses.triplet(positive, negative, usable, 0.0, True, "mean")
        return total

    sample = samplers.people_by_images(crops.person, settings.people, settings.images, recipe.seed)

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        targets = np.concatenate([crops.person[rows, None], taught[rows]], axis=1).astype(np.float32)
        return disturbed(recipe, crops, rows, (index, step)), targets

    return made(recipe, index, settings, model, encoder, loss, max(1, len(crops) // rows_of(settings)), batch)


def _side_by_side(columns: list[Tensor]) -> Tensor:
    return keras.layers.Concatenate(dtype="float32")(columns)
