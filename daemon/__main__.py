"""`ostiaryd`: run the gates, replay a recording, or check an installation."""

import argparse
import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from daemon.cli import audit as audit_lines
from daemon.cli import backup, calibrate, export_person, flight, liveness, recordings, replay
from daemon.cli.replay import pairs
from daemon.config import Config, ConfigError, load
from daemon.core.audit import DIGEST_BYTES, AuditError, HeadError
from daemon.edges.film import FilmError
from daemon.edges.store import StoreError, rotate_key
from daemon.serving import app
from daemon.serving.engine import EngineFailed

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: the unit file tells systemd that a restart would not help


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (failed), 2 (bad arguments) or 78 (configuration, bundle or device unusable)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        return int(arguments.command(arguments))
    except app.Unusable as error:
        return _complain(error.message, error.hint, EXIT_CONFIG)
    except (StoreError, AuditError, HeadError, FilmError) as error:
        return _complain(error.message, error.hint, EXIT_FAILED)
    except EngineFailed as error:
        logging.getLogger("ostiary").error("%s", error, exc_info=error.__cause__)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


def _complain(message: str, hint: str, status: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"ostiaryd: {message}\n  hint: {hint}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ostiaryd", description="The doorkeeper: camera frames in, access decisions out over MQTT.")
    parser.add_argument("--version", action="version", version=f"ostiary {app.version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="serve the gates of a configuration", description="Serve the gates of a configuration until stopped."
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument(
        "--source", action="append", default=[], metavar="GATE=SOURCE", help="another source for a gate than the configuration's"
    )
    run.add_argument("--until-end", action="store_true", help="stop when every source is a recording and has been seen to its end")
    run.set_defaults(command=_run)

    check = commands.add_parser(
        "check", help="try every part of an installation", description="Try every part of an installation, changing nothing."
    )
    check.add_argument("--config", type=Path, required=True, metavar="FILE")
    check.add_argument("--audit", action="store_true", help="follow the audit chain from end to end, and try nothing else")
    check.add_argument("--head", type=_head, metavar="HEX", help="the same, and it must pass through this head of a status message")
    check.set_defaults(command=_check)

    audit = commands.add_parser(
        "audit",
        help="the records of commands and decisions",
        description="Print the records of commands and decisions, oldest first, changing nothing. They name people by pseudonyms.",
    )
    audit.add_argument("--config", type=Path, required=True, metavar="FILE")
    audit.add_argument(
        "--since", type=_instant, metavar="TIME", help="from this day or instant on (RFC 3339, UTC unless it says otherwise)"
    )
    audit.add_argument("--person", metavar="ID", help="the records of somebody who is enrolled")
    audit.add_argument("--json", action="store_true", help="one JSON line each, with number and digest")
    audit.set_defaults(command=_audit)

    rotate = commands.add_parser(
        "rotate-key",
        help="seal the store anew with a new key",
        description="Seal everything in the store anew with a new key, which takes the place of the old one. The daemon must be stopped."
        " When it is interrupted, the next start finds the key that fits.",
    )
    rotate.add_argument("--config", type=Path, required=True, metavar="FILE")
    rotate.set_defaults(command=_rotate_key)

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
    sys.exit(_complain(message, f"`{program} --help` says what it takes", EXIT_USAGE))


def _run(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    for gate, source in pairs(arguments.source, "--source", "GATE=SOURCE"):
        if gate not in config.gates:
            raise ConfigError(f"--source: no gate {gate!r} in {arguments.config}", f"its gates are {', '.join(config.gates)}")
        config = replace(config, gates={**config.gates, gate: replace(config.gates[gate], source=source)})
    app.run(config, arguments.until_end)
    return 0


def _head(text: str) -> bytes:
    head = bytes.fromhex(text)
    if len(head) != DIGEST_BYTES:
        raise ValueError
    return head


def _instant(text: str) -> str:
    return audit_lines.instant(text)


# argparse says: invalid <name> value
_head.__name__, _instant.__name__ = "head (64 hexadecimal digits)", "time (2027-03-01 or 2027-03-01T08:00+01:00)"


def _audit(arguments: argparse.Namespace) -> int:
    store = app.open_gallery(load(arguments.config), read_only=True)
    try:
        pseudonym = audit_lines.pseudonym_of(store, arguments.person) if arguments.person is not None else None
        if not arguments.json:
            sys.stdout.write(audit_lines.HEADING + "\n")
        for line in audit_lines.lines(store, arguments.since, pseudonym, exact=arguments.json):
            sys.stdout.write(line + "\n")
    finally:
        store.close()
    return 0


def _check_audit(config: Config, head: bytes | None) -> int:
    store = app.open_gallery(config, read_only=True)
    try:
        sys.stdout.write(f"audit: {audit_lines.whole(store.audit.verify(head))}\n")
    finally:
        store.close()
    return 0


def _check(arguments: argparse.Namespace) -> int:
    if arguments.audit or arguments.head is not None:
        return _check_audit(load(arguments.config), arguments.head)
    findings = app.check(load(arguments.config))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for part, works, seen in findings:
        table.add_row("[green]✓[/]" if works else "[red]✗[/]", part, seen)
    Console(highlight=False, width=None if sys.stdout.isatty() else 250).print(table)  # in files and pipes it need not fit a screen
    return 0 if all(works for _, works, _ in findings) else EXIT_FAILED


def _rotate_key(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    count = rotate_key(Path(config.state_dir), app.key_file(config))
    said = f"{count} records sealed with a new key; backups made before open only with the old one, and so do recordings"
    Console(highlight=False, soft_wrap=True).print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
