"""Show runs side by side."""

from __future__ import annotations

import argparse

from rich.console import Console

from daemon.edges.files import replace
from trainer.reports import side_by_side


def run(options: argparse.Namespace) -> None:
    """`compare`."""
    runs = side_by_side.compare(options.runs)
    Console().print(side_by_side.table(runs))
    if options.html is not None:
        replace(options.html, side_by_side.page(runs).encode())
