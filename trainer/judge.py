"""How good encoder weights are on held-out people: what training is watched and chosen by."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from trainer import augment, metrics, networks
from trainer.data import Crops
from trainer.recipe import Recipe


def merit(figures: dict[str, float]) -> float:
    """What weights are chosen by: the mean TAR at FMR 1e-2 and 1e-3 on val people, or 1 - EER where there are too few to resolve that.

    One operating point alone decides by chance: a small gallery works near 1e-2 or 1e-3, a large one beyond.
    """
    return (figures["tar"] + figures["tar_1e2"]) / 2 if math.isfinite(figures["tar"]) else 1 - figures["eer"]


class Judge:
    """Figures of encoder weights on held-out people, with flip averaging as the bundle will have it."""

    def __init__(self, recipe: Recipe, crops: Crops) -> None:
        # Its own float32 encoder: judging must neither disturb the training weights nor see bfloat16's noise.
        self._encoder = networks.encoder(recipe.network)
        self._pixels = augment.shrink(crops.pixels, recipe.network.size)
        self._person = crops.person
        self._flip = recipe.export.flip

    def __call__(self, weights: list[NDArray[np.float32]]) -> dict[str, float]:
        """{auc, eer, tar (at FMR 1e-3), tar_1e2, impostor (mean similarity of two people)}."""
        self._encoder.set_weights(weights)
        vectors = embed(self._encoder, self._pixels, self._flip)
        genuine, impostor = metrics.all_pairs(vectors, self._person)
        return {
            "auc": metrics.auc(genuine, impostor),
            "eer": metrics.eer(genuine, impostor),
            "tar": metrics.at_fmr(genuine, impostor, 1e-3).tar,
            "tar_1e2": metrics.at_fmr(genuine, impostor, 1e-2).tar,
            "impostor": float(np.mean(impostor)),
        }


def embed(encoder: keras.Model, pixels: NDArray[np.float32], flip: bool) -> NDArray[np.float32]:
    """Unit embeddings [n, d] of pixels [n, size, size, 3] in 0..255."""
    raw = np.asarray(encoder.predict(pixels, batch_size=128, verbose=0))
    if flip:
        raw = raw + np.asarray(encoder.predict(pixels[:, :, ::-1], batch_size=128, verbose=0))
    return np.asarray(raw / np.sqrt(np.sum(raw * raw, axis=1, keepdims=True) + 1e-12), np.float32)
