"""Make a bundle of 8-bit integers or of float16 weights from a float bundle, with golden vectors and thresholds of its own."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import time
from collections.abc import Sequence

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from rich.table import Column, Table

from daemon.core import bundle as bundles
from daemon.core.bundle import CARD_KEY, Card, Figure
from daemon.core.counts import counted, persons
from daemon.edges.files import replace
from trainer import terminal
from trainer.bundle import export, quantise
from trainer.bundle.quantise import QuantiseError
from trainer.measure import allowance, calibrate, evaluate, metrics
from trainer.models.opened import onnx_embedder
from trainer.models.whole import Embed
from trainer.people import datasets
from trainer.people.data import Crops, DataError
from trainer.recipes.values import Recipe
from trainer.reports import tables

FMRS = (1e-3, 1e-2)
"""The TAR at the first of these rates that val people can show judges."""
MOST_LOST = 0.01
"""A bundle whose TAR falls by more than this on val people is not worth its speed, and is not written."""
TIMED, TURNS = 24, 5
"""Each model takes so many crops one by one, so many times in turns; the median time counts."""


def run(options: argparse.Namespace) -> None:
    """`quantise`."""
    before, card = onnx_embedder(options.bundle)
    parts = datasets.parts(Recipe(), options.data, options.split, decided=options.decisions)
    val, people = parts["val"], parts["calibration"]
    if options.to == "int8" and not len(parts["fit"]):
        raise DataError("no people are in the part fit", "give people to learn the tensors' ranges from")
    if len(val.people) < 2 or len(people.people) < 2:
        raise DataError("fewer than two people are in the part val or calibration", "put more people into these parts")
    console = terminal.console()
    for line in (allowance.of_val(val.person), allowance.of_calibration(len(people.people))):
        terminal.say(line)
    original = onnx.load(options.bundle)
    model = quantise.halved(original) if options.to == "half" else quantise.quantised(original, parts["fit"].pixels)
    after, _ = onnx_embedder(model.SerializeToString())
    console.print(_compared(before, after, val, people, options.to))
    sizes = options.bundle.stat().st_size, model.ByteSize()
    console.print(_costs(sizes, _seconds([original.SerializeToString(), model.SerializeToString()], val.pixels[:TIMED]), options.to))
    golden = export.golden_vectors(after)
    calibration = calibrate.calibrate(after, people, f"{persons(len(people.people), 'calibration')} of {options.data.name}")
    digest = hashlib.sha256(options.bundle.read_bytes()).hexdigest()
    made = msgspec.structs.replace(
        card,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        notes="; ".join(filter(None, [f"{options.to}, quantised from the bundle with sha256 {digest}", card.notes])),
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


def _compared(before: Embed, after: Embed, val: Crops, others: Crops, to: str = "int8") -> Table:
    """Both models' figures on val people, with the others as strangers. Raises QuantiseError if the second model is much worse."""
    person = np.concatenate([val.person, others.person + len(val.people)])
    vectors = [np.concatenate([embed(val.pixels), embed(others.pixels)]) for embed in (before, after)]
    figures = [evaluate.open_set_figures(found, person, "val") for found in vectors]
    alike = np.sum(vectors[0].astype(np.float64) * vectors[1], axis=1)
    of = f"{counted(len(val), 'crop')} of {persons(len(val.people), 'val')}, {counted(len(others.people), 'stranger')}"
    away = f"mean {1 - alike.mean():.1e}, worst {1 - alike.min():.1e}"
    table = Table(Column("", no_wrap=True), "before", to, title=f"{of}; 1 - cosine of before and {to}: {away}")
    pairs = [metrics.all_pairs(found[: len(val)], val.person) for found in vectors]
    points = [[metrics.at_fmr(*both, fmr) for both in pairs] for fmr in FMRS]
    shown = [(one, other) for one, other in points if one.threshold is not None and other.threshold is not None]
    if not shown or not len(pairs[0][0]):
        raise QuantiseError(
            "the val people are too few to judge the new bundle", "give val people with two crops or more; no file was written"
        )
    for one, other in shown:
        table.add_row(f"TAR at FMR {one.target:g}", f"{one.tar:.4f}", f"{other.tar:.4f}")
    for first, second in zip(*figures, strict=True):
        table.add_row(first.name, *(_with_interval(figure) for figure in (first, second)))
    one, other = shown[0]
    if not other.tar > one.tar - MOST_LOST:
        fall = f"the TAR at FMR {one.target:g} falls from {one.tar:.4f} to {other.tar:.4f}"
        raise QuantiseError(f"as {to} {fall}", "keep the float bundle; no file was written")
    return table


def _with_interval(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "-" if figure.value is None else f"{figure.value:.4f}"
    return f"{figure.value:.4f} ({figure.low:.4f} … {figure.high:.4f})"


def _seconds(models: Sequence[bytes], crops: NDArray[np.uint8]) -> list[float]:
    """Seconds for one crop, for each model: they take turns, so that another load on the machine is the same for all."""
    embeds = [onnx_embedder(model, batch=1)[0] for model in models]
    found: list[list[float]] = [[] for _ in embeds]
    for turn in range(TURNS + 1):
        for place, embed in enumerate(embeds):
            start = time.perf_counter()
            embed(crops)
            if turn:  # the first one warms up
                found[place].append((time.perf_counter() - start) / len(crops))
    return [float(np.median(seconds)) for seconds in found]


def _costs(sizes: tuple[int, int], seconds: Sequence[float], to: str) -> Table:
    table = Table("", "before", to, title="file and time")
    table.add_row("file", *(f"{size / 1e6:.2f} MB" for size in sizes))
    table.add_row("one crop, on this CPU", *(f"{1000 * spent:.1f} ms" for spent in seconds))
    return table


def _with_card(model: onnx.ModelProto, card: Card) -> bytes:
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: msgspec.json.encode(card).decode()})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
