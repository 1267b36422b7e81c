"""Make a bundle of any face-embedding ONNX model."""

from __future__ import annotations

import argparse

from trainer.bundle import adopt
from trainer.people import datasets
from trainer.recipes.values import Recipe


def run(options: argparse.Namespace) -> None:
    """`adopt`."""
    # The default recipe reads people as colour crops of 112x112.
    parts = datasets.parts(Recipe(), options.data, options.split)
    adopt.adopt(
        options.model,
        options.bundle,
        parts["val"],
        parts["calibration"],
        name=options.name or options.model.stem,
        licence=options.licence,
        order=options.order,
        mean=options.mean,
        scale=options.scale,
        notes=options.notes,
        source=options.data.name,
    )
