"""`ostiaryd backup` and `ostiaryd restore`: the command lines."""

import argparse
import time
from pathlib import Path

from daemon.cli.say import console
from daemon.config import load
from daemon.core.counts import counted, persons
from daemon.core.messages import utc
from daemon.edges.store import back_up, read_passphrase, restore
from daemon.pipeline import opening


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Both commands, as `ostiaryd` knows them."""
    make = commands.add_parser(
        "backup",
        help="the store and its key into one sealed file",
        description="Write the store and its key into one file, sealed with a passphrase. A daemon may go on serving meanwhile.",
    )
    make.add_argument("--force", action="store_true", help="write over a file that is there")
    make.set_defaults(command=_backup)

    back = commands.add_parser(
        "restore",
        help="a backup into a state_dir without a gallery",
        description="Put a backup into a state_dir that has no gallery. The daemon must be stopped. Nobody knows who was revoked since the"
        " backup: people come back suspended.",
    )
    back.add_argument(
        "--replace", action="store_true", help="put the gallery that is there aside, and bring its revocations and suspensions over"
    )
    back.add_argument("--active", action="store_true", help="people may enter as they could at the backup: nobody was revoked since")
    back.set_defaults(command=_restore)
    for command in (make, back):
        command.add_argument("file", type=Path, metavar="FILE")
        command.add_argument("--passphrase-file", type=Path, required=True, metavar="FILE", help="its first line is the passphrase")
        command.add_argument("--config", type=Path, required=True, metavar="FILE")


def _backup(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    passphrase = read_passphrase(arguments.passphrase_file)
    done = back_up(Path(config.state_dir), arguments.file, passphrase, time.time(), opening.key_file(config), arguments.force)
    _say(f"{persons(done.people)}, {counted(done.templates, 'template')}, gallery revision {done.revision}, and the key: {arguments.file}")
    if done.damaged:
        _say(f"damaged in the backup too, and serving nobody: {', '.join(done.damaged)}")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    passphrase = read_passphrase(arguments.passphrase_file)
    now = time.time()
    done = restore(
        Path(config.state_dir), arguments.file, passphrase, now, opening.key_file(config), arguments.replace, arguments.active
    )  # fmt: skip
    line = f"{persons(done.people)} of the backup of {utc(done.made_at)} restored"
    if done.suspended:
        line += f"; {done.suspended} of them suspended, because they may have been revoked or changed since then: resume who may enter"
    if done.revoked:
        line += f"; {done.revoked} revoked since then and not restored"
    _say(line)
    if done.damaged:
        _say(f"damaged in the backup already, and serving nobody: {', '.join(done.damaged)}")
    if done.aside is not None:
        _say(f"the gallery before is {done.aside}: delete it soon, it still holds whoever is revoked from now on")
    return 0


def _say(line: str) -> None:
    console().print(line)
