"""Calibrate on the calibration people and write the bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from daemon.core.counts import persons
from trainer import terminal
from trainer.bundle import export
from trainer.commands.evaluate import kept_figures
from trainer.measure import calibrate
from trainer.models.whole import embedder
from trainer.people import datasets
from trainer.people.data import DataError
from trainer.reports import tables
from trainer.runs import Run


def run(options: argparse.Namespace) -> None:
    """`export`."""
    folder = Run(options.run)
    chosen, facts = folder.recipe(), folder.facts()
    weights = export.stored(chosen, folder.weights())
    export.check(chosen, weights)
    source = options.data or Path(str(facts["data"]))
    split = options.split or (Path(str(facts["split"])) if facts["split"] else None)
    parts = datasets.parts(chosen, source, split)
    if parts["fit"].digest != facts["data_digest"]:
        raise DataError(f"{folder.folder} was not trained from {source}", "give the crops that it was trained from with --data")
    people = parts["calibration"]
    if len(people.people) < 2:
        raise DataError("fewer than two people are in the calibration part", "put more people into the part calibration")
    embed = embedder(chosen, weights)
    export.golden_vectors(embed)  # a model that tells nothing apart is refused before the passages, which take minutes
    calibration = calibrate.calibrate(embed, people, f"{persons(len(people.people), 'calibration')} of {source.name}")
    figures = kept_figures(folder)
    faces = people.pixels[:: max(1, len(people) // 64)]
    digest = str(facts["data_digest"])
    worst = export.export(chosen, weights, options.bundle, digest, calibration, figures, faces, options.notes)
    terminal.console().print(tables.calibration(calibration))
    size = options.bundle.stat().st_size / 1e6
    terminal.say(f"{options.bundle}: {size:.2f} MB, Keras and ONNX differ by {worst:.1e} at most")
