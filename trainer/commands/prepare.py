"""Make crops of photos."""

from __future__ import annotations

import argparse

from trainer.people import prepare


def run(options: argparse.Namespace) -> None:
    """`prepare`."""
    prepare.prepare(options.photos, options.crops, options.detector)
