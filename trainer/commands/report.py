"""Write one HTML page about a run or a bundle."""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console

from trainer.commands.evaluate import crops_of
from trainer.measure import scoring
from trainer.people import data, datasets
from trainer.people.data import Crops, DataError
from trainer.reports import measure, page
from trainer.runs import Run

MOST = 2000  # drawings at most: the page shows all pairs of them


def run(options: argparse.Namespace) -> None:
    """`report`."""
    folder = Run(options.model) if options.model.is_dir() else None
    card = None
    if folder is not None:
        scorer = scoring.of_run(folder.recipe(), folder.weights())
        seen = str(folder.facts()["data_digest"])
    else:
        scorer, card = scoring.of_bundle(options.model)
        seen = card.data_digest
    pairs = data.pairs(options.pairs) if options.pairs is not None else None
    if folder is not None and folder.recipe().data.kind != "people":
        if pairs is not None:
            raise DataError("--pairs is for people", "leave it out: drawings are measured over all pairs")
        crops, on = _drawings(folder, options)
    else:
        crops, on = crops_of(options, folder, seen)
    measured = measure.measure(
        scorer.embed(crops.pixels),
        crops,
        pairs,
        scorer.similarity,
        folder.history() if folder is not None else (),
        card,
        model=options.model.name,
        on=on,
    )
    Console().print(f"{page.write(options.folder, measured, crops)} (it shows pictures of people: do not pass it on)", soft_wrap=True)


def _drawings(folder: Run, options: argparse.Namespace) -> tuple[Crops, str]:
    test = datasets.parts(folder.recipe(), options.data, None)["test"]
    rows = np.arange(0, len(test), max(1, -(-len(test) // MOST)))
    return test.at(rows), options.name or f"{len(rows)} test drawings"
