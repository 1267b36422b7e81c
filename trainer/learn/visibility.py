"""Teach the network what an upright and open face is, from drawn coverings and turned crops (see `trainer.people.coverings`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from daemon.core.faces.visibility import REGIONS
from trainer.models.losses import Tensor
from trainer.models.visibility import SIZE, network, seer
from trainer.people import coverings
from trainer.people.augment import Picture, disturb
from trainer.people.coverings import HARMLESS, HIDDEN, LEARNED, OPEN
from trainer.people.data import Crops
from trainer.recipes.values import Augment

BATCH = 128
RATE = 2e-3
DOUBTFUL = 0.9
"""After a third of the steps, crops that the network takes for covered as they are (people with sunglasses, say) are left out."""
UNKNOWN = -1
LEANING = (-2.4, 0.0)
"""What is added to the answers of eyes and mouth, in logits. Soft eyes under a lamp (the gate clips, so this is a development figure) were
taken for covered up to a probability of 0.92, while drawn coverings are beyond it; for the mouth 0.5 is right."""
GATE = Augment(
    flip=0, scale=0.12, shift_px=6, rotation_deg=12, shear_deg=5, stretch=0.08, low=0.4, blur=0.35, shade=0.25, grey=0.15, erase=0
)
"""Flips are made before the turn: afterwards they would exchange 90 and 270 degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """A batch: `pixels` float32 [n, SIZE, SIZE, 3], `turn` int [n], `covered` float32 [n, REGIONS] with UNKNOWN where nobody can say."""

    pixels: NDArray[np.float32]
    turn: NDArray[np.int64]
    covered: NDArray[np.float32]


def example(crop: Picture, other: Picture, rng: np.random.Generator) -> tuple[Picture, int, NDArray[np.float32]]:
    """One picture [SIZE, SIZE, 3] with its turn and the labels of its regions."""
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    labels, part = np.zeros(REGIONS, np.float32), rng.random()
    if part < 0.75:
        kinds = LEARNED if part < 0.45 else HARMLESS
        layer = kinds[str(rng.choice(list(kinds)))](rng, other)
        crop = layer.over(crop)
        if kinds is LEARNED:
            labels = np.where(layer.covered >= HIDDEN, 1, np.where(layer.covered <= OPEN, 0, UNKNOWN)).astype(np.float32)
    turn = 0 if rng.random() < 0.6 else int(rng.integers(1, 4))
    if turn:
        labels[:] = UNKNOWN
    return disturb(softened(placed(crop, turn, rng), rng), SIZE, GATE, rng), turn, labels


def softened(crop: Picture, rng: np.random.Generator) -> Picture:
    """Haze, and a camera that smooths noise away: eyes are then soft shadows, and still no covering."""
    if rng.random() < 0.4:
        grey = float(crop.mean())
        crop = np.asarray(cv2.addWeighted(crop, share := float(rng.uniform(0.3, 0.9)), crop, 0, grey * (1 - share)), np.uint8)
    kind = rng.random()
    if kind < 0.2:
        return np.asarray(cv2.medianBlur(crop, int(rng.choice([3, 5]))), np.uint8)
    if kind < 0.4:
        return np.asarray(cv2.bilateralFilter(crop, 5, float(rng.uniform(15, 60)), 3), np.uint8)
    return crop


def placed(crop: Picture, turn: int, rng: np.random.Generator) -> Picture:
    """The face turned by quarters and moved, as a detector that knows only upright faces would place it."""
    reach = 9.0 if turn else 4.0
    matrix = np.asarray(cv2.getRotationMatrix2D((56.0, 66.0), 90.0 * turn, float(np.exp(rng.uniform(-0.02, 0.02) * reach))), np.float64)
    matrix[:, 2] += rng.uniform(-1, 1, 2) * reach
    size = crop.shape[1], crop.shape[0]
    return np.asarray(cv2.warpAffine(crop, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def batch(crops: NDArray[np.uint8], rng: np.random.Generator) -> Examples:
    """A batch of random crops of uint8 [n, 112, 112, 3]."""
    rows = rng.integers(0, len(crops), (BATCH, 2))
    made = [example(crops[row], crops[other], rng) for row, other in rows]
    pixels, turns, covered = zip(*made, strict=True)
    return Examples(np.stack(pixels).astype(np.float32), np.array(turns, np.int64), np.stack(covered))


def masked(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy of the regions that are known."""
    ops = keras.ops
    known = ops.cast(truth >= 0, "float32")
    loss = ops.maximum(logits, 0.0) - logits * truth + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.sum(known * loss) / (ops.sum(known) + 1e-6)


def fit(
    crops: Crops,
    steps: int,
    seed: int,
    tell: Callable[[int, float], None] = lambda step, loss: None,
    start: keras.Model | None = None,
) -> keras.Model:
    """Train a fresh network, or `start` at half the rate, on these crops for `steps` batches; `tell` hears of the loss. Returns the network
    with averaged weights."""
    keras.utils.set_random_seed(seed)
    cv2.setNumThreads(1)
    model, pixels = start or network(), crops.pixels
    rate = keras.optimizers.schedules.CosineDecay(RATE / 2 if start else RATE, steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, use_ema=True, ema_momentum=0.98)
    turned = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss={"turn": turned, "covered": masked}, jit_compile=False)
    third, mean = steps // 3, 0.0
    for part, count in enumerate((third, steps - third)):
        if part:
            pixels = pixels[seer(model)(pixels)[:, -REGIONS:].max(axis=1) < DOUBTFUL]
        for step, examples in _batches(pixels, count, seed + part):
            loss = model.train_on_batch(examples.pixels, {"turn": examples.turn, "covered": examples.covered}, return_dict=True)["loss"]
            mean += (float(loss) - mean) * 0.02
            tell(part * third + step, mean)
    optimizer.finalize_variable_values(model.trainable_variables)
    return model


def leaning(model: keras.Model) -> keras.Model:
    """The finished network with LEANING in its last bias."""
    head = model.get_layer("covered")
    kernel, bias = head.get_weights()
    head.set_weights([kernel, bias + np.array(LEANING, np.float32)])
    return model


def _batches(pixels: NDArray[np.uint8], count: int, seed: int) -> Iterator[tuple[int, Examples]]:
    """`count` batches, the next one made while one is learned from; the same seed gives the same batches."""
    with ThreadPoolExecutor(1) as pool:
        make = [lambda step=step: batch(pixels, np.random.default_rng([seed, step])) for step in range(count)]
        coming = pool.submit(make[0]) if make else None
        for step in range(count):
            assert coming is not None
            examples = coming.result()
            coming = pool.submit(make[step + 1]) if step + 1 < count else None
            yield step, examples


def drawn(crops: Crops, seed: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Every val crop as it is, turned by each quarter, and with each kind of drawing: name, uint8 [N, 112, 112, 3]."""
    count = len(crops)
    yield "as it is", crops.pixels
    for turn in (1, 2, 3):
        rng = np.random.default_rng([seed, turn])
        yield f"turned by {90 * turn}", np.stack([placed(crop, turn, rng) for crop in crops.pixels])
    for family in (coverings.LEARNED, coverings.UNSEEN, coverings.HARMLESS):
        for number, (name, kind) in enumerate(family.items()):
            rng = np.random.default_rng([seed, number, len(name)])
            others = rng.integers(0, count, count)
            pictures = [kind(rng, crops.pixels[other]).over(crop) for crop, other in zip(crops.pixels, others, strict=True)]
            yield f"{name} (unseen kind)" if family is coverings.UNSEEN else name, np.stack(pictures)
