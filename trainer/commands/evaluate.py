"""Measure a run folder or a bundle on people it never saw. Prints a table, and JSON if asked."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Figure
from daemon.core.faults import Fault
from daemon.edges.files import replace
from trainer import terminal
from trainer.commands import model
from trainer.commands.model import Model
from trainer.measure import allpairs, evaluate, heldout, oneshot, scoring
from trainer.measure.scoring import Scorer
from trainer.people import data, datasets, decisions
from trainer.people.data import Crops, DataError
from trainer.recipes.values import Data, Recipe
from trainer.reports import tables
from trainer.reports.classes import Classes, classes
from trainer.runs import Run

NAMES = {
    ("digits", False): "MNIST test",
    ("digits", True): "MNIST val",
    ("characters", False): "Omniglot evaluation",
    ("characters", True): "Omniglot val",
}
"""What drawings are called in the table, by their kind and whether they are the val part."""


class EvaluateError(Fault):
    """The model cannot be measured like that; `message` and `hint` are one line each."""


def run(options: argparse.Namespace) -> None:
    """`evaluate`."""
    of = model.opened(options.model)
    folder = of.folder
    if (options.join or options.val) and (folder is None or of.recipe.data.kind == "people"):
        raise DataError("--join and --val are for runs on drawings", "leave them out; for people, --part chooses the part")
    figures, apart = _people(options, of) if of.recipe.data.kind == "people" else _drawings(options, of)
    console = terminal.console()
    for on in dict.fromkeys(figure.on for figure in figures):
        console.print(tables.figures([figure for figure in figures if figure.on == on], f"{options.model.name} on {on}"))
    for on, found in apart.items():
        console.print(tables.classes(found, on))
    if options.json is not None:
        replace(options.json, evaluate.to_json(figures))
    if folder is not None:
        fresh = {figure.on for figure in figures}
        kept = [figure for figure in kept_figures(folder) if figure.on not in fresh]
        replace(folder.folder / "evaluation.json", evaluate.to_json([*kept, *figures]))


def kept_figures(folder: Run) -> list[Figure]:
    """The figures that were measured on a run so far."""
    path = folder.folder / "evaluation.json"
    return evaluate.from_json(path.read_bytes()) if path.exists() else []


def crops_of(options: argparse.Namespace, of: Model) -> tuple[Crops, str]:
    """The people to measure a model on, and their name. Raises DataError if the model learned from any of these people."""
    folder, seen, recipe = of.folder, of.seen, of.recipe
    own_split = folder.facts()["split"] if folder is not None else None
    crops = data.read(options.data, recipe.data.side, recipe.network.channels, resize=False)
    split, decided = options.split, options.decisions
    if decided is None and folder is not None and crops.digest == seen and (own := folder.facts().get("decisions")):
        decided = Path(str(own))
    if crops.digest == seen and split is None:
        # Figures on people the model has learned by heart would look far too good.
        if folder is None:
            raise DataError("the model was trained on these crops", "give --split and --part val, or other people")
        split = Path(str(own_split)) if own_split else None
    on = options.name or options.data.stem
    if split is not None or crops.digest == seen:
        crops = datasets.by_part(crops, split, decided, recipe.data.held_out)[options.part]
        on = options.name or f"{on} {options.part}"
    else:
        crops = decisions.applied(crops, decided).crops
    if folder is not None and not (crops.digest == seen and options.part == "fit"):
        people, marks = folder.learned()
        known = [person for person in crops.people if person in people]
        same = [name for name, met in zip(crops.names, np.isin(datasets.marks(crops), marks), strict=True) if met]
        if known or same:
            who = known[0] if known else same[0]
            raise DataError(f"the model was trained on {who}", "measure on people the model never saw")
    if options.same_people is not None:
        crops = data.merged(crops, options.same_people)
    return crops, on


def _scorers(options: argparse.Namespace, of: Model) -> dict[str, Scorer]:
    """The model, and if asked what it was before its training. Raises EvaluateError."""
    if not options.before:
        return {"": of.scorer}
    before = model.before(of.folder) if of.folder is not None else None
    if before is None:
        said = "does not say what it was" if of.folder is None else "did not keep the weights that it started with"
        raise EvaluateError(f"{options.model} {said} before training", "leave out --before")
    return {", before training": before, "": of.scorer}


def _people(options: argparse.Namespace, of: Model) -> tuple[list[Figure], dict[str, Classes]]:
    scorers = _scorers(options, of)
    crops, on = crops_of(options, of)
    pairs = data.pairs(options.pairs) if options.pairs is not None else None
    if options.roc is not None and pairs is None:
        raise DataError("a ROC needs a pair list", "give --pairs, or leave out --roc")
    figures: list[Figure] = []
    apart: dict[str, Classes] = {}
    for when, scorer in scorers.items():
        vectors = scorer.embed(crops.pixels)
        apart |= _classes(vectors, crops, on + when, scorer)
        if pairs is not None:
            measured = evaluate.measure_pairs(vectors, crops, pairs, scorer.similarity)
            figures += evaluate.pair_figures(measured, on + when)
            if options.roc is not None and not when:
                replace(options.roc, evaluate.roc_csv(measured))
        figures += _searches(vectors, crops.person, on + when, scorer)
    if not figures:
        raise DataError("nothing can be measured on these crops", "give --pairs, or at least 10 people with two crops each")
    return figures, apart


def _drawings(options: argparse.Namespace, of: Model) -> tuple[list[Figure], dict[str, Classes]]:
    """Figures over all pairs of the test drawings, before and after training. Digits: all, and separately those seen and not seen in
    training, and how often a digit is named from one picture of each. Omniglot: the evaluation characters, Koch's verification, and
    Lake's one-shot runs."""
    recipe = of.recipe
    unused = [name for name in ("pairs", "same_people", "split", "decisions", "roc") if getattr(options, name) is not None]
    if unused:
        raise DataError(
            f"--{unused[0].replace('_', '-')} is for people", "leave it out: drawings are measured over all pairs of their test part"
        )
    scorers = _beside(options, of, _scorers(options, of))
    parts = datasets.parts(recipe, options.data, None)
    test, val = parts["val" if options.val else "test"], parts["val"]
    name = options.name or NAMES[recipe.data.kind, options.val]
    figures: list[Figure] = []
    apart: dict[str, Classes] = {}
    for when, scorer in reversed(scorers.items()):
        vectors = scorer.embed(test.pixels)
        apart |= _classes(vectors, test, name + when, scorer)
        for which, rows in _groups(recipe, test).items():
            figures += evaluate.all_pair_figures(allpairs.measure(vectors[rows], test.person[rows], scorer.similarity), name + which + when)
            if scorer.cosine:
                figures += evaluate.distance_figures(vectors[rows], test.person[rows], name + which + when)
        if recipe.data.kind == "characters":
            figures += _searches(vectors, test.person, name + when, scorer)
            if options.val:
                figures += evaluate.held_out_figures(heldout.shares(test, vectors, scorer.similarity), name + when)
            else:
                both = (scorer.embed(val.pixels), vectors), (val.person, test.person)
                figures += evaluate.koch_figures(*both, scorer.similarity, name + when)
        else:
            figures += evaluate.rank_figures(vectors, test.person, name + when, scorer.similarity)
        if options.one_shot_runs is not None:
            trials = oneshot.read(options.one_shot_runs)
            figures += evaluate.one_shot_figures(_one_shot(recipe, scorer, trials), "Lake's one-shot runs" + when)
    return figures, apart


