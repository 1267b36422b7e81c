"""The link to the gates of a run, and which of them are asked."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.client.failures import NO_ANSWER, ClientError
from daemon.client.keys import believed, read_signer
from daemon.client.link import Link
from daemon.client.target import target
from daemon.ctl.asking import TIMEOUT_S

STATUS_S = 2.0
"""How long the retained statuses may take to come."""
_TURN_S = 0.02


@contextmanager
def connected(args: argparse.Namespace) -> Iterator[tuple[Link, str | None]]:
    """A link that is connected, and the gate to ask: None for all. Raises ClientError where there is no broker, or no such gate."""
    to = target(vars(args), any_gate=False)
    gate = None if to.is_every_gate else to.gate
    signer = read_signer(args.key) if hasattr(args, "key") else None
    timeout_s = getattr(args, "timeout", TIMEOUT_S)
    with Link(to, program="ostiaryctl", signer=signer, gates=believed(getattr(args, "gate_key", ()))) as link:
        end_s = time.monotonic() + timeout_s
        while not link.state.connected:
            if time.monotonic() > end_s:
                raise ClientError(
                    NO_ANSWER, link.state.trouble or "the broker does not answer", link.state.hint or "check --host and --port"
                )
            time.sleep(_TURN_S)
        end_s = time.monotonic() + min(timeout_s, STATUS_S)
        while not (link.statuses() if gate is None else gate in link.statuses()) and time.monotonic() < end_s:
            time.sleep(_TURN_S)
        if gate is None:
            time.sleep(_TURN_S * 10)  # the other statuses are not far behind the first
        known = sorted(link.statuses())
        if gate is not None and known and gate not in known:
            raise ClientError(NO_ANSWER, f"no status of gate {gate}", f"the site has {', '.join(known)}; check --gate")
        yield link, gate
