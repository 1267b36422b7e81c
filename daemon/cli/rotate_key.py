"""`ostiaryd rotate-key`: seal the store anew with a new key."""

import argparse
from pathlib import Path

from daemon.cli.say import console
from daemon.config import load
from daemon.core.counts import counted
from daemon.edges.store import rotate_key
from daemon.pipeline import opening


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    rotate = commands.add_parser(
        "rotate-key",
        help="seal the store anew with a new key",
        description="Seal everything in the store anew with a new key, which takes the place of the old one. The daemon must be stopped."
        " When it is interrupted, the next start finds the key that fits.",
    )
    rotate.add_argument("--config", type=Path, required=True, metavar="FILE")
    rotate.set_defaults(command=_rotate_key)


def _rotate_key(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    count = rotate_key(Path(config.state_dir), opening.key_file(config))
    said = f"{counted(count, 'record')} sealed with a new key; backups made before open only with the old one, and so do recordings"
    console().print(said)
    return 0
