"""One stage on its way to its end, its validations and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainer import terminal
from trainer.learn import chance, devices
from trainer.learn.judge import Judge, merit, spoken
from trainer.learn.logs import Logs
from trainer.learn.stage import Batch, FitError, Stage
from trainer.learn.stopping import Stop, Stopped
from trainer.learn.watch import Watch
from trainer.learn.words import duration
from trainer.models.networks import Weight
from trainer.recipes.stages import StageRecipe
from trainer.recipes.values import Recipe
from trainer.runs import Course, Run, State


class Diverged(FitError):
    """The loss or the weights are no longer finite numbers; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Trip:
    """A stage on this machine: the minutes it may take, and the number of threads that make batches."""

    stage: Stage
    index: int
    minutes: float
    workers: int

    def progress(self, step: int, elapsed_s: float) -> float:
        """0 at the start, 1 at the end. With a time limit the schedule follows the clock or the steps, whichever is nearer its end."""
        return min(1.0, max(step / self.stage.steps, elapsed_s / (60 * self.minutes)))


@dataclass(frozen=True, slots=True)
class Desk:
    """What all stages of a run share. `crops_of`: about how many crops each stage looks at."""

    recipe: Recipe
    judge: Judge
    run: Run
    logs: Logs
    stop: Stop
    crops_of: Sequence[float]

    def note(self, line: Mapping[str, object]) -> None:
        """Add a line to the history and to the logs. Raises RunError."""
        self.run.note(line)
        self.logs.add(line)

    def left_s(self, index: int, done: float, elapsed_s: float) -> float:
        """About how long the rest of the run takes, at the pace of stage `index`, of which the share `done` took `elapsed_s`."""
        rest = self.crops_of[index] * (1 - done) + sum(self.crops_of[index + 1 :])
        return elapsed_s * rest / (done * self.crops_of[index])


