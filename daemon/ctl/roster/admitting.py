"""init and admit: the keys of a new fleet, and who gets them."""

import argparse
import secrets
import sys
import time
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.text import Text

from daemon.client import secret_files
from daemon.client.broker import Broker
from daemon.client.failures import DONE, REFUSED, USAGE, ClientError
from daemon.client.keys import Gates, believed
from daemon.core import sealed_box, signing
from daemon.core.people import site_keys
from daemon.core.people.fleet_file import Box, Fleet, section, to_text, writer
from daemon.core.people.roster_wire import KEY_BYTES
from daemon.ctl.asking import TIMEOUT_S
from daemon.ctl.roster.fleet import FIRST_S, Known, administrator, boxes, fleet_of, one_box, whole_site, write_fleet
from daemon.ctl.text import safe, to_json


def start_fleet(args: argparse.Namespace, out: Console) -> int:
    """roster init: write new site keys, and print what every box needs to know."""
    to, admin = whole_site(args), administrator(args)
    edition = site_keys.first(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES), time.time())
    secret_files.make(args.out, to_text(Fleet(to.site, edition)))
    public = signing.public_text(admin.key)
    if hasattr(args, "json"):
        out.print(Text(to_json({"site": to.site, "admin": public, "file": str(args.out)})))
        return DONE
    out.print(Text(f"# {args.out} is secret, and the fleet cannot be changed without it: keep a copy elsewhere.", "dim"))
    said = (
        ("# Begin with the box that is the keeper. Add this to its configuration, and start it:", "dim"),
        (f'[roster]\nname = "NAME OF THE BOX"\nkeeper = true\nadmin = "{public}"', ""),
        ("# Then: ostiaryctl roster admit NAME --keys FILE --gate-key KEY, with the key that `ostiaryd check` shows there.", "dim"),
        ("# For every other box: ostiaryctl roster config NAME --keys FILE, start it, and admit it too (deploy/fleet.md).", "dim"),
    )
    for text, style in said:
        out.print(Text(text, style), soft_wrap=True)
    return DONE


def admit(args: argparse.Namespace, out: Console) -> int:
    """roster admit: seal the site keys to a box, and put them at the broker."""
    to, admin = whole_site(args), administrator(args)
    fleet, gates, timeout_s = fleet_of(args, to), believed(getattr(args, "gate_key", ())), getattr(args, "timeout", TIMEOUT_S)
    with Broker(to.address, [to.topic("status")]) as broker:
        found, forged = boxes(broker, gates, getattr(args, "timeout", FIRST_S))
        box = _believed(one_box(found, args.box, forged), gates, out)
        before = fleet.boxes.get(args.box)
        if before is not None and before.retired:
            raise ClientError(REFUSED, f"{args.box} is retired", "give the box another name in its configuration (roster.name)")
        if before is not None and before.public != box.public:
            hint = (
                "if it is another machine or lost its store, give it another name (roster.name), and keep the old one among the writers: "
                "what it wrote is still read"
            )
            raise ClientError(REFUSED, f"{args.box} signed with another key when it was admitted", hint)
        if before != box:
            # Written first: a box that has keys and is not in the file would be forgotten at the next change of keys.
            fleet = replace(fleet, boxes={**fleet.boxes, args.box: box})
            write_fleet(args.keys, fleet)
        give(broker, fleet, args.box, admin.key, timeout_s)
    if hasattr(args, "json"):
        out.print(Text(to_json({"box": args.box, "public": box.public, "edition": fleet.edition.number})))
        return DONE
    out.print(Text.assemble(("✓", "bold green"), " ", safe(args.box, "cyan"), " has the keys of the fleet. Add this at all other boxes:"))
    out.print(Text("\n".join(writer(args.box, box))))
    return DONE


def show_section(args: argparse.Namespace, out: Console) -> int:
    """roster config: what the configuration of a box has to say."""
    fleet, admin = fleet_of(args, whole_site(args)), administrator(args)
    text = section(fleet, args.box, signing.public_text(admin.key))
    out.print(Text(to_json({"box": args.box, "toml": text}) if hasattr(args, "json") else text.rstrip()), soft_wrap=True)
    return DONE


def give(broker: Broker, fleet: Fleet, name: str, admin: Ed25519PrivateKey, timeout_s: float) -> None:
    """Put the keys for a box of the fleet at the broker. Raises ClientError."""
    exchange = sealed_box.public_key(fleet.boxes[name].exchange)
    broker.retain(*site_keys.issued(fleet.edition, fleet.site, name, exchange, admin, secrets.token_bytes(KEY_BYTES)), timeout_s)


def _believed(known: Known, gates: Gates, out: Console) -> Box:
    """The keys of a box that is the one it says. Raises ClientError."""
    public, exchange = known.seen.public_key or "", known.roster.exchange_key
    try:
        sealed_box.public_key(exchange)
        said = signing.said_by(signing.public_key(public), known.topic, known.payload)
    except ValueError as error:
        raise ClientError(
            REFUSED, f"the keys in the status of {known.gate} cannot be used: {error}", "is it this version of ostiaryd?"
        ) from None
    if not said:
        message = f"the status of {known.gate} is not signed with the key that it names"
        raise ClientError(REFUSED, message, "somebody else may speak in its name; look who may write there (the broker's ACL)")
    if not gates.keys:
        hint = "give --gate-key with the public key that `ostiaryd check` shows at the box"
        if not sys.stdin.isatty():
            raise ClientError(USAGE, "anybody at the broker can say that it is this box", hint)
        out.print(Text.assemble("The box ", safe(known.roster.name, "cyan"), " signs with ", safe(public, "bold")))
        if input("Does `ostiaryd check` at the box show the same key? (yes/no) ").strip().lower() != "yes":
            raise ClientError(REFUSED, f"{known.roster.name} was not admitted", hint)
    return Box(public, exchange, keeper=known.roster.keeper)
