"""The command line of ostiaryctl."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from daemon.client.failures import USAGE, ClientError
from daemon.ctl.instants import instant, last_instant
from daemon.ctl.roster.arguments import add_roster

Run = Callable[[argparse.Namespace, Console], int]
"""Carries one command out; returns the exit code."""

STDOUT = Path("-")
"""Stands for the screen, where a file could be given."""

_ABOUT = "Enrol, revoke, suspend, list and watch over MQTT."
_CLEARABLE = ("name", "valid-from", "valid-until", "gates", "schedule", "consent")
_EXIT_CODES = "exit codes: 0 done · 1 refused or failed · 2 usage or bad input · 3 no answer in time, or no broker · 130 interrupted"


def parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser of all commands. `runs` has the function that carries each of them out."""
    # These options may stand before or after the command. SUPPRESS keeps the second parser from erasing what the first one read.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = shared.add_argument_group("broker and gate")
    group.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="take these options from FILE (~/.config/ostiary/client.toml, else /etc/ostiary/client.toml); options win",
    )
    group.add_argument("--config", type=Path, metavar="CONFIG.toml", help="take site, gate and broker from the daemon's configuration")
    group.add_argument("--host", help="the broker's host (127.0.0.1)")
    group.add_argument("--port", type=int, help="the broker's port (1883)")
    group.add_argument("--site", help="the site's name in the topics")
    group.add_argument("--gate", help="the gate (the first of CONFIG); `all` for every gate of the site")
    group.add_argument("--protocol", choices=("5", "3.1.1"), help="MQTT version (5)")
    group.add_argument("--username", help="the login at the broker")
    group.add_argument("--password-file", metavar="FILE", help="a file whose first line is the password")
    group.add_argument("--ca-file", metavar="PEM", help="a CA certificate; switches TLS on")
    group.add_argument("--cert-file", metavar="PEM", help="this user's certificate")
    group.add_argument("--key-file", metavar="PEM", help="the certificate's key")
    group.add_argument("--key", type=Path, metavar="FILE", help="sign commands with the key in this file, which `keygen` made")
    group.add_argument(
        "--gate-key",
        action="append",
        metavar="BASE64",
        help="believe only what this `public_key` of a gate has signed; may be repeated",
    )
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="how long to wait for an answer (10)")
    group.add_argument("--json", action="store_true", help="output for machines: one JSON object per line")
    whole = argparse.ArgumentParser(prog="ostiaryctl", description=_ABOUT, epilog=_EXIT_CODES, parents=[shared])
    whole.error = _usage  # type: ignore[method-assign]  # one line and a hint, as for every other failure
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, epilog=_EXIT_CODES, parents=[shared])
        command.error = _usage  # type: ignore[method-assign]
        command.set_defaults(run=runs[name], op=name)
        return command

    enroll = add("enroll", "enrol a person, or many, from picture files with one face each or from the gate's own camera")
    enroll.add_argument("person", nargs="?", metavar="PERSON", help="an employee number, never a name; with --image or --capture")
    pictures = enroll.add_mutually_exclusive_group(required=True)
    what = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF of any size; may be given several times"
    pictures.add_argument("--image", type=Path, action="append", metavar="A.jpg", help=what)
    pictures.add_argument(
        "--capture", type=_seconds, metavar="SECONDS", help="look at the person in front of the gate's camera for this many seconds"
    )
    pictures.add_argument("--csv", type=Path, metavar="PEOPLE.csv", help="enrol everybody in a CSV file; its first line names the columns")
    pictures.add_argument(
        "--folder",
        type=Path,
        metavar="PEOPLE/",
        help="enrol everybody in a folder: a sub-folder of pictures each: `E1042` or `E1042 Name`",
    )
    enroll.add_argument("--force", action="store_true", help="enrol even if the face looks like another enrolled person's")
    enroll.add_argument("--replace", action="store_true", help="delete the person's earlier templates; the new face may differ from them")
    enroll.add_argument("--dry-run", action="store_true", help="let the gate judge the pictures, and change nothing")
    _add_record(enroll)
    _add_many(enroll)
    update = add("update", "change a person's record; what is not given stays the same")
    update.add_argument("person", metavar="PERSON")
    _add_record(update)
    update.add_argument("--clear", action="append", choices=_CLEARABLE, default=[], metavar="WHAT", help=", ".join(_CLEARABLE))
    for name, what in (
        ("revoke", "erase a person, from the next frame on"),
        ("suspend", "reject a person, and keep the templates"),
        ("resume", "end a suspension"),
    ):
        add(name, what).add_argument("person", metavar="PERSON")
    claim = add("verify", "claim that the next person at the gate is PERSON; the gate accepts only that face")
    claim.add_argument("person", metavar="PERSON")
    claim.add_argument("--seconds", type=_seconds, default=10.0, metavar="N", help="1 to 60 (10); the gate's mode must be verify or both")
    add("ping", "check that the gate works, from the broker to its store")
    change = add("reembed", "change to the other configured model, or back; the gate keeps serving meanwhile")
    change.add_argument("--model", metavar="ID", help="the bundle's id (the configured one that is not in use)")
    change.add_argument("--force", action="store_true", help="change even if some pictures cannot be embedded again")
    add("get", "show one person's record").add_argument("person", metavar="PERSON")
    people = add("list", "list who is enrolled")
    people.add_argument("--after", metavar="PERSON", help="begin after this id")
    people.add_argument("--limit", type=_count, metavar="N", help="stop after N people; the last line says how to continue")
    people.add_argument(
        "--csv", nargs="?", const=STDOUT, type=Path, metavar="FILE", help="as CSV, which `sync` reads again; to the screen without FILE"
    )
    sync = add("sync", "make the gate's people those of a CSV file: revoke, update and enrol, after showing the difference")
    sync.add_argument(
        "--csv", type=Path, required=True, metavar="PEOPLE.csv", help="everybody who is to be enrolled, as for `enroll --csv`"
    )
    sync.add_argument("--yes", action="store_true", help="do it without asking")
    sync.add_argument("--dry-run", action="store_true", help="show the difference, and change nothing")
    sync.add_argument("--no-revoke", action="store_true", help="revoke nobody")
    sync.add_argument(
        "--revoke-many",
        type=_count,
        metavar="N",
        help="revoke up to N people, also if that is everybody, or more than 10 and a fifth",
    )
    sync.add_argument("--force", action="store_true", help="enrol even if a face looks like another enrolled person's")
    _add_many(sync)
    status = add("status", "show what the gates last said about themselves")
    status.add_argument("--forget", metavar="NAME", help="clear the last status of a gate that is gone, with a login that may write it")
    watch = add("watch", "show decisions as they are made")
    watch.add_argument("--count", type=int, metavar="N", help="stop after N decisions")
    watch.add_argument("--seconds", type=_seconds, metavar="N", help="stop after N seconds")
    documents = add("schema", "print the JSON Schemas of all messages; needs no broker").add_mutually_exclusive_group()
    documents.add_argument("--asyncapi", action="store_true", help="print an AsyncAPI 3 document instead")
    documents.add_argument("--markdown", action="store_true", help="print the tables of daemon/CONTRACT.md instead")
    keygen = add("keygen", "make a key that signs commands, and print what the gates' configuration needs to know of it")
    what = "make a key that opens the pictures of unknown people (decision.share_unknown) instead"
    keygen.add_argument("--visitors", action="store_true", help=what)
    keygen.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file for the secret; never written over")
    keygen.add_argument("--name", help="what the gates call the key (the name of FILE without its ending)")
    add_roster(commands, shared, runs["roster"], _usage)
    return whole


