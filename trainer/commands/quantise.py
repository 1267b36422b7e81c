"""Make a bundle of 8-bit integers from a float bundle, with golden vectors and thresholds of its own."""

from __future__ import annotations

import argparse
import datetime
import hashlib

import msgspec
import numpy as np
import onnx
from rich.table import Table

from daemon.core import bundle as bundles
from daemon.core.bundle import CARD_KEY, Card
from daemon.core.counts import counted, persons
from daemon.edges.files import replace
from trainer import terminal
from trainer.bundle import export, quantise
from trainer.bundle.quantise import QuantiseError
from trainer.measure import calibrate, evaluate, metrics
from trainer.models.opened import onnx_embedder
from trainer.models.whole import Embed
from trainer.people import datasets
from trainer.people.data import Crops, DataError
from trainer.recipes.values import Recipe
from trainer.reports import tables

FMR = 1e-3
MOST_LOST = 0.01
"""A bundle whose TAR at FMR falls by more than this on val people is not worth its speed, and is not written."""


def run(options: argparse.Namespace) -> None:
    """`quantise`."""
    before, card = onnx_embedder(options.bundle)
    parts = datasets.parts(Recipe(), options.data, options.split)
    if not len(parts["fit"]):
        raise DataError("no people are in the part fit", "give people to learn the tensors' ranges from")
    if len(parts["val"].people) < 2 or len(parts["calibration"].people) < 2:
        raise DataError("fewer than two people are in the part val or calibration", "put more people into these parts")
    model = quantise.quantised(onnx.load(options.bundle), parts["fit"].pixels)
    after, _ = onnx_embedder(model.SerializeToString())
    console = terminal.console()
    people = parts["calibration"]
    console.print(_compared(before, after, parts["val"], people))
    golden = export.golden_vectors(after)
    calibration = calibrate.calibrate(after, people, f"{persons(len(people.people), 'calibration')} of {options.data.name}")
    digest = hashlib.sha256(options.bundle.read_bytes()).hexdigest()
    made = msgspec.structs.replace(
        card,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        notes="; ".join(filter(None, [f"int8, quantised from the bundle with sha256 {digest}", card.notes])),
        evaluation=(),  # of the float bundle, not of this one
        calibration=calibration,
        golden=golden,
    )
    content = _with_card(model, made)
    for in_float in (False, True):  # as a CPU and as a GPU computes it
        bundles.check_golden(made, onnx_embedder(content, in_float=in_float)[0])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace(options.out, content)
    console.print(tables.calibration(calibration))
    terminal.say(f"{options.out}: {len(content) / 1e6:.2f} MB, a new bundle for the daemon, with its own id")


def _compared(before: Embed, after: Embed, val: Crops, others: Crops) -> Table:
    """Both models' figures on val people, with the others as strangers. Raises QuantiseError if the second model is much worse."""
    person = np.concatenate([val.person, others.person + len(val.people)])
    vectors = [np.concatenate([embed(val.pixels), embed(others.pixels)]) for embed in (before, after)]
    figures = [evaluate.open_set_figures(found, person, "val") for found in vectors]
    tars = [metrics.at_fmr(*metrics.all_pairs(found[: len(val)], val.person), FMR).tar for found in vectors]
    alike = np.sum(vectors[0] * vectors[1], axis=1)
    of = f"{counted(len(val), 'crop')} of {persons(len(val.people), 'val')}, {counted(len(others.people), 'stranger')}"
    title = f"{of}; cosine of float and 8 bits: mean"
    table = Table("", "float", "8 bits", title=f"{title} {alike.mean():.5f}, 1st percentile {np.quantile(alike, 0.01):.5f}")
    table.add_row(f"TAR at FMR {FMR:g}", *(f"{tar:.4f}" for tar in tars))
    for first, second in zip(*figures, strict=True):
        table.add_row(first.name, *("-" if figure.value is None else f"{figure.value:.4f}" for figure in (first, second)))
    if not tars[1] > tars[0] - MOST_LOST:
        raise QuantiseError(
            f"in 8 bits the TAR at FMR {FMR:g} falls from {tars[0]:.4f} to {tars[1]:.4f}", "keep the float bundle; no file was written"
        )
    return table


def _with_card(model: onnx.ModelProto, card: Card) -> bytes:
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: msgspec.json.encode(card).decode()})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
