"""rebuild: a box reads the roster from the broker anew."""

import argparse
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from rich.console import Console

from daemon.client.broker import Broker
from daemon.client.keys import believed
from daemon.core import messages as m
from daemon.ctl.asking import ask
from daemon.ctl.commands import LIFETIME_S
from daemon.ctl.requests import show_answers
from daemon.ctl.roster.fleet import FIRST_S, boxes, one_box, whole_site


def rebuild(args: argparse.Namespace, out: Console) -> int:
    """roster rebuild: ask one gate of the box, because its gates share one store."""
    to = whole_site(args)
    with Broker(to.address, [to.topic("status")]) as broker:
        found, forged = boxes(broker, believed(getattr(args, "gate_key", ())), getattr(args, "timeout", FIRST_S))
    gate, now = one_box(found, args.box, forged).gate, datetime.now(UTC)
    command = m.Resync(command_id=uuid4(), issued_at=now, expires_at=now + timedelta(seconds=LIFETIME_S))
    there = argparse.Namespace(**(vars(args) | {"gate": gate, "op": "resync", "person": args.box}))
    return show_answers(there, ask(there, command), out)
