"""Train a recipe: identification first, then batch-hard triplets, each kept in a run folder that survives being killed.

The folder holds recipe.toml, run.json (which data), history.jsonl (one line per validation), state.npz (everything needed to go on)
and weights.npz (the encoder as it should be exported).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainer import augment, losses, metrics, mining, networks, samplers
from trainer.data import Crops
from trainer.recipe import Recipe
from trainer.runs import Run, State

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


class FitError(Exception):
    """Training that cannot go on; `message` and `hint` are one line each."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


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


def fit(recipe: Recipe, fit_crops: Crops, val_crops: Crops, run: Run, minutes: float = math.inf, workers: int = 2) -> dict[str, float]:
    """Train until the recipe's epochs or `minutes` are used up (an eighth of them for the triplet stage); resumes from run.state().

    Gives the figures on val people of the weights kept. Raises FitError.
    """
    cv2.setNumThreads(1)
    keras.utils.set_random_seed(recipe.seed)
    encoder = networks.encoder(recipe.network, recipe.network.compute)
    judge = Judge(recipe, val_crops)
    state = run.state()
    share = 0.125 if recipe.triplet.epochs > 0 else 0.0
    if state is None or state.stage == "identify":
        stage = _identify(recipe, fit_crops, encoder, minutes * (1 - share))
        weights = _train(stage, encoder, judge, recipe, run, state, workers)
        run.keep(weights, judge(weights))
        state = None
    best = run.kept_figures()
    if recipe.triplet.epochs > 0:
        encoder.set_weights(run.weights())
        stage = _triplet(recipe, fit_crops, encoder, minutes * share)
        weights = _train(stage, encoder, judge, recipe, run, state, workers)
        figures = judge(weights)
        improved = merit(figures) > merit(best)
        run.note({"stage": "triplet", "kept": improved, "before": best, "after": figures})
        if improved:
            run.keep(weights, figures)
            best = figures
    run.finish()
    return best


def merit(figures: dict[str, float]) -> float:
    """What weights are chosen by: TAR at FMR 1e-3 on val people, or 1 - EER where there are too few of them to resolve that."""
    return figures["tar"] if math.isfinite(figures["tar"]) else 1 - figures["eer"]


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


def _identify(recipe: Recipe, crops: Crops, encoder: keras.Model, minutes: float) -> Stage:
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


def _triplet(recipe: Recipe, crops: Crops, encoder: keras.Model, minutes: float) -> Stage:
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


def _train(
    stage: Stage, encoder: keras.Model, judge: Judge, recipe: Recipe, run: Run, state: State | None, workers: int
) -> list[NDArray[np.float32]]:
    """Run one stage to its end, from `state` if that is of this stage; gives the averaged encoder weights."""
    stage.model.optimizer.build(stage.model.trainable_variables)
    step, before_s = 0, 0.0
    average: list[NDArray[np.float32]] = encoder.get_weights()
    if state is not None:
        state.restore(stage.model)
        step, before_s, average = state.step, state.elapsed_s, state.average
    began_s = time.monotonic() - before_s
    validate = max(1, round(recipe.validate_every * stage.per_epoch))
    total, seen, saved_s = 0.0, 0, before_s
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(stage.name, total=1.0)
        for pixels, targets, progress in _prefetch(stage, step, began_s, workers):
            stage.model.optimizer.learning_rate = stage.rate(progress)
            loss = float(np.asarray(stage.model.train_on_batch(pixels, targets)))
            if not math.isfinite(loss):
                raise FitError(f"{stage.name}: loss is {loss} at step {step}", "lower the rate, or train with network.compute = float32")
            step, total, seen = step + 1, total + loss, seen + 1
            decay = min(stage.ema, (1 + step) / (10 + step))
            for mean, now in zip(average, encoder.get_weights(), strict=True):
                mean *= decay
                mean += (1 - decay) * now
            elapsed_s = time.monotonic() - began_s
            speed = seen * len(pixels) / max(1e-9, elapsed_s - saved_s) if seen else 0.0
            bar.update(task, completed=progress, description=f"{stage.name} epoch {step / stage.per_epoch:.1f} loss {total / seen:.3f}")
            last = step >= stage.steps or progress >= 1
            if step % validate == 0 or last:
                figures = judge(average)
                _alarm(stage, step, figures)
                line = {
                    "stage": stage.name,
                    "step": step,
                    "epoch": round(step / stage.per_epoch, 3),
                    "elapsed_s": round(elapsed_s, 1),
                    "crops_per_s": round(speed, 1),
                    "rate": stage.rate(progress),
                    "loss": total / seen,
                    **figures,
                }
                run.note(line)
                run.checkpoint(State.of(stage.name, step, elapsed_s, stage.model, average))
                console.print(_sentence(stage.name, step / stage.per_epoch, total / seen, speed, figures), soft_wrap=True)
                total, seen, saved_s = 0.0, 0, time.monotonic() - began_s
            if last:
                break
    return average


def _prefetch(stage: Stage, step: int, began_s: float, workers: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], float]]:
    """Batches from `step` on, made by threads a few steps ahead (OpenCV lets go of the interpreter lock), with progress 0..1."""

    def make(wanted: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
        # With a time limit the schedule follows whichever is nearer its end, the clock or the steps.
        progress = min(1.0, max(wanted / stage.steps, (time.monotonic() - began_s) / (60 * stage.minutes)))
        return (*stage.batch(wanted, progress), progress)

    with ThreadPoolExecutor(workers) as pool:
        ahead = [pool.submit(make, step + offset) for offset in range(workers + 1)]
        step += workers + 1
        try:
            while True:
                yield ahead.pop(0).result()
                ahead.append(pool.submit(make, step))
                step += 1
        finally:
            for future in ahead:
                future.cancel()


def _alarm(stage: Stage, step: int, figures: dict[str, float]) -> None:
    """Collapse: everybody looks like everybody. Batch-hard training falls into it when the rate is too high for the batch."""
    if stage.name == "triplet" and figures["impostor"] > 0.95:
        raise FitError(
            f"collapse: two people are {figures['impostor']:.3f} alike on average at step {step}",
            "lower triplet.rate_factor, then triplet.people and triplet.images; look for wrong labels",
        )


def _sentence(stage: str, epoch: float, loss: float, crops_per_s: float, figures: dict[str, float]) -> str:
    return (
        f"{stage} epoch {epoch:.1f}: loss {loss:.3f}, {crops_per_s:.0f} crops/s; val people: AUC {figures['auc']:.4f}, "
        f"EER {figures['eer']:.4f}, TAR {figures['tar']:.4f} at FMR 1e-3 and {figures['tar_1e2']:.4f} at 1e-2"
    )
