"""Say whether two pictures show the same person."""

from __future__ import annotations

import argparse

from trainer.measure import same


def run(options: argparse.Namespace) -> None:
    """`same`."""
    if options.references is not None:
        same.references(options.model, options.pictures, options.references, options.detector, options.fmr)
    elif len(options.pictures) == 2:
        a, b = options.pictures
        same.same(options.model, a, b, options.detector, options.fmr)
    else:
        raise same.SameError(
            f"{len(options.pictures)} pictures are given", "give two pictures, or --references with a picture of each person"
        )
