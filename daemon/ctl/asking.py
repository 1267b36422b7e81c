"""Sending one command to a gate, or to all gates of a site, and waiting for the answers."""

import argparse
import time
from collections.abc import Callable
from contextlib import suppress

from daemon.client.asked import AGAIN_S, Answer, Asked
from daemon.client.broker import Broker, Heard
from daemon.client.failures import ClientError
from daemon.client.keys import believed, read_signer
from daemon.client.seen import read_status
from daemon.client.target import target
from daemon.core import messages as m

TIMEOUT_S = 10.0
"""How long to wait for an answer, unless --timeout says otherwise."""

Tell = Callable[[str, m.Reembedding], None]
"""Hears how far a change of model on a gate has come."""


def ask(args: argparse.Namespace, command: m.Command, tell: Tell | None = None) -> list[Answer]:
    """Send a command and wait for its answers, one per gate asked. Raises ClientError.

    With `tell`, the time to wait begins again whenever a gate says how far its change of model has come.
    """
    to = target(vars(args), any_gate=False)
    asked = Asked(command, to)
    signer, gates = read_signer(args.key) if hasattr(args, "key") else None, believed(getattr(args, "gate_key", ()))
    messages = asked.messages(signer)
    timeout_s = getattr(args, "timeout", TIMEOUT_S) + asked.capture_s
    online: dict[str, bool] = {}
    forged = False
    with Broker(to.address, [to.topic("status"), to.topic("result")]) as broker:
        begun_s = since_s = time.monotonic()
        again = messages[-1:] if broker.publish(messages, timeout_s) != messages[-1][0] else []
        while True:
            now_s, end_s = time.monotonic(), since_s + timeout_s
            heard = broker.next((min(end_s, begun_s + AGAIN_S) if again else end_s) - now_s)
            if heard is None and again and begun_s + AGAIN_S < end_s:
                with suppress(ClientError):  # it may be forbidden there
                    broker.publish(again, timeout_s)
                again = []
                continue
            if heard is None:
                break
            if not isinstance(heard, Heard):
                continue  # the connection was lost, and comes back
            if not gates.said(heard.topic, heard.payload):
                forged = True
                continue  # anybody may have said it
            gate, leaf = heard.topic.split("/")[-2:]
            if leaf == "status":
                status = read_status(heard.payload)
                online[gate] = status.online
                if tell is not None and status.reembedding is not None:
                    since_s = time.monotonic()
                    tell(gate, status.reembedding)
            # Retained statuses come before any answer, so by then it is known which gates there are to wait for.
            elif asked.hear(gate, heard.payload, (time.monotonic() - begun_s) * 1000) and asked.is_answered(online):
                break
    if not asked.answers or asked.missing(online):
        raise asked.failure(timeout_s, online, forged=forged)
    return asked.sorted_answers()