def _add_record(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", help="the name that is shown to people")
    command.add_argument(
        "--valid-from", type=instant, metavar="TIME", help="such as 2026-12-01 or 2026-12-01T08:00+01:00; local time if no offset is given"
    )
    command.add_argument("--valid-until", type=last_instant, metavar="TIME", help="a day without a time counts until its end")
    command.add_argument("--gate-allowed", action="append", metavar="GATE", help="may be given several times")
    command.add_argument("--schedule", metavar="NAME", help="when the person may pass: the name of a schedule in the gate's configuration")
    command.add_argument("--consent", help="where the person's consent is filed")


def _add_many(command: argparse.ArgumentParser) -> None:
    many = command.add_argument_group("many people")
    many.add_argument("--report", type=Path, metavar="OUT.csv", help="write what came of everybody as CSV")
    many.add_argument(
        "--journal", type=Path, metavar="FILE", help="where to note the answers, to go on after a break (PEOPLE.csv.progress)"
    )
    many.add_argument(
        "--wait", type=_seconds, default=300.0, metavar="SECONDS", help="how long to wait for a broker or gate that is gone (300)"
    )


def _usage(message: str) -> NoReturn:
    raise ClientError(USAGE, message, "see `ostiaryctl --help`, or `ostiaryctl COMMAND --help`")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400 * 365:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