class Training:
    """One stage on its way to its end, from `state` if given."""

    def __init__(self, desk: Desk, trip: Trip, settings: StageRecipe, state: State | None) -> None:
        self._desk, self._trip, self._stage, self._settings = desk, trip, trip.stage, settings
        self._stage.model.optimizer.build(self._stage.model.trainable_variables)
        self._average: list[Weight] = [np.array(weight) for weight in self._stage.kept.get_weights()]
        self._best: list[Weight] = []
        self._course = Course(before=desk.run.kept_figures() if desk.run.kept else None)
        self._step, self._spent_s = 0, (0.0, 0.0)
        self._fresh = state is None
        if state is not None:
            state.restore(self._stage.model)
            self._step, self._spent_s = state.step, (state.elapsed_s, state.cpu_s)
            self._average, self._best, self._course = state.average, state.best, state.course or self._course
        self._began_s = time.monotonic() - self._spent_s[0], time.process_time() - self._spent_s[1]

    def train(self) -> None:
        """Train to the end. Raises Diverged, Stopped, RunError."""
        trip, course = self._trip, self._course
        if self._fresh:
            self._look_first()
        if course.stopped or trip.progress(self._step, self._spent_s[0]) >= 1:
            return
        due = math.floor(trip.progress(self._step, self._spent_s[0]) * self._desk.recipe.validations) + 1
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
        with Progress(*columns, console=terminal.console()) as bar:
            task = bar.add_task(self._stage.name, total=1.0)
            for pixels, targets, progress, wait_s in _batches(trip, self._step, self._began_s[0]):
                course.loss += _step(self._stage, self._step, pixels, targets, progress, self._average)
                self._step, course.steps = self._step + 1, course.steps + 1
                course.crops, course.waited_s = course.crops + len(pixels), course.waited_s + wait_s
                done = trip.progress(self._step, self._elapsed_s)
                told = f"{self._stage.name} epoch {self._step / self._stage.per_epoch:.1f} loss {course.loss / course.steps:.3f}"
                bar.update(task, completed=done, description=told)
                if done * self._desk.recipe.validations >= due or done >= 1:
                    due = math.floor(done * self._desk.recipe.validations) + 1
                    self._validate(done, len(pixels), self._stage.rate(progress), bar.console)
                elif self._desk.stop.heard is not None:
                    self._checkpoint()
                if done >= 1 or course.stopped:
                    break
                if self._desk.stop.heard is not None:
                    raise stopped(f"at step {self._step} of {self._stage.name}", self._desk.stop.heard)

    def judge_result(self) -> None:
        """Keep the stage's weights, or what was kept before it. Raises RunError; FitError if the weights are not finite."""
        course = self._course
        weights, figures = self._average, course.last
        if self._settings.best and course.best is not None:
            weights, figures = self._best, course.best
        elif figures is None or course.steps:
            figures = self._desk.judge(weights)
        if not _sound(weights, figures):
            raise self.give_up(self._diverged("the weights are not finite"))
        self._keep(weights, figures, *self._decide(self._settings.keep, weights, figures))

    def give_up(self, error: Diverged) -> FitError:
        """End the run: keep the stage's best validation if that is better than what was kept before, or surely better if the recipe wants
        that."""
        course, run = self._course, self._desk.run
        self._desk.note({"stage": self._stage.name, "step": self._step, "warning": error.message})
        kept = "what was kept before this stage stays" if course.before is not None else "there was no validation before: nothing is kept"
        if course.best is not None:
            keep = "surely" if self._settings.keep == "surely" else "better"
            better, gain = self._decide(keep, self._best, course.best)
            self._keep(self._best, course.best, better, gain)
            kept = f"the weights of its step {course.best_step} are kept" if better else kept
        run.finish(f"{error.message}; {kept}")
        return FitError(f"{error.message}; {kept}", error.hint)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s[0]

    def _decide(self, keep: str, weights: list[Weight], figures: dict[str, float]) -> tuple[bool, dict[str, float]]:
        before = self._course.before
        if before is None:
            return chance.decide(keep, self._desk.judge, None, None)
        return chance.decide(keep, self._desk.judge, (self._desk.run.weights(), weights), (before, figures))

    def _keep(self, weights: list[Weight], figures: dict[str, float], better: bool, gain: Mapping[str, float]) -> None:
        before = self._course.before
        if before is not None:
            self._desk.note({"stage": self._stage.name, "kept": better, "before": before, "after": figures, **gain})
        if better:
            self._desk.run.keep(weights, figures)

    def _look_first(self) -> None:
        """The figures before the first step are those of step 0."""
        course, run = self._course, self._desk.run
        kept = run.weights() if course.before is not None else []
        known = len(kept) == len(self._average) and all(np.array_equal(a, b) for a, b in zip(kept, self._average, strict=True))
        figures = course.before if known and course.before is not None else self._desk.judge(self._average)
        if not _sound(self._average, figures):
            raise self._diverged("the weights to start from are not finite")
        self._note({"crops": 0, "rate": self._stage.rate(0.0), **figures})
        course.forget(self._elapsed_s)
        self._checkpoint()

    def _validate(self, done: float, rows: int, rate: float, console: Console) -> None:
        course, elapsed_s = self._course, self._elapsed_s
        figures = self._desk.judge(self._average)
        if not _sound(self._average, figures):
            raise self._diverged("the weights are not finite")
        course.last, loss = figures, course.loss / course.steps
        if course.best is None or merit(figures) > merit(course.best):
            # The average is made anew at each step, so a list of its arrays is a copy.
            course.best, course.best_step, course.stale, self._best = figures, self._step, 0, list(self._average)
        else:
            course.stale += 1
        since_s = max(1e-9, elapsed_s - course.since_s)
        speed, waited = course.crops / since_s, course.waited_s / since_s
        line = {"crops": self._step * rows, "crops_per_s": round(speed, 1), "waited": round(waited, 4), "rate": rate, "loss": loss}
        self._note({**line, **figures})
        watch = Watch(self._stage.stuck_at, course.first)
        warning = watch(loss, figures["other"])
        course.first = watch.first
        if warning is not None:
            self._desk.note({"stage": self._stage.name, "step": self._step, "warning": warning})
        course.stopped = 0 < self._settings.patience <= course.stale and done < 1
        ended = f"{self._stage.name} ends early: no gain on val people since step {course.best_step}"
        if course.stopped:
            self._desk.note({"stage": self._stage.name, "step": self._step, "ended": ended})
        course.forget(self._elapsed_s)
        self._checkpoint()
        left = "" if course.stopped else f"; about {duration(self._desk.left_s(self._trip.index, done, elapsed_s))} left"
        told = f"{self._stage.name} epoch {self._step / self._stage.per_epoch:.1f}: loss {loss:.3f}, {speed:.0f} crops/s"
        console.print(terminal.safe(f"{told}; val people: {spoken(figures)}{left}"), soft_wrap=True)
        if warning is not None:
            console.print(terminal.safe(warning, "bold yellow"), soft_wrap=True)
        if course.stopped:
            console.print(terminal.safe(ended), soft_wrap=True)

    def _note(self, line: Mapping[str, object]) -> None:
        spent = {"elapsed_s": round(self._elapsed_s, 1), "cpu_s": round(time.process_time() - self._began_s[1], 1)}
        at = {"stage": self._stage.name, "step": self._step, "epoch": round(self._step / self._stage.per_epoch, 3)}
        self._desk.note({**at, "time": round(time.time(), 1), **spent, **line})

    def _checkpoint(self) -> None:
        spent_s = self._elapsed_s, time.process_time() - self._began_s[1]
        state = State.of(self._trip.index, self._step, spent_s, self._stage.model, self._average, self._best, self._course)
        self._desk.run.checkpoint(state)

    def _diverged(self, why: str) -> Diverged:
        return _divergence(self._stage, self._step, why)


def _sound(weights: Sequence[Weight], figures: Mapping[str, float]) -> bool:
    return all(np.isfinite(weight).all() for weight in weights) and merit(figures) >= 0


def stopped(where: str, signal: int) -> Stopped:
    return Stopped(f"stopped {where}; `ostiary-train fit` goes on from there when called again", 128 + signal)


def _divergence(stage: Stage, step: int, why: str) -> Diverged:
    hint = "lower the learning rate, or train with network.compute = float32; then `fit --fresh`, or another --run folder"
    return Diverged(f"{stage.name} diverged at step {step}: {why}", hint)


def pace(stage: Stage, steps: int, workers: int) -> tuple[float, float]:
    """Train for this many steps as `fit` does. Returns crops per second, and the share of the time spent waiting for batches."""
    trip = Trip(stage, 0, math.inf, workers)
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
    """Train on one batch and follow the weights with their average, in place. Returns the loss. Raises Diverged if it is not finite."""
    devices.check_batch(len(pixels))
    stage.model.optimizer.learning_rate = stage.rate(progress)
    loss = float(np.asarray(stage.model.train_on_batch(pixels, targets)))
    if not math.isfinite(loss):
        raise _divergence(stage, step, f"the loss is {loss}")
    _blend(average, stage.kept.get_weights(), min(stage.ema, (2 + step) / (11 + step)))
    return loss


def _blend(average: list[Weight], now: list[NDArray[np.float32]], decay: float) -> None:
    """Update the exponential moving average in place. The average is what is judged and kept."""
    for index, (mean, value) in enumerate(zip(average, now, strict=True)):
        average[index] = np.asarray(decay * mean + (1 - decay) * value, np.float32)


def _batches(trip: Trip, step: int, began_s: float) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], float, float]]:
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
