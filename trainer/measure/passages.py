"""Passages simulated from photos: what a gate would see of a person in front of it, frame by frame, and what it would make of that.

A gate looks at a face several times and fuses its frames, so its threshold belongs to the fused vector, and to the nearest look of all.
Every frame here is the same photo disturbed anew, as a camera and a detector disturb it; what a turning head adds is not in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daemon.core.passages.evidence import begun
from trainer.models.whole import Embed
from trainer.people import augment
from trainer.recipes.values import Augment

FRAMES = 12
FIRST_LOOK = 5
"""Good frames before the first look; from then on every frame is one. Both as the daemon's defaults have it."""
MEMORY = 0.95

GATE = Augment(
    flip=0.0, scale=0.05, shift_px=2.0, rotation_deg=4.0, low=0.4, low_from_px=40, low_to_px=80, jpeg=0.5, jpeg_from=40, jpeg_to=95,
    blur=0.2, light=0.5, colour=0.2, grey=0.0, shade=0.0, noise=0.3, erase=0.0,
)  # fmt: skip
"""How a gate's camera and detector disturb a face: milder than training does."""


def looks(embed: Embed, crops: NDArray[np.uint8], seed: int = 1) -> NDArray[np.float32]:
    """What a gate compares at each look at each person: fused unit vectors, float32 [n, looks, D], from crops uint8 [n, 112, 112, 3]."""
    rng = np.random.default_rng(seed)
    side = crops.shape[1]
    found = []
    for crop in crops:
        frames = embed(np.stack([augment.disturb(crop, side, GATE, rng) for _ in range(FRAMES)]))
        found.append([begun(list(frames[:count]), 0.0, MEMORY).fused for count in range(FIRST_LOOK, FRAMES + 1)])
    return np.array(found, np.float32)


def nearest(looked: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest similarity over the looks [n, looks, D] of each passage to each of a gallery's vectors [m, D]: [n, m]."""
    best = np.full((len(looked), len(gallery)), -1.0, np.float32)
    for look in np.moveaxis(looked, 1, 0):
        np.maximum(best, look @ gallery.T, out=best)
    return best
