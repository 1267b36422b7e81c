"""status: what the gates last said of themselves."""

import argparse
import time

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.core.counts import counted, persons
from daemon.core.messages import StatusMessage
from daemon.ctl.asking import TIMEOUT_S
from daemon.ctl.broker import Broker, Heard
from daemon.ctl.failures import DONE, NO_ANSWER, REFUSED, SAME_VERSION, CtlError
from daemon.ctl.keys import FORGED, Gates, believed
from daemon.ctl.target import Target, target
from daemon.ctl.text import age_s, brief, safe, table, to_json

STALE_S = 90.0
"""A gate publishes its status every 30 s. One that has missed three is stale."""

EVERY_GATE_S, NEXT_GATE_S = 1.0, 0.3
"""How long to wait for the first of all gates, unless --timeout says otherwise, and for the next one when one has come."""

_STYLES = {"serving": "green", "degraded": "yellow"}


def show_status(args: argparse.Namespace, out: Console) -> int:
    """Print the status of the gates; the exit code says whether all of them are well."""
    to = target(args, any_gate=True)
    found, forged = _statuses(to, believed(args), getattr(args, "timeout", EVERY_GATE_S if to.is_every_gate else TIMEOUT_S))
    if not found and not forged:
        hint = "check --site and --gate; a gate publishes its status from its first start on"
        raise CtlError(NO_ANSWER, "no gate has published a status", hint)
    if hasattr(args, "json"):
        for name, one in sorted(found.items()):
            out.print(Text(to_json({"gate": name, "stale": _is_stale(one), **msgspec.to_builtins(one)})))
        for name in sorted(forged):
            out.print(Text(to_json({"gate": name, "error": f"its status {FORGED}"})))
    else:
        if found:
            out.print(_table(found))
        for line in _daemons(found):
            out.print(line)
        for name in sorted(forged):
            out.print(Text.assemble(("✗", "bold red"), " ", safe(name, "cyan"), safe(f": its status {FORGED}", "red")))
    return DONE if not forged and all(_is_well(one) for one in found.values()) else REFUSED


def _statuses(to: Target, gates: Gates, timeout_s: float) -> tuple[dict[str, StatusMessage], set[str]]:
    """What the gates said, by name, and for which of them only others spoke."""
    found: dict[str, StatusMessage] = {}
    forged: set[str] = set()
    with Broker(to.address, [to.topic("status")]) as broker:
        deadline_s = time.monotonic() + timeout_s
        # Retained messages come at once, so when one has come, the others are not far behind.
        while (heard := broker.next(min(deadline_s - time.monotonic(), NEXT_GATE_S if found or forged else timeout_s))) is not None:
            if isinstance(heard, Heard):
                name = heard.topic.split("/")[-2]
                if not gates.said(heard.topic, heard.payload):
                    forged.add(name)
                    continue
                try:
                    found[name] = msgspec.json.decode(heard.payload, type=StatusMessage)
                except msgspec.MsgspecError as error:
                    raise CtlError(REFUSED, f"{heard.topic} cannot be read: {error}", SAME_VERSION) from None
            if found and not to.is_every_gate:
                break
    return found, forged - found.keys()


def _is_stale(status: StatusMessage) -> bool:
    """Whether a gate that says it is online has been silent for too long."""
    return status.online and status.at is not None and age_s(status.at) > STALE_S


def _is_well(status: StatusMessage) -> bool:
    return status.online and status.state != "closed" and not _is_stale(status)


def _table(found: dict[str, StatusMessage]) -> Table:
    made = table("gate", "mode", "state", "camera", "threshold", "for claims", "said", "why")
    for name, one in sorted(found.items()):
        state = "stale" if _is_stale(one) else one.state
        made.add_row(
            safe(name, "cyan"),
            safe(one.mode or "–"),
            safe(state, _STYLES.get(state, "red")),
            safe(one.camera or "–"),
            "–" if one.threshold is None else f"{one.threshold:.3f}",
            "–" if one.claim_threshold is None else f"{one.claim_threshold:.3f}",
            "–" if one.at is None else f"{brief(age_s(one.at))} ago",
            safe(", ".join([*one.reasons, *_under_way(one)])),
        )
    return made


def _under_way(one: StatusMessage) -> list[str]:
    change = one.reembedding
    return [] if change is None else [f"reembedding: {change.done} of {change.of} with {change.model}"]


def _daemons(found: dict[str, StatusMessage]) -> list[Text]:
    """What the gates of one daemon share. Gates that say the same have one line together."""
    said: dict[str, list[str]] = {}
    for name, one in sorted(found.items()):
        model = " on ".join(part for part in (one.model, one.provider) if part) or "no model"
        audit = "no audit" if one.audit is None else f"audit {one.audit.number}: {one.audit.head[:12]}…"
        gallery = f"{persons(one.people)}, {counted(one.templates, 'template')}, revision {one.gallery_revision}"
        parts = [model, gallery, f"{one.outbox_depth} in the outbox", audit, f"ostiary {one.version}"]
        parts += [f"commands {one.commands}"] if one.commands is not None else []
        parts += [f"signs with {one.public_key}"] if one.public_key is not None else []
        said.setdefault("; ".join(parts), []).append(name)
    return [Text.assemble(safe(", ".join(gates), "cyan"), safe(f": {what}")) for what, gates in said.items()]
