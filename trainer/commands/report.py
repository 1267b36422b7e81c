"""Write one HTML page about a run or a bundle."""

from __future__ import annotations

import argparse

import numpy as np

from trainer import terminal
from trainer.commands import model
from trainer.commands.evaluate import crops_of
from trainer.commands.model import NOUNS, Model
from trainer.models.dlib_file import DlibError
from trainer.people import data, datasets
from trainer.people.data import Crops, DataError
from trainer.reports import measure, page, tables
from trainer.reports.measure import Earlier

MOST = 2000  # drawings at most: the page shows all pairs of them


def run(options: argparse.Namespace) -> None:
    """`report`."""
    of = model.opened(options.model)
    pairs = data.pairs(options.pairs) if options.pairs is not None else None
    people = of.recipe.data.kind == "people"
    if not people and pairs is not None:
        raise DataError("--pairs is for people", "leave it out: drawings are measured over all pairs")
    crops, on = crops_of(options, of) if people else _drawings(of, options)
    measured = measure.measure(
        of.scorer.embed(crops.pixels),
        crops,
        pairs,
        of.scorer.similarity,
        of.folder.history() if of.folder is not None else (),
        of.card,
        model=options.model.name,
        on=on,
        earlier=_earlier(of, crops),
        noun=NOUNS[of.recipe.data.kind],
    )
    written = page.write(options.folder, measured, crops)
    if measured.classes is not None:
        terminal.console().print(tables.classes(measured.classes, on))
    terminal.say(f"{written}{' (it shows pictures of people: do not pass it on)' if people else ''}")


def _earlier(of: Model, crops: Crops) -> Earlier | None:
    """What a run's training is compared with."""
    if of.folder is None:
        return None
    try:
        fresh = model.started(of.recipe, of.folder) is None
        before = model.before(of.folder)
    except DlibError:  # a report of the rest is worth having without dlib's package
        return None
    if before is None:
        return None
    what = "the network before its first step" if fresh else "the weights that the run started with"
    return Earlier(before.embed(crops.pixels), before.similarity, what)


def _drawings(of: Model, options: argparse.Namespace) -> tuple[Crops, str]:
    test = datasets.parts(of.recipe, options.data, None)["test"]
    rows = np.arange(0, len(test), max(1, -(-len(test) // MOST)))
    return test.at(rows), options.name or f"{len(rows)} test drawings"
