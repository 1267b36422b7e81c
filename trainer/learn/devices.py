"""Training on several devices: every batch is divided among them, and each has all the weights (`keras.distribution.DataParallel`).

The loss is still that of the whole batch, its mined pairs included, because JAX compiles one program for all devices. Keras has this on JAX
only; what it has for TensorFlow would mine within each device's share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from trainer.learn import stages
from trainer.learn.stage import FitError
from trainer.recipes.stages import Triplets
from trainer.recipes.values import Recipe


def check(recipe: Recipe, count: int) -> None:
    """Raises FitError if this machine cannot train the recipe on `count` devices."""
    if count == 1:
        return
    if keras.backend.backend() != "jax":
        raise FitError(f"--devices {count} needs JAX", "train with KERAS_BACKEND=jax, or on one device")
    found = len(keras.distribution.list_devices())
    if count > found:
        raise FitError(f"--devices {count}, and JAX finds {found}", f"give --devices {found}")
    for index, settings in enumerate(recipe.stages):
        rows = [stages.rows_of(settings)]
        if isinstance(settings, Triplets) and settings.mining == "article":
            rows.append(3 * settings.candidates)
        for number in rows:
            _check_rows(number, count, f"stages.{index}")


@contextmanager
def spread(count: int) -> Iterator[None]:
    """What is built and trained within the block is on `count` devices."""
    if count == 1:
        yield
        return
    with keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:count], auto_shard_dataset=False).scope():
        yield


@contextmanager
def alone() -> Iterator[None]:
    """What is built and computed within the block is on one device, with batches of any size."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def check_batch(rows: int) -> None:
    """Raises FitError if a batch of so many crops cannot be divided: it is smaller than the recipe says where there are few people."""
    now = keras.distribution.distribution()
    if now is not None:
        _check_rows(rows, now.num_model_replicas, "a batch of these people")


def _check_rows(rows: int, count: int, what: str) -> None:
    if rows % count:
        raise FitError(
            f"{what}: {rows} crops cannot be divided among {count} devices", f"make it a multiple of {count}, or use fewer devices"
        )
