"""What a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.runs.files import RunError, numbers


@dataclass(slots=True)
class Course:
    """What a stage came to besides its weights. `before`: the figures of the weights that the run had kept when the stage began.
    `best`: the figures of its best validation, at `best_step`; `stale`: how many validations since brought no gain; `last`: the figures of
    the last one; `stopped`: it has ended early. `first`: the mean distance of two people at the first validation.

    Sums since the last validation: loss, steps, crops, seconds waited for batches. It ended at `since_s`."""

    before: dict[str, float] | None = None
    best: dict[str, float] | None = None
    best_step: int = 0
    stale: int = 0
    last: dict[str, float] | None = None
    stopped: bool = False
    first: float | None = None
    loss: float = 0.0
    steps: int = 0
    crops: int = 0
    waited_s: float = 0.0
    since_s: float = 0.0

    def forget(self, elapsed_s: float) -> None:
        """Begin the sums anew after a validation."""
        self.loss, self.steps, self.crops, self.waited_s, self.since_s = 0.0, 0, 0, 0.0, elapsed_s


@dataclass(frozen=True, slots=True)
class State:
    """Everything a stage needs to go on: its number, model and optimizer variables in Keras' order, the averaged weights that the run
    keeps, seconds of clock and of processor so far; the state of the random numbers of its layers, the averaged weights of its best
    validation, and its course. The state of an older trainer lacks the last three."""

    stage: int
    step: int
    elapsed_s: float
    cpu_s: float
    model: list[NDArray[np.float32]]
    optimizer: list[NDArray[np.float32]]
    average: list[NDArray[np.float32]]
    seeds: list[NDArray[Any]] = field(default_factory=list)
    best: list[NDArray[np.float32]] = field(default_factory=list)
    course: Course | None = None

    @staticmethod
    def of(
        stage: int,
        step: int,
        spent_s: tuple[float, float],
        model: keras.Model,
        average: list[NDArray[np.float32]],
        best: list[NDArray[np.float32]],
        course: Course,
    ) -> State:
        """Copy the state out of a model being trained."""
        optimizer = [np.asarray(variable) for variable in model.optimizer.variables]
        seeds = [np.asarray(variable) for variable in _seeds(model)]
        return State(stage, step, *spent_s, model.get_weights(), optimizer, average, seeds, best, course)

    def begin(self, model: keras.Model) -> None:
        """Only the weights, for training anew from where another run ended, if it trained this very model on as many people."""
        shapes = [weight.shape for weight in model.get_weights()]
        if [weight.shape for weight in self.model] == shapes:
            model.set_weights(self.model)

    def restore(self, model: keras.Model) -> None:
        """Put the state back into a freshly built model of the same recipe. Raises RunError."""
        if len(self.optimizer) != len(model.optimizer.variables):
            raise RunError("the saved state belongs to another model", "start a new run folder")
        try:
            model.set_weights(self.model)
            for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
                variable.assign(value)
            for variable, value in zip(_seeds(model), self.seeds, strict=bool(self.seeds)):
                variable.assign(value)
        except ValueError as error:
            raise RunError("the saved state belongs to another model", "start a new run folder") from error


def _seeds(model: keras.Model) -> list[Any]:
    """The variables that hold the state of random numbers, as of dropout: get_weights() leaves them out."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights and "seed" in variable.path]


def course_of(plain: Mapping[str, Any]) -> Course:
    """A course from its JSON."""
    figures = {name: None if plain[name] is None else numbers(plain[name]) for name in ("before", "best", "last")}
    return Course(**{**plain, **figures})
