"""The command line of `ostiaryctl roster`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

_ABOUT = "what the boxes of a fleet share: its keys, and whether all of them hold the same people (deploy/fleet.md)"


def add_roster(commands: Any, shared: argparse.ArgumentParser, run: Callable[..., int], usage: Callable[[str], NoReturn]) -> None:
    """Add the command to the parsers of the others."""
    roster = commands.add_parser("roster", help=_ABOUT, description=_ABOUT, parents=[shared])
    roster.error = usage
    steps = roster.add_subparsers(required=True, metavar="STEP")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        step: argparse.ArgumentParser = steps.add_parser(name, help=what, description=what, parents=[shared])
        step.error = usage  # type: ignore[assignment,method-assign]
        step.set_defaults(run=run, op=f"roster {name}")
        return step

    def keys(step: argparse.ArgumentParser) -> None:
        step.add_argument("--keys", type=Path, required=True, metavar="FILE", help="the fleet's keys, which `roster init` made")

    init = add("init", "make the keys of a new fleet, and print what the boxes' configuration needs to know")
    init.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file for the keys; never written over")
    admit = add("admit", "give the fleet's keys to a box; who it is must be known by --gate-key, or is asked at the terminal")
    admit.add_argument("box", metavar="BOX", help="the box's name in the roster")
    keys(admit)
    config = add("config", "print [roster] for the configuration of a box: its name, and all other boxes")
    config.add_argument("box", metavar="BOX", help="the box's name in the roster")
    keys(config)
    status = add("status", "show for each box whether it holds the whole roster")
    status.add_argument("--keys", type=Path, metavar="FILE", help="believe only the boxes of this file, and name those that are silent")
    keys(add("verify", "read all records at the broker and check each: signatures, seals, what the head counts, who is disputed"))
    rebuild = add("rebuild", "let a box throw away what came from the others, and read it from the broker anew")
    rebuild.add_argument("box", metavar="BOX", help="the box's name in the roster")
    rotate = add("rotate-key", "make a new key that seals records from now on, and give it to every box")
    keys(rotate)
    what = rotate.add_mutually_exclusive_group()
    what.add_argument("--retire", metavar="BOX", help="this box is stolen or gone: it gets no keys any more")
    what.add_argument("--forget", action="store_true", help="make no key, but drop those under which no record is left")
