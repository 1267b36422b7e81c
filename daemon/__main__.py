"""`ostiaryd`: run the gates, replay a recording, or check an installation."""

import argparse
import importlib
import logging
import sys
from functools import partial
from typing import NoReturn

from daemon.core.plain import show_anywhere
from daemon.runtime import RuntimeMissing, clash, need_runtime
from daemon.version import version

MODULES = {
    "run": "run",
    "setup": "setup",
    "check": "check",
    "audit": "audit",
    "rotate-key": "rotate_key",
    "backup": "backup",
    "restore": "backup",
    "export-person": "export_person",
    "calibrate": "calibrate",
    "record": "recordings",
    "recordings": "recordings",
    "flight": "flight",
    "replay": "replay",
    "liveness": "liveness",
}
"""Where each command is. Only the one that was asked for is imported: a gate that starts needs none of the others."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (failed), 2 (bad arguments) or 78 (configuration, bundle or device unusable)."""
    given = sys.argv[1:] if argv is None else argv
    show_anywhere(sys.stdout, sys.stderr)
    try:
        need_runtime()
    except RuntimeMissing as error:  # what tells it nicely cannot be imported without it
        sys.stderr.write(f"ostiaryd: {error.message}\n  hint: {error.hint}\n")
        return 78
    from daemon.cli.say import EXIT_CONFIG, EXIT_FAILED, FAILED, UNUSABLE, complain, log_to_stderr
    from daemon.serving.engine import EngineFailed

    arguments = _parser(given[0] if given else None).parse_args(given)
    log_to_stderr()
    if (wrong := clash()) is not None:
        logging.getLogger("ostiary").warning("%s; %s", wrong.message, wrong.hint)
    try:
        return int(arguments.command(arguments))
    except UNUSABLE as error:
        return complain(error.message, error.hint, EXIT_CONFIG)
    except FAILED as error:
        return complain(error.message, error.hint, EXIT_FAILED)
    except EngineFailed as error:
        logging.getLogger("ostiary").error("%s", error, exc_info=error.__cause__)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


def _parser(asked: str | None) -> argparse.ArgumentParser:
    """The parser of the command that was asked for; of all commands where there is no such command."""
    parser = argparse.ArgumentParser(prog="ostiaryd", description="The doorkeeper: camera frames in, access decisions out over MQTT.")
    parser.add_argument("--version", action="version", version=f"ostiary {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in [MODULES[asked]] if asked in MODULES else dict.fromkeys(MODULES.values()):
        importlib.import_module(f"daemon.cli.{module}").add_parser(commands)
    for one in (parser, *commands.choices.values()):
        one.error = partial(_usage, one.prog)  # type: ignore[method-assign]  # one line and a hint, as for every other failure
    return parser


def _usage(program: str, message: str) -> NoReturn:
    from daemon.cli.say import EXIT_USAGE, complain

    sys.exit(complain(message, f"`{program} --help` says what it takes", EXIT_USAGE))


if __name__ == "__main__":
    sys.exit(main())
