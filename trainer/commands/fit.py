"""Train a recipe; prints the figures on val people of the weights kept."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rich.console import Console

from trainer import datasets, fit, raw_model, recipe_file, stages
from trainer.data import Crops, DataError
from trainer.recipe import Distil, Recipe, RecipeError
from trainer.runs import Run, RunError
from trainer.stages import FitError, Teacher


def run(options: argparse.Namespace) -> None:
    """`fit`."""
    chosen = recipe_file.read(recipe_file.find(options.recipe), options.set)
    if Run(options.run).finished:
        raise RunError(f"{options.run} is finished", "evaluate or export it, or give another --run folder")
    _fit(options, chosen, options.run, _first(options, chosen, options.run) if options.start is None else options.start)


def _first(options: argparse.Namespace, chosen: Recipe, folder: Path, above: tuple[str, ...] = ()) -> Path | None:
    """The run that the recipe goes on from, made if it is not there: beside its own folder, so that it can be looked at too."""
    if not chosen.after:
        return None
    if math.isfinite(options.minutes):
        raise FitError(f"{chosen.name} goes on from {chosen.after}", "give the run to go on from with --from, or leave out --minutes")
    if chosen.after in above:
        raise RecipeError(f"{chosen.after} goes on from itself", "remove one `after`")
    before = folder.with_name(f"{folder.name}-before")
    # What the data are is the same for both; everything else was said of the recipe that was asked for.
    changes = [change for change in options.set if change.startswith(("data.", "seed="))]
    recipe = recipe_file.read(recipe_file.find(chosen.after), changes)
    Run(folder).check(chosen)
    Run(before).check(recipe)
    if not Run(before).finished:
        _fit(options, recipe, before, _first(options, recipe, before, (*above, chosen.after)))
    return before


def _fit(options: argparse.Namespace, chosen: Recipe, run_folder: Path, begin_with: Path | None) -> None:
    console = Console()
    if not chosen.stages:
        raise RecipeError(f"{chosen.name} has no stages", "add [[stages]], or use one of the recipes that come with the trainer")
    folder = Run(run_folder)
    folder.check(chosen)
    start = None
    if begin_with is not None:
        other = Run(begin_with)
        state = other.state()
        start = fit.Start(other.weights(), state if state is not None and state.stage == 0 else None)
    parts = datasets.parts(chosen, options.data, options.split)
    for part in ("fit", "val"):
        if len(parts[part].people) < 2:
            raise DataError(f"{len(parts[part].people)} people are for {part}", "training needs two people or more in fit and in val")
    learned = parts["fit"]
    for index in range(len(chosen.stages)):
        stages.able(chosen, index, learned)
    taught = _teacher(options, chosen, learned)
    facts = {
        "data": str(options.data.resolve()) if options.data.exists() else str(options.data),
        "data_digest": learned.digest,
        "split": str(options.split.resolve()) if options.split else None,
        "people": {part: len(crops.people) for part, crops in parts.items()},
        "crops": {part: len(crops) for part, crops in parts.items()},
    }
    folder.begin(chosen, facts)
    folder.remember(learned.people, datasets.marks(learned))
    console.print(", ".join(f"{len(crops)} crops of {len(crops.people)} for {part}" for part, crops in parts.items()))
    best = fit.fit(chosen, learned, parts["val"], folder, options.minutes, options.workers, start, taught)
    console.print("kept: " + ", ".join(f"{name} {value:.4f}" for name, value in best.items()))


def _teacher(options: argparse.Namespace, chosen: Recipe, learned: Crops) -> Teacher | None:
    wanted = any(isinstance(stage, Distil) for stage in chosen.stages)
    if options.teacher is None or not wanted:
        if wanted or options.teacher is not None:
            raise FitError(
                "distillation needs a teacher" if wanted else f"{chosen.name} learns from no teacher",
                "give an embedding model with --teacher MODEL.onnx" if wanted else "leave out --teacher, or use the recipe faces-distilled",
            )
        return None
    vectors = raw_model.teacher(options.teacher, order=options.teacher_order)(learned.pixels)
    return dict(zip(learned.names, vectors, strict=True))
