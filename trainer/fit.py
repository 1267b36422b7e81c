"""Train a recipe: identification first, then batch-hard triplets, each kept in a run folder that survives being killed.

The folder holds recipe.toml, run.json (which data), history.jsonl (one line per validation), state.npz (everything needed to go on)
and weights.npz (the encoder as it should be exported).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainer import networks, stages
from trainer.data import Crops
from trainer.judge import Judge, merit
from trainer.recipe import Recipe
from trainer.runs import Run, State
from trainer.stages import FitError, Stage


def fit(
    recipe: Recipe,
    fit_crops: Crops,
    val_crops: Crops,
    run: Run,
    minutes: float = math.inf,
    workers: int = 2,
    start: State | None = None,
    kept: list[NDArray[np.float32]] | None = None,
) -> dict[str, float]:
    """Train until the recipe's epochs or `minutes` are used up (an eighth of them for the triplet stage); resumes from run.state().

    A new run begins with the weights of `start`, the identification state of another run of the same network and people, if given. Without
    a first stage (identify.epochs = 0) it begins with the encoder weights `kept` of another run.
    Gives the figures on val people of the weights kept. Raises FitError.
    """
    cv2.setNumThreads(1)
    keras.utils.set_random_seed(recipe.seed)
    encoder = networks.encoder(recipe.network, recipe.network.compute)
    judge = Judge(recipe, val_crops)
    state = run.state()
    share = 0.0 if recipe.triplet.epochs == 0 else 1.0 if recipe.identify.epochs == 0 else 0.125
    if recipe.identify.epochs == 0:
        if state is None:
            if kept is None:
                raise FitError("identify.epochs is 0 and there are no weights to start from", "give a trained run with --from")
            run.keep(kept, judge(kept))
    elif state is None or state.stage == "identify":
        stage = stages.identify(recipe, fit_crops, encoder, minutes * (1 - share))
        if state is None and start is not None:
            start.begin(stage.model)
        weights = _train(stage, encoder, judge, recipe, run, state, workers)
        run.keep(weights, judge(weights))
        state = None
    best = run.kept_figures()
    if recipe.triplet.epochs > 0:
        encoder.set_weights(run.weights())
        stage = stages.triplet(recipe, fit_crops, encoder, minutes * share)
        weights = _train(stage, encoder, judge, recipe, run, state, workers)
        figures = judge(weights)
        improved = merit(figures) > merit(best)
        run.note({"stage": "triplet", "kept": improved, "before": best, "after": figures})
        if improved:
            run.keep(weights, figures)
            best = figures
    run.finish()
    return best


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
