"""Teaching the aligner: fit people's crops, moved and disturbed, and by how many pixels it misses the landmarks of val people's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from daemon.core.faces.align import TEMPLATE, similarity_transform
from trainer.models.aligner import aligner
from trainer.models.losses import Tensor
from trainer.people import displace
from trainer.people.displace import Spread

BATCH = 128
RATE = 2e-3
DECAY = 1e-4
AHEAD = 8
REPORTS = 5
SEED = 1

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Glimpses [n, GLIMPSE_PX, GLIMPSE_PX, 1] in 0..255, and landmarks [n, 5, 2] in pixels of the moved crop."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The mean distance of the five landmarks from where they are, in pixels of the crop: before any glimpse, and after one and two."""

    before: float
    once: float
    twice: float


def learn(fit: NDArray[np.uint8], val: NDArray[np.uint8], steps: int, workers: int, console: Console) -> keras.Model:
    """An aligner that learned from crops uint8 [n, 112, 112, 3] RGB for so many batches. Prints how far it is on `val` now and then."""
    cv2.setNumThreads(1)
    keras.utils.set_random_seed(SEED)
    model = aligner()
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY), _loss, jit_compile=False)
    for number, (glimpses, landmarks) in enumerate(_batches(fit, steps, workers), 1):
        model.train_on_batch(glimpses, landmarks)
        if number % max(1, steps // REPORTS) == 0 or number == steps:
            missed = measure(model, val)
            console.print(f"{number} of {steps}: {missed.before:.2f} px, after one glimpse {missed.once:.2f}, after two {missed.twice:.2f}")
    return model


def measure(model: keras.Model, crops: NDArray[np.uint8], spread: Spread | None = None) -> Missed:
    """How far the aligner is from the landmarks of crops that were moved by fixed draws, and not disturbed otherwise."""
    rng = np.random.default_rng(SEED)
    moves = [displace.move(spread or Spread(), rng) for _ in crops]
    misses = []
    for _ in range(3):
        # Where the landmarks are in the crop as it is cut out now; after a perfect glimpse they lie on the template.
        truth = np.stack([TEMPLATE @ move[:2, :2].T + move[:2, 2] for move in moves])
        misses.append(float(np.hypot(*(truth - TEMPLATE).transpose(2, 0, 1)).mean()))
        glimpses = np.stack([displace.glimpse(crop, move) for crop, move in zip(crops, moves, strict=True)])
        found = model.predict(glimpses[..., None].astype(np.float32), batch_size=256, verbose=0)
        moves = [np.vstack([similarity_transform(points), [0, 0, 1]]) @ move for points, move in zip(found, moves, strict=True)]
    return Missed(*misses)


def _loss(landmarks: Tensor, found: Tensor) -> Tensor:
    """Huber's, because a few crops of a data set are aligned badly."""
    away = keras.ops.abs(landmarks - found)
    return keras.ops.mean(keras.ops.where(away < 1, 0.5 * away * away, away - 0.5))


def _batches(crops: NDArray[np.uint8], steps: int, workers: int) -> Iterator[Batch]:
    """The same batches whatever the number of threads: each has its own seed."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Batch]] = deque()
        for step in range(steps + AHEAD):
            if step < steps:
                waiting.append(pool.submit(_batch, crops, step))
            if step >= AHEAD:
                yield waiting.popleft().result()


def _batch(crops: NDArray[np.uint8], step: int) -> Batch:
    rng = np.random.default_rng([SEED, step])
    chosen = rng.integers(0, len(crops), BATCH)
    glimpses, landmarks = zip(*(displace.example(crops[row], Spread(), rng) for row in chosen), strict=True)
    return np.stack(glimpses)[..., None].astype(np.float32), np.stack(landmarks)
