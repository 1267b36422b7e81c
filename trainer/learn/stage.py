"""One stage of training as a value: the model and loss, the crops of each batch, and the learning rate over time."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault, first_line
from trainer.models.losses import Tensor
from trainer.people import augment
from trainer.people.data import Crops
from trainer.recipes.stages import StageRecipe, kind_of
from trainer.recipes.values import Recipe

Batch: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.float32]]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "nadam": keras.optimizers.Nadam,
    "lion": keras.optimizers.Lion,
    "lamb": keras.optimizers.Lamb,
    "adafactor": keras.optimizers.Adafactor,
}


class FitError(Fault):
    """Training cannot continue; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training. `model` is trained; the run keeps the weights of `kept`, a part of it. `rate` maps progress 0..1 to a learning
    rate. `batch` maps a step and progress to pixels and targets, and is pure too. `select` takes rows out of a batch by the model's
    answers. `stuck_at` is the loss at which a collapse of this stage shows, if there is one."""

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


def made(
    recipe: Recipe,
    index: int,
    settings: StageRecipe,
    model: keras.Model,
    kept: keras.Model,
    loss: Loss,
    per_epoch: int,
    batch: Callable[[int, float], Batch],
    select: Callable[[Batch, int], Batch] | None = None,
    stuck_at: float | None = None,
) -> Stage:
    """A stage of its parts: `model` is compiled with its optimizer and `loss`. Raises FitError."""
    optimizer = optimizer_of(settings, index)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])
    model.compile(optimizer, loss=loss, jit_compile=keras.backend.backend() == "jax")
    steps = settings.steps or max(1, round(settings.epochs * per_epoch))
    epochs = steps / per_epoch

    def rate(progress: float) -> float:
        warm = min(1.0, (progress * epochs + 0.02) / max(settings.rate_warm_epochs, 1e-9))
        return settings.rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-8

    kinds = [kind_of(stage) for stage in recipe.stages]
    name = kinds[index] if kinds.count(kinds[index]) == 1 else f"{kinds[index]} {index}"
    return Stage(name, model, kept, steps, per_epoch, settings.ema, rate, batch, select, stuck_at)


def optimizer_of(settings: StageRecipe, index: int) -> keras.optimizers.Optimizer:
    """The optimizer of stage number `index`. Raises FitError if it does not have the stage's parameters."""
    kind = OPTIMIZERS[settings.optimizer]
    known = [name for name in inspect.signature(kind).parameters if name not in ("learning_rate", "weight_decay", "name", "kwargs")]
    for name in settings.optimizer_with:
        if name not in known:
            raise FitError(f"stages.{index}.optimizer_with: {settings.optimizer} has no parameter {name}", f"it has {', '.join(known)}")
    given = {"clipnorm": 5.0, **settings.optimizer_with}
    try:
        return kind(settings.rate, weight_decay=settings.weight_decay, **given)
    except (ValueError, TypeError) as error:
        raise FitError(
            f"stages.{index}.optimizer_with does not suit {settings.optimizer}: {first_line(error)}", "see Keras' page of this optimizer"
        ) from error


def disturbed(recipe: Recipe, crops: Crops, rows: NDArray[np.int64], key: tuple[int, int]) -> NDArray[np.uint8]:
    """These rows of the crops as the network sees them; `key` is the stage's number and the step."""
    rng = np.random.default_rng((recipe.seed, 3, *key))
    camera = int(rng.integers(2**32)) if recipe.augment.one_camera and rng.random() < recipe.augment.one_camera else None
    return augment.as_learned(recipe, crops.pixels[rows], rng, camera)
