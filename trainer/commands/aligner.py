"""Teach the aligner that gives the cascade's boxes their landmarks, and write its file."""

from __future__ import annotations

import argparse

import numpy as np

from daemon.core.counts import counted, persons
from trainer import terminal
from trainer.bundle import aligner as file
from trainer.learn import aligner
from trainer.people import data, displace
from trainer.people.data import DataError


def run(options: argparse.Namespace) -> None:
    """`aligner`."""
    crops = data.load(options.data)
    parts = data.split(crops.people, options.split)
    fit, val = crops.of(parts["fit"]), crops.of(parts["val"])
    if not len(fit) or not len(val):
        raise DataError(f"{options.data} has no crops of fit or val people", "give more people, or a --split")
    model = aligner.learn(fit.pixels, val.pixels, options.steps, options.workers, terminal.console())
    missed = aligner.measure(model, val.pixels)
    on = f"on crops of {persons(len(val.people), 'other')}, moved by {missed.before:.2f} px"
    notes = (
        f"learned from {counted(len(fit), 'crop')} of {persons(len(fit.people))}, moved by known amounts; {on}, "
        f"it is {missed.once:.2f} px off after one glimpse and {missed.twice:.2f} px after two"
    )
    seen = np.stack([displace.glimpse(crop, np.eye(3)) for crop in val.pixels[:64]])
    away = file.write(model, options.aligner, fit.digest, notes, seen)
    terminal.say(f"{options.aligner}: {options.aligner.stat().st_size / 1e6:.2f} MB, Keras and ONNX differ by {away:.1e} px at most")
