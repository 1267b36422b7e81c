"""rebuild: a box reads the roster from the broker anew."""

import argparse

from rich.console import Console

from daemon.client.broker import Broker
from daemon.client.keys import believed
from daemon.client.times import times
from daemon.core import messages as m
from daemon.ctl.asking import ask
from daemon.ctl.requests import show_answers
from daemon.ctl.roster.fleet import FIRST_S, boxes, one_box, whole_site


def rebuild(args: argparse.Namespace, out: Console) -> int:
    """roster rebuild: ask one gate of the box, because its gates share one store."""
    to = whole_site(args)
    with Broker(to.address, [to.topic("status")]) as broker:
        found, forged = boxes(broker, believed(getattr(args, "gate_key", ())), getattr(args, "timeout", FIRST_S))
    gate = one_box(found, args.box, forged).gate
    command = m.Resync(**times())
    there = argparse.Namespace(**(vars(args) | {"gate": gate, "op": "resync", "person": args.box}))
    return show_answers(there, ask(there, command), out)
