"""Make crops of photos."""

from __future__ import annotations

import argparse

from trainer.people.prepare import prepare


def run(options: argparse.Namespace) -> None:
    """`prepare`."""
    prepare(options.photos, options.crops, options.detector, options.faces, options.quality, options.prune, options.decisions)
