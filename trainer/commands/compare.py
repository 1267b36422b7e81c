"""Runs side by side."""

from __future__ import annotations

import argparse

from trainer import side_by_side


def run(options: argparse.Namespace) -> None:
    """`compare`."""
    side_by_side.compare(options.runs, options.html)
