"""Which step of `ostiaryctl roster` is carried out by what."""

import argparse
from collections.abc import Callable

from rich.console import Console

from daemon.ctl.roster.admitting import admit, show_section, start_fleet
from daemon.ctl.roster.rebuilding import rebuild
from daemon.ctl.roster.rotating import rotate
from daemon.ctl.roster.standing import show_standing
from daemon.ctl.roster.verifying import verify

_STEPS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "roster init": start_fleet,
    "roster admit": admit,
    "roster config": show_section,
    "roster status": show_standing,
    "roster verify": verify,
    "roster rebuild": rebuild,
    "roster rotate-key": rotate,
}


def run_roster(args: argparse.Namespace, out: Console) -> int:
    """Carry out one step; returns the exit code."""
    return _STEPS[args.op](args, out)
