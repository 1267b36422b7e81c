"""Calibrate on the calibration people and write the bundle; with --keras also its Keras file, or that of a bundle alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.core.counts import persons
from trainer import terminal
from trainer.bundle import export, keras_file, readback
from trainer.bundle.export import ExportError
from trainer.commands.evaluate import kept_figures
from trainer.commands.model import own_parts
from trainer.measure import allowance, calibrate
from trainer.models.opened import onnx_embedder
from trainer.models.whole import embedder
from trainer.people.data import DataError
from trainer.recipes.values import Recipe
from trainer.reports import tables
from trainer.runs import Run


def run(options: argparse.Namespace) -> None:
    """`export`."""
    if options.run.is_file():
        _keras_alone(options)
        return
    beside = options.bundle.with_suffix(keras_file.SUFFIX) if options.keras else None
    if beside == options.bundle:
        raise ExportError(f"{beside} cannot be both files", "name the bundle, as faces.onnx; --keras writes the .keras file beside it")
    folder = Run(options.run)
    chosen, facts = folder.recipe(), folder.facts()
    weights = export.stored(chosen, folder.weights())
    export.check(chosen, weights)
    source, parts = own_parts(folder, chosen, options)
    people = parts["calibration"]
    if len(people.people) < 2:
        raise DataError("fewer than two people are in the calibration part", "put more people into the part calibration")
    terminal.say(allowance.of_calibration(len(people.people)))
    embed = embedder(chosen, weights)
    export.golden_vectors(embed)  # a model that tells nothing apart is refused before the passages, which take minutes
    calibration = calibrate.calibrate(embed, people, f"{persons(len(people.people), 'calibration')} of {source.name}")
    figures = kept_figures(folder)
    faces = people.pixels[:: max(1, len(people) // 64)]
    digest = str(facts["data_digest"])
    worst = export.export(chosen, weights, options.bundle, digest, calibration, figures, faces, options.notes, licence(chosen, facts))
    terminal.console().print(tables.calibration(calibration))
    size = options.bundle.stat().st_size / 1e6
    terminal.say(f"{options.bundle}: {size:.2f} MB, Keras and ONNX differ by {worst:.1e} at most")
    if beside is not None:
        keras_file.write(chosen, weights, onnx_embedder(options.bundle)[1], beside)
        terminal.say(_said(beside))


def licence(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    """What the card says about the bundle's use: weights that training began with bring their own terms."""
    before = str((facts.get("begun_from") or {}).get("licence", ""))
    return recipe.export.licence if before in ("", recipe.export.licence) else f"{recipe.export.licence}; learned on from: {before}"


def _keras_alone(options: argparse.Namespace) -> None:
    """The Keras file of a bundle that is there already: its weights are read back out of it."""
    given = next((name for name in ("data", "split", "decisions", "cache", "notes") if getattr(options, name)), None)
    if not options.keras or options.bundle.suffix != keras_file.SUFFIX:
        raise ExportError(
            f"{options.run} is a file, not a run folder", "for its Keras file: ostiary-train export BUNDLE.onnx OUT.keras --keras"
        )
    if given is not None:
        raise ExportError(f"--{given} goes with a run folder", "leave it out: a bundle has its card already")
    found = readback.read(options.run)
    keras_file.write(found.recipe, found.weights, found.card, options.bundle)
    terminal.say(_said(options.bundle))
    if found.quantised:
        terminal.say("the bundle is quantised, so its weights are rounded to 7 bits")


def _said(path: Path) -> str:
    return f"{path}: {path.stat().st_size / 1e6:.2f} MB, opens with keras.models.load_model"
