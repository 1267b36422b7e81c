"""The administrator's file of a fleet, read and written; and the boxes as their statuses show them."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from daemon.client import secret_files
from daemon.client.broker import Broker, Heard
from daemon.client.failures import NO_ANSWER, USAGE, ClientError
from daemon.client.keys import Gates, Signer, read_signer
from daemon.client.seen import Seen, read_status
from daemon.client.target import Target, target
from daemon.core import messages as m
from daemon.core import signing
from daemon.core.people.fleet_file import Fleet, from_text, to_text
from daemon.core.people.roster_wire import RosterError

_MOST = 1 << 20
_HINT = "give the file that `ostiaryctl roster init --out FILE` made"
FIRST_S, NEXT_S = 1.0, 0.3
"""How long to wait for the first status, and for the next one when one has come."""


@dataclass(frozen=True, slots=True)
class Known:
    """A box as one of its gates shows it."""

    gate: str
    seen: Seen
    roster: m.RosterStatus
    topic: str
    payload: bytes


def whole_site(args: argparse.Namespace) -> Target:
    """All gates of the site, whichever the settings usually mean. Raises ClientError."""
    return target(vars(args) | {"gate": "+"}, any_gate=True)


def read_fleet(path: Path) -> Fleet:
    """Raises ClientError."""
    try:
        return from_text(secret_files.read(path, _MOST, _HINT).decode("ascii"))
    except (RosterError, UnicodeDecodeError) as error:
        raise ClientError(USAGE, f"{path} does not hold the keys of a fleet: {error}", _HINT) from None


def write_fleet(path: Path, fleet: Fleet) -> None:
    """Raises ClientError, and then the file is as it was."""
    secret_files.exchange(path, to_text(fleet))


def fleet_of(args: argparse.Namespace, to: Target) -> Fleet:
    """The fleet of --keys. Raises ClientError, also for one of another site."""
    fleet = read_fleet(args.keys)
    if fleet.site != to.site:
        raise ClientError(
            USAGE, f"{args.keys} has the keys of site {fleet.site}, not of {to.site}", "give the file of this site, or --site"
        )
    return fleet


def administrator(args: argparse.Namespace) -> Signer:
    """The administrator's key. Raises ClientError."""
    if not hasattr(args, "key"):
        hint = "give --key with the file of `ostiaryctl keygen` whose public key is roster.admin in the boxes' configuration"
        raise ClientError(USAGE, "the administrator's key is missing", hint)
    return read_signer(args.key)


def boxes(broker: Broker, gates: Gates, first_s: float) -> tuple[dict[str, list[Known]], list[str]]:
    """What the gates of each box said last, by the name of the box, and the gates for which others spoke."""
    found: dict[str, dict[str, Known]] = {}
    forged: set[str] = set()
    deadline_s = time.monotonic() + first_s
    while (heard := broker.next(NEXT_S if found or forged else deadline_s - time.monotonic())) is not None:
        if not isinstance(heard, Heard) or not heard.topic.endswith("/status") or not heard.payload:
            continue
        gate = heard.topic.split("/")[-2]
        if not gates.said(heard.topic, heard.payload):
            forged.add(gate)
        elif (seen := read_status(heard.payload)).roster is not None:
            found.setdefault(seen.roster.name, {})[gate] = Known(gate, seen, seen.roster, heard.topic, heard.payload)
    return {name: [them[gate] for gate in sorted(them)] for name, them in sorted(found.items())}, sorted(forged)


def of_fleet(found: dict[str, list[Known]], fleet: Fleet) -> tuple[dict[str, list[Known]], list[str]]:
    """The boxes of the fleet that said this themselves, and the gates of others. Those that are retired are left out."""
    own: dict[str, list[Known]] = {}
    others = []
    for name, them in found.items():
        for one in them:
            box = fleet.boxes.get(name)
            if box is None or not signing.said_by(signing.public_key(box.public), one.topic, one.payload):
                others.append(one.gate)
            elif not box.retired:
                own.setdefault(name, []).append(one)
    return own, others


def one_box(found: dict[str, list[Known]], name: str, forged: list[str]) -> Known:
    """The box of this name. Raises ClientError."""
    if name in found:
        return found[name][0]
    if forged:
        message = f"no box {name} among the gates that are believed; {', '.join(forged)} is not signed with --gate-key"
        raise ClientError(NO_ANSWER, message, "compare --gate-key with the public key that `ostiaryd check` shows at the box")
    known = f"; there are {', '.join(found)}" if found else ""
    hint = f'set roster.name = "{name}" in the configuration of the box, and start it'
    raise ClientError(NO_ANSWER, f"no gate has said that it belongs to the box {name}{known}", hint)
