"""`ostiaryd`: run the gates, replay a recording, or check an installation."""

import argparse
import logging
import sys
from functools import partial
from typing import NoReturn

from daemon.cli import audit, backup, calibrate, check, export_person, flight, liveness, recordings, replay, rotate_key, run
from daemon.cli.say import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE, FAILED, UNUSABLE, complain
from daemon.serving.engine import EngineFailed
from daemon.version import version


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (failed), 2 (bad arguments) or 78 (configuration, bundle or device unusable)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ostiaryd", description="The doorkeeper: camera frames in, access decisions out over MQTT.")
    parser.add_argument("--version", action="version", version=f"ostiary {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run.add_parser(commands)
    check.add_parser(commands)
    audit.add_parser(commands)
    rotate_key.add_parser(commands)
    backup.add_parsers(commands)
    export_person.add_parser(commands)
    calibrate.add_parser(commands)
    recordings.add_parsers(commands)
    flight.add_parser(commands)
    replay.add_parser(commands)
    liveness.add_parser(commands)
    for one in (parser, *commands.choices.values()):
        one.error = partial(_usage, one.prog)  # type: ignore[method-assign]  # one line and a hint, as for every other failure
    return parser


def _usage(program: str, message: str) -> NoReturn:
    sys.exit(complain(message, f"`{program} --help` says what it takes", EXIT_USAGE))


if __name__ == "__main__":
    sys.exit(main())
