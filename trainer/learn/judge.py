"""How good weights are on held-out people. Training is watched with these figures, and weights are chosen by them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainer.learn import devices, mining, samplers
from trainer.measure import metrics, scoring
from trainer.models import networks
from trainer.models.networks import Weight
from trainer.models.whole import whole
from trainer.people.data import Crops
from trainer.recipes.stages import Triplets
from trainer.recipes.values import Recipe

MOST = 2000
PROBE = (32, 4)
BATCH = 128


def merit(figures: Mapping[str, float]) -> float:
    """The figure that weights are chosen by: the mean TAR at FMR 1e-2 and 1e-3 on val people, or 1 - EER if they are too few for that.

    A single operating point would decide by chance. A small gallery works near 1e-2 or 1e-3, a large one at stricter points. It is -1, less
    than any other, if the vectors were not finite.
    """
    if not math.isfinite(figures.get("other", 0.0)):
        return -1.0
    return (figures["tar"] + figures["tar_1e2"]) / 2 if math.isfinite(figures["tar"]) else 1 - figures["eer"]


def spoken(figures: Mapping[str, float]) -> str:
    """The figures that weights are chosen by, for people to read."""
    parts = [f"AUC {figures['auc']:.4f}", f"EER {figures['eer']:.4f}"]
    if math.isfinite(figures["tar"]):
        parts.append(f"TAR {figures['tar']:.4f} at FMR 1e-3 and {figures['tar_1e2']:.4f} at 1e-2")
    elif math.isfinite(figures["tar_1e2"]):
        parts.append(f"TAR {figures['tar_1e2']:.4f} at FMR 1e-2 (too few pairs of two people for FMR 1e-3)")
    else:
        parts.append("too few pairs of two people for a TAR at FMR 1e-2")
    return ", ".join(parts)


class Judge:
    """Measures weights on at most 2,000 crops of held-out people, which it compares as the bundle will."""

    @devices.alone()
    def __init__(self, recipe: Recipe, crops: Crops, learned: Crops | None = None) -> None:
        # The judge has its own float32 encoder, so that it does not disturb the training weights or see bfloat16's noise.
        self._encoder = networks.encoder(recipe.network)
        self._model = whole(recipe, self._encoder, "raw")
        self._recipe = recipe
        crops = crops.at(np.arange(0, len(crops), max(1, math.ceil(len(crops) / MOST))))
        self._pixels, self.person = crops.pixels, crops.person
        self._triplets = next((stage for stage in recipe.stages if isinstance(stage, Triplets)), Triplets())
        able = learned.with_images(2) if learned is not None else None
        self._probe: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None
        if able is not None and len(able.people) >= 2:
            able = able.at(samplers.people_by_images(able.person, *PROBE, seed=0)(0))
            self._probe = able.pixels, able.person

    @devices.alone()
    def __call__(self, weights: list[Weight]) -> dict[str, float]:
        """Figures by name: auc, eer, tar (at FMR 1e-3), tar_1e2, impostor (mean similarity of two people), same and other (mean distance of
        two pictures of one person, and of two people); and, for fit people, the shares of easy, semi_hard and hard triplets."""
        raw = self._raw(weights)
        head = networks.split(weights)[1]
        vectors = _unit(raw)
        genuine, impostor = metrics.all_pairs(vectors, self.person)
        figures = {
            "impostor": float(np.mean(impostor)),
            "same": float(np.mean(_distance(genuine))),
            "other": float(np.mean(_distance(impostor))),
        }
        if self._probe is not None:
            pixels, person = self._probe
            near = _unit(self._embed(pixels))
            apart = _distance(near @ near.T)
            shares = mining.shares(apart**2 if self._triplets.squared else apart, person, self._triplets.margin)
            figures |= {"easy": shares.easy, "semi_hard": shares.semi_hard, "hard": shares.hard}
        if head:
            squashed = np.asarray(networks.squashed(raw, scoring.features(self._recipe)))
            upper = np.triu_indices(len(raw), 1)
            logits = scoring.by_head(head[0], float(head[1]))(squashed, squashed)[upper]
            same = (self.person[:, None] == self.person[None, :])[upper]
            genuine, impostor = logits[same], logits[~same]
        return {
            "auc": metrics.auc(genuine, impostor),
            "eer": metrics.eer(genuine, impostor),
            "tar": metrics.at_fmr(genuine, impostor, 1e-3).tar,
            "tar_1e2": metrics.at_fmr(genuine, impostor, 1e-2).tar,
            **figures,
        }

    def vectors(self, weights: list[Weight]) -> NDArray[np.float32]:
        """Unit vectors [n, d] of the held-out crops; `person` [n] says whose they are."""
        return _unit(self._raw(weights))

    def _raw(self, weights: list[Weight]) -> NDArray[np.float32]:
        self._encoder.set_weights(networks.split(weights)[0])
        return self._embed(self._pixels)

    def _embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings [n, d], averaged over the views that the bundle will have."""
        parts = [self._model.predict_on_batch(pixels[at : at + BATCH].astype(np.float32)) for at in range(0, len(pixels), BATCH)]
        return np.concatenate([np.asarray(part) for part in parts])


def _unit(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(raw / np.sqrt(np.sum(raw * raw, axis=1, keepdims=True) + 1e-12), np.float32)


def _distance(similarity: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.maximum(0, 2 - 2 * similarity))
