"""Show runs side by side."""

from __future__ import annotations

import argparse

from daemon.edges.files import replace
from trainer import terminal
from trainer.reports import side_by_side


def run(options: argparse.Namespace) -> None:
    """`compare`."""
    runs = side_by_side.compare(options.runs)
    terminal.console().print(side_by_side.table(runs))
    if options.html is not None:
        replace(options.html, side_by_side.page(runs).encode())
