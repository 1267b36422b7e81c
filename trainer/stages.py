"""The two stages of training as values: which model and loss, which crops in which batch, which learning rate when."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault
from trainer import augment, losses, mining, networks, samplers
from trainer.data import Crops
from trainer.recipe import Recipe

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


class FitError(Fault):
    """Training that cannot go on; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training. `rate` maps progress 0..1 to a learning rate, `batch` a step to pixels and targets (also pure)."""

    name: str
    model: keras.Model
    steps: int
    per_epoch: int
    minutes: float
    ema: float
    rate: Callable[[float], float]
    batch: Callable[[int, float], Batch]


def identify(recipe: Recipe, crops: Crops, encoder: keras.Model, minutes: float) -> Stage:
    how = recipe.identify
    crops = crops.with_images(how.min_images)
    if len(crops.people) < 2:
        raise FitError(f"fewer than two fit people have {how.min_images} pictures", "lower identify.min_images or add pictures")
    head = keras.layers.Dense(
        len(crops.people), use_bias=False, kernel_constraint=keras.constraints.UnitNorm(axis=0), dtype="float32", name="people"
    )
    model = keras.Model(encoder.input, head(networks.unit(encoder.output)))

    def loss(targets: losses.Tensor, cosines: losses.Tensor) -> losses.Tensor:
        return losses.cosine_margin(targets, cosines, how.label_smoothing)

    optimizer = keras.optimizers.AdamW(how.rate, weight_decay=how.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])
    model.compile(optimizer, loss=loss, jit_compile=keras.backend.backend() == "jax")
    sample = samplers.shuffled(len(crops), how.batch, recipe.seed)
    per_epoch = max(1, -(-len(crops) // how.batch))
    steps = max(1, round(how.epochs * per_epoch))

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        raised = min(1.0, max(0.0, (progress * how.epochs - how.warm_epochs) / max(how.ramp_epochs, 1e-9)))
        scale = how.scale_warm + (how.scale - how.scale_warm) * raised
        targets = np.empty((len(rows), 3), np.float32)
        targets[:, 0], targets[:, 1], targets[:, 2] = crops.person[rows], how.margin * raised, scale
        return _disturbed(recipe, crops, rows, (1, step)), targets

    def rate(progress: float) -> float:
        warm = min(1.0, (progress * how.epochs + 0.02) / max(how.rate_warm_epochs, 1e-9))
        return how.rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-7

    return Stage("identify", model, steps, per_epoch, minutes, how.ema, rate, batch)


def triplet(recipe: Recipe, crops: Crops, encoder: keras.Model, minutes: float) -> Stage:
    how = recipe.triplet
    crops = crops.with_images(how.min_images)
    if len(crops.people) < 2:
        raise FitError(f"fewer than two fit people have {how.min_images} pictures", "lower triplet.min_images, or set triplet.epochs = 0")
    model = keras.Model(encoder.input, networks.unit(encoder.output))
    optimizer = keras.optimizers.AdamW(recipe.identify.rate * how.rate_factor, weight_decay=recipe.identify.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])
    model.compile(optimizer, loss=mining.batch_hard_loss, jit_compile=keras.backend.backend() == "jax")
    sample = samplers.people_by_images(crops.person, how.people, how.images, recipe.seed)
    per_epoch = max(1, len(crops) // (how.people * how.images))

    def batch(step: int, progress: float) -> Batch:
        rows = sample(step)
        return _disturbed(recipe, crops, rows, (2, step)), crops.person[rows].astype(np.float32)[:, None]

    def rate(progress: float) -> float:
        return recipe.identify.rate * how.rate_factor * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-8

    return Stage("triplet", model, max(1, round(how.epochs * per_epoch)), per_epoch, minutes, how.ema, rate, batch)


def _disturbed(recipe: Recipe, crops: Crops, rows: NDArray[np.int64], key: tuple[int, int]) -> NDArray[np.uint8]:
    rng = np.random.default_rng((recipe.seed, 3, *key))
    size = recipe.network.size
    return np.stack([augment.disturb(crops.pixels[row], size, recipe.augment, rng) for row in rows])
