"""Train a recipe stage by stage, in a run folder that survives a kill at any instant.

The folder holds recipe.toml, run.json (which data), history.jsonl (one line per validation, from step 0 on), state.npz (everything needed
to continue) and weights.npz (the result); and for other programs history.csv and tensorboard/.

A stage whose loss or weights are no longer finite numbers ends the run. Its best validation is kept if it is better than what was kept
before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import keras
import numpy as np

from trainer.learn import stages
from trainer.learn.judge import Judge
from trainer.learn.logs import Logs
from trainer.learn.stages import Teacher
from trainer.learn.stopping import Stop
from trainer.learn.training import Desk, Diverged, Training, Trip, stopped
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
    weights are kept as its recipe's `keep` says. Returns the figures of the kept weights on val people.

    Raises FitError, RunError; and Stopped after SIGINT or SIGTERM, with a checkpoint written at the step where it was.
    """
    cv2.setNumThreads(1)
    state = run.state()
    encoder = networks.fresh(recipe, pretrained=state is None and start is None)
    judge = Judge(recipe, val_crops, fit_crops)
    if state is None and start is not None:
        _begin(encoder, start)
    run.rewind()
    crops_of = tuple(_crops(recipe, index, len(fit_crops)) for index in range(len(recipe.stages)))
    with Stop() as stop:
        desk = Desk(recipe, judge, run, Logs(run), stop, crops_of)
        if state is None and start is not None:
            run.start_from(start.weights)
            run.keep(start.weights, judge(start.weights))
        for index, settings in enumerate(recipe.stages):
            if state is not None and state.stage > index:
                continue
            if run.kept and (state is None or state.stage < index):
                encoder.set_weights(networks.split(run.weights())[0])
            stage = stages.build(recipe, index, fit_crops, encoder, teacher)
            if index == 0 and state is None and start is not None and start.state is not None:
                start.state.begin(stage.model)
            resumed = state if state is not None and state.stage == index else None
            trip = Trip(stage, index, minutes * crops_of[index] / sum(crops_of), workers)
            training = Training(desk, trip, settings, resumed)
            try:
                training.train()
            except Diverged as error:
                raise training.give_up(error) from error
            training.judge_result()
            if stop.heard is not None and index + 1 < len(recipe.stages):
                raise stopped(f"after {stage.name}", stop.heard)
    run.finish()
    return run.kept_figures()


def _begin(encoder: keras.Model, start: Start) -> None:
    if not all(np.isfinite(weight).all() for weight in start.weights):
        raise RunError("the weights to start from are not finite numbers", "start from a run that did not diverge")
    try:
        encoder.set_weights(networks.split(start.weights)[0])
    except ValueError as error:
        raise RunError("the run to start from has another network", "start from a run with the same [network]") from error


def _crops(recipe: Recipe, index: int, count: int) -> float:
    """About how many crops a stage looks at. A time limit is divided among the stages in proportion to this."""
    settings = recipe.stages[index]
    return settings.steps * stages.rows_of(settings) if settings.steps else max(settings.epochs, 1e-9) * count