def _classes(vectors: scoring.Vectors, crops: Crops, on: str, scorer: Scorer) -> dict[str, Classes]:
    """How far the classes are from each other, if the model compares by distance."""
    found = classes(vectors, crops) if scorer.cosine else None
    return {} if found is None else {on: found}


def _beside(options: argparse.Namespace, of: Model, scorers: dict[str, Scorer]) -> dict[str, Scorer]:
    """The scorers, with the trained one side by side with those of other runs if `--join` names some. Raises DataError."""
    if not options.join:
        return scorers
    others = [Run(path) for path in options.join]
    strange = [other for other in others if _measured_alike(other.recipe()) != _measured_alike(of.recipe)]
    if strange:
        raise DataError(f"{strange[0].folder} was trained on other data", "join runs with the same classes, side and held_alphabets")
    found = [of.scorer, *(scoring.of_run(other.recipe(), other.weights()) for other in others)]
    if not all(scorer.cosine for scorer in found):
        raise DataError("a run that ends in a same-or-different head cannot be joined", "join runs that compare by cosine")
    before = {when: scorer for when, scorer in scorers.items() if when}
    return {**before, f", joined with {', '.join(other.folder.name for other in others)}": scoring.joined(found)}


def _measured_alike(recipe: Recipe) -> Data:
    """What two runs must share to be measured together: the form of the drawings, and what neither may have learned."""
    return dataclasses.replace(recipe.data, rotations=False, beside=False)


def _searches(vectors: scoring.Vectors, person: NDArray[np.int64], on: str, scorer: Scorer) -> list[Figure]:
    figures = evaluate.rank_figures(vectors, person, on, scorer.similarity)
    return figures + evaluate.open_set_figures(vectors, person, on, similarity=scorer.similarity)


def _groups(recipe: Recipe, test: Crops) -> dict[str, NDArray[np.int64]]:
    everybody = {"": np.arange(len(test))}
    if recipe.data.kind != "digits" or not recipe.data.classes:
        return everybody
    digit = np.array([int(name) for name in test.people])[test.person]
    seen = np.isin(digit, recipe.data.classes)
    if seen.all():
        return everybody
    return {**everybody, ", digits learned": np.flatnonzero(seen), ", digits never seen": np.flatnonzero(~seen)}


def _one_shot(recipe: Recipe, scorer: Scorer, trials: tuple[oneshot.Trial, ...]) -> oneshot.Score:
    def embed(drawings: NDArray[np.uint8]) -> scoring.Vectors:
        """Embed drawings in the form of the recipe's own drawings: white ink on black, at the same size."""
        return scorer.embed(data.resized(np.subtract(255, drawings, dtype=np.uint8), recipe.data.side)[:, :, :, None])

    return oneshot.measure(trials, embed, scorer.similarity)
