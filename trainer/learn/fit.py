"""Train a recipe stage by stage, in a run folder that survives a kill at any instant.

The folder holds recipe.toml, run.json (which data), history.jsonl (one line per validation), state.npz (everything needed to continue),
start.npz (the weights that it began with, if they were not fresh) and weights.npz (the result).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.learn import stages
from trainer.learn.judge import Judge, merit
from trainer.learn.stages import Batch, FitError, Stage, Teacher
from trainer.learn.watch import Watch
from trainer.models import networks
from trainer.models.networks import Weight
from trainer.people.data import Crops
from trainer.recipes.values import Recipe
from trainer.runs import Run, RunError, State


@dataclass(frozen=True, slots=True)
class Start:
    """What another run gives to start from: the encoder weights that it kept, and its last state if that belongs to its first stage. This
    state also has the classifier, which is used if the number of people is the same."""

    weights: list[Weight]
    state: State | None


def fit(
    recipe: Recipe,
    fit_crops: Crops,
    val_crops: Crops,
    run: Run,
    minutes: float = math.inf,
    workers: int = 2,
    start: Start | None = None,
    teacher: Teacher | None = None,
) -> dict[str, float]:
    """Train until the recipe's stages or `minutes` are used up; continues from run.state().

    Each stage starts from the weights kept so far. The first stage's weights are kept, unless `start` gave better ones. A later stage's
    weights are kept if the figures on val people improve, or if its recipe says `keep = "always"`. Returns the figures of the kept weights
    on val people. Raises FitError.
    """
    cv2.setNumThreads(1)
    encoder = networks.fresh(recipe)
    judge = Judge(recipe, val_crops, fit_crops)
    state = run.state()
    if state is None and start is not None:
        _begin(encoder, start)
        run.start_from(start.weights)
        run.keep(start.weights, judge(start.weights))
    crops_of = [_crops(recipe, index, len(fit_crops)) for index in range(len(recipe.stages))]
    for index, settings in enumerate(recipe.stages):
        if state is not None and state.stage > index:
            continue
        if run.kept and (state is None or state.stage < index):
            encoder.set_weights(networks.split(run.weights())[0])
        stage = stages.build(recipe, index, fit_crops, encoder, teacher)
        if index == 0 and state is None and start is not None and start.state is not None:
            start.state.begin(stage.model)
        resumed = state if state is not None and state.stage == index else None
        limit = minutes * crops_of[index] / sum(crops_of)
        weights = _train(_Trip(stage, index, limit, workers), judge, recipe, run, resumed)
        figures = judge(weights)
        before = run.kept_figures() if run.kept else None
        better = before is None or settings.keep == "always" or merit(figures) > merit(before)
        if before is not None:
            run.note({"stage": stage.name, "kept": better, "before": before, "after": figures})
        if better:
            run.keep(weights, figures)
    run.finish()
    return run.kept_figures()


def _begin(encoder: keras.Model, start: Start) -> None:
    try:
        encoder.set_weights(networks.split(start.weights)[0])
    except ValueError as error:
        raise RunError("the run to start from has another network", "start from a run with the same [network]") from error


def _crops(recipe: Recipe, index: int, count: int) -> float:
    """About how many crops a stage looks at. A time limit is divided among the stages in proportion to this."""
    settings = recipe.stages[index]
    return settings.steps * stages.rows_of(settings) if settings.steps else max(settings.epochs, 1e-9) * count


@dataclass(frozen=True, slots=True)
class _Trip:
    """A stage on this machine: the minutes it may take, and the number of threads that make batches."""

    stage: Stage
    index: int
    minutes: float
    workers: int

    def progress(self, step: int, elapsed_s: float) -> float:
        """0 at the start, 1 at the end. With a time limit the schedule follows the clock or the steps, whichever is nearer its end."""
        return min(1.0, max(step / self.stage.steps, elapsed_s / (60 * self.minutes)))


def _train(trip: _Trip, judge: Judge, recipe: Recipe, run: Run, state: State | None) -> list[Weight]:
    """Run one stage to its end, from `state` if given. Returns the averaged weights."""
    stage = trip.stage
    stage.model.optimizer.build(stage.model.trainable_variables)
    average: list[Weight] = [np.array(weight) for weight in stage.kept.get_weights()]
    step, before_s, cpu_before_s = 0, 0.0, 0.0
    if state is not None:
        state.restore(stage.model)
        step, before_s, cpu_before_s, average = state.step, state.elapsed_s, state.cpu_s, state.average
        if trip.progress(step, before_s) >= 1:
            return average
    began_s, cpu_began_s = time.monotonic() - before_s, time.process_time() - cpu_before_s
    watch = Watch(stage.stuck_at)
    due = math.floor(trip.progress(step, before_s) * recipe.validations) + 1
    total, seen, crops, waited_s, since_s = 0.0, 0, 0, 0.0, before_s
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(stage.name, total=1.0)
        for pixels, targets, progress, wait_s in _batches(trip, step, began_s):
            loss = _step(stage, step, pixels, targets, progress, average)
            step, total, seen = step + 1, total + loss, seen + 1
            crops, waited_s = crops + len(pixels), waited_s + wait_s
            elapsed_s = time.monotonic() - began_s
            done = trip.progress(step, elapsed_s)
            epoch = step / stage.per_epoch
            bar.update(task, completed=done, description=f"{stage.name} epoch {epoch:.1f} loss {total / seen:.3f}")
            if done * recipe.validations >= due or done >= 1:
                due = math.floor(done * recipe.validations) + 1
                spent_s = elapsed_s, time.process_time() - cpu_began_s
                figures = judge(average)
                speed = crops / max(1e-9, elapsed_s - since_s)
                run.note(
                    {
                        "stage": stage.name,
                        "step": step,
                        "crops": step * len(pixels),
                        "epoch": round(epoch, 3),
                        "elapsed_s": round(elapsed_s, 1),
                        "cpu_s": round(spent_s[1], 1),
                        "crops_per_s": round(speed, 1),
                        "waited": round(waited_s / max(1e-9, elapsed_s - since_s), 4),
                        "rate": stage.rate(progress),
                        "loss": total / seen,
                        **figures,
                    }
                )
                run.checkpoint(State.of(trip.index, step, spent_s, stage.model, average))
                console.print(_sentence(stage.name, epoch, total / seen, speed, figures), soft_wrap=True)
                warning = watch(total / seen, figures["other"])
                if warning is not None:
                    run.note({"stage": stage.name, "step": step, "warning": warning})
                    console.print(f"[bold yellow]{warning}[/]", soft_wrap=True)
                total, seen, crops, waited_s, since_s = 0.0, 0, 0, 0.0, time.monotonic() - began_s
            if done >= 1:
                break
    return average


def pace(stage: Stage, steps: int, workers: int) -> tuple[float, float]:
    """Train for this many steps as `fit` does. Returns crops per second, and the share of the time spent waiting for batches."""
    trip = _Trip(stage, 0, math.inf, workers)
    average: list[Weight] = [np.array(weight) for weight in stage.kept.get_weights()]
    crops, waited_s, began_s = 0, 0.0, time.monotonic()
    for step, (pixels, targets, progress, wait_s) in enumerate(_batches(trip, 0, began_s)):
        _step(stage, step, pixels, targets, progress, average)
        crops, waited_s = crops + len(pixels), waited_s + wait_s
        if step + 1 == steps:
            break
    elapsed_s = time.monotonic() - began_s
    return crops / elapsed_s, waited_s / elapsed_s


def _step(
    stage: Stage, step: int, pixels: NDArray[np.uint8], targets: NDArray[np.float32], progress: float, average: list[Weight]
) -> float:
    """Train on one batch and follow the weights with their average, in place. Returns the loss. Raises FitError if it is not finite."""
    stage.model.optimizer.learning_rate = stage.rate(progress)
    loss = float(np.asarray(stage.model.train_on_batch(pixels, targets)))
    if not math.isfinite(loss):
        raise FitError(f"{stage.name}: loss is {loss} at step {step}", "lower the learning rate, or train with network.compute = float32")
    _blend(average, stage.kept.get_weights(), min(stage.ema, (2 + step) / (11 + step)))
    return loss


def _blend(average: list[Weight], now: list[NDArray[np.float32]], decay: float) -> None:
    """Update the exponential moving average in place. The average is what is judged and kept."""
    for index, (mean, value) in enumerate(zip(average, now, strict=True)):
        average[index] = np.asarray(decay * mean + (1 - decay) * value, np.float32)


def _batches(trip: _Trip, step: int, began_s: float) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], float, float]]:
    """Batches from `step` on, which threads make a few steps ahead (OpenCV releases the interpreter lock). Each comes with progress 0..1
    and the seconds spent waiting for it."""
    stage = trip.stage

    def make(wanted: int) -> tuple[Batch, float]:
        progress = trip.progress(wanted, time.monotonic() - began_s)
        return stage.batch(wanted, progress), progress

    with ThreadPoolExecutor(trip.workers) as pool:
        ahead = [pool.submit(make, step + offset) for offset in range(trip.workers + 1)]
        try:
            while True:
                asked_s = time.monotonic()
                batch, progress = ahead.pop(0).result()
                wait_s = time.monotonic() - asked_s
                ahead.append(pool.submit(make, step + trip.workers + 1))
                if stage.select is not None:
                    # This depends on the model's present answers, so it cannot be done ahead.
                    batch = stage.select(batch, step)
                yield (*batch, progress, wait_s)
                step += 1
        finally:
            for future in ahead:
                future.cancel()


def _sentence(stage: str, epoch: float, loss: float, crops_per_s: float, figures: dict[str, float]) -> str:
    return (
        f"{stage} epoch {epoch:.1f}: loss {loss:.3f}, {crops_per_s:.0f} crops/s; val people: AUC {figures['auc']:.4f}, "
        f"EER {figures['eer']:.4f}, TAR {figures['tar']:.4f} at FMR 1e-3 and {figures['tar_1e2']:.4f} at 1e-2"
    )
