"""What may be said to ostiaryctl, and which gate and broker it means."""

import argparse
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import msgspec
from rich.console import Console

from daemon.config import load, read_secret
from daemon.core import messages as m
from daemon.ctl.broker import USAGE, Address, CtlError

Run = Callable[[argparse.Namespace, Console], int]
"""Carries one command out; returns the exit code."""

_ABOUT = "Enrol, revoke, suspend, list and watch over MQTT."
_CLEARABLE = ("name", "valid-from", "valid-until", "gates", "schedule", "consent")
_EXIT_CODES = "exit codes: 0 done · 1 refused or failed · 2 usage or bad input · 3 no answer in time, or no broker · 130 interrupted"


def parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser of every command; `runs` says what carries each out."""
    # Options of all commands may stand before or behind the command; SUPPRESS keeps one place from erasing the other.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = shared.add_argument_group("broker and gate")
    group.add_argument("--config", type=Path, metavar="CONFIG.toml", help="take site, gate and broker from the daemon's configuration")
    group.add_argument("--host", help="broker (127.0.0.1)")
    group.add_argument("--port", type=int, help="its port (1883)")
    group.add_argument("--site", help="the site's name in the topics")
    group.add_argument("--gate", help="the gate (the first of CONFIG); `all` for every gate of the site")
    group.add_argument("--protocol", choices=("5", "3.1.1"), help="MQTT version (5)")
    group.add_argument("--username")
    group.add_argument("--password-file", metavar="FILE", help="its first line is the password")
    group.add_argument("--ca-file", metavar="PEM", help="a CA certificate; switches TLS on")
    group.add_argument("--cert-file", metavar="PEM")
    group.add_argument("--key-file", metavar="PEM")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="how long to wait for an answer (10)")
    group.add_argument("--json", action="store_true", help="output for machines: one JSON object a line")
    whole = argparse.ArgumentParser(prog="ostiaryctl", description=_ABOUT, epilog=_EXIT_CODES, parents=[shared])
    whole.error = _usage  # type: ignore[method-assign]  # one line and a hint, as for every other failure
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, epilog=_EXIT_CODES, parents=[shared])
        command.error = _usage  # type: ignore[method-assign]
        command.set_defaults(run=runs[name], op=name)
        return command

    enroll = add("enroll", "enrol a person, or add pictures of one, from JPEG files with one face each or the gate's own camera")
    enroll.add_argument("person", metavar="PERSON", help="an employee number, never a name")
    pictures = enroll.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--image", type=Path, action="append", metavar="A.jpg", help="may be given several times")
    pictures.add_argument("--capture", type=_seconds, metavar="SECONDS", help="look at who stands before the gate's camera for so long")
    enroll.add_argument("--force", action="store_true", help="also if the face looks like another enrolled person's")
    enroll.add_argument("--replace", action="store_true", help="let all earlier templates of the person go; the face may be another one")
    _add_record(enroll)
    update = add("update", "change a person's record; what is not given stays as it is")
    update.add_argument("person", metavar="PERSON")
    _add_record(update)
    update.add_argument("--clear", action="append", choices=_CLEARABLE, default=[], metavar="WHAT", help=", ".join(_CLEARABLE))
    for name, what in (
        ("revoke", "erase a person; from the next frame on"),
        ("suspend", "keep the templates, reject the person"),
        ("resume", "end a suspension"),
    ):
        add(name, what).add_argument("person", metavar="PERSON")
    claim = add("verify", "a claim: the next person at the gate is this one, and is let in only if the face is theirs")
    claim.add_argument("person", metavar="PERSON")
    claim.add_argument("--seconds", type=_seconds, default=10.0, metavar="N", help="1 to 60 (10); the gate's mode is verify or both")
    add("ping", "is the whole line from broker to store alive?")
    change = add("reembed", "change to the other configured model, or back; the gate serves on meanwhile")
    change.add_argument("--model", metavar="ID", help="the bundle's id (else the configured one that does not serve)")
    change.add_argument("--force", action="store_true", help="also if somebody's pictures cannot be embedded again")
    add("get", "one person's record").add_argument("person", metavar="PERSON")
    people = add("list", "who is enrolled")
    people.add_argument("--after", metavar="PERSON", help="begin behind this id")
    people.add_argument("--limit", type=_count, metavar="N", help="stop after N people; the last line says how to go on")
    add("status", "what the gates last said of themselves")
    watch = add("watch", "decisions as they are made")
    watch.add_argument("--count", type=int, metavar="N", help="stop after N decisions")
    watch.add_argument("--seconds", type=_seconds, metavar="N", help="stop after N seconds")
    return whole


def _add_record(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", help="for people to read")
    command.add_argument("--valid-from", type=_instant, metavar="TIME", help="2026-12-01 or 2026-12-01T08:00+01:00; else local time")
    command.add_argument("--valid-until", type=_last_instant, metavar="TIME", help="a day without a time counts to its end")
    command.add_argument("--gate-allowed", action="append", metavar="GATE", help="may be given several times")
    command.add_argument("--schedule", metavar="NAME", help="when the person may pass: one of the gate's configuration")
    command.add_argument("--consent", help="where the person's consent is kept")


def _usage(message: str) -> NoReturn:
    raise CtlError(USAGE, message, "see `ostiaryctl --help`, or `ostiaryctl COMMAND --help`")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400 * 365:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-12-01 or 2026-12-01T08:00+01:00") from None


def _last_instant(text: str) -> datetime:
    value = _instant(text)
    return value + timedelta(days=1, milliseconds=-1) if len(text) <= len("2026-12-01") else value


def where(args: argparse.Namespace, any_gate: bool) -> tuple[Address, str, str]:
    """Address, site and gate, from the configuration and then from the options, which win. `+` is any gate."""
    given = vars(args)
    options = {k: given[k] for k in ("host", "port", "protocol", "username", "ca_file", "cert_file", "key_file") if k in given}
    password_file, site, gates = "", "", ["+"] if any_gate else []
    if "config" in given:
        config = load(given["config"])
        mqtt = config.mqtt
        password_file, site = mqtt.password_file, config.site
        gates = gates or list(config.gates)
        # The daemon's own login comes along; a broker whose ACL forbids the daemon to command itself wants --username and --password-file.
        options = {k: getattr(mqtt, k) for k in ("host", "port", "protocol", "username", "ca_file", "cert_file", "key_file")} | options
    site = given.get("site", site)
    if not m.is_topic_segment(site):
        raise CtlError(USAGE, f"{site!r} is no site" if site else "which site?", "give --site, or --config with the daemon's configuration")
    gate = given.get("gate", gates[0] if gates else "")  # the gates of one daemon share their people, so any of them will do
    if not (any_gate and gate == "+") and not m.is_topic_segment(gate):
        raise CtlError(USAGE, f"{gate!r} is no gate" if gate else "which gate?", "give --gate, `all` for every gate of the site")
    port = options.get("port", 1883)
    if not 0 < port < 65_536:
        raise CtlError(USAGE, f"{port} is no port", "1883 is usual, 8883 with TLS")
    # The configuration's password is the configuration's user's.
    password_file = given.get("password_file", "" if "username" in given else password_file)
    password = read_secret(password_file, "--password-file") if password_file else None
    defaults = {"host": "127.0.0.1", "port": port, "protocol": "5", "password": password}
    return msgspec.convert(defaults | options, Address), site, gate
