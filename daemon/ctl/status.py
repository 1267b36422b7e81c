"""status: what the gates last said of themselves."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.client.broker import Broker, Heard
from daemon.client.failures import DONE, NO_ANSWER, REFUSED, SAME_VERSION, USAGE, ClientError
from daemon.client.keys import FORGED, Gates, believed
from daemon.client.seen import Seen, age_s, read_status
from daemon.client.target import Target, target
from daemon.core.counts import counted, persons
from daemon.core.messages import is_topic_segment
from daemon.ctl.asking import TIMEOUT_S
from daemon.ctl.text import brief, safe, table, to_json

EVERY_GATE_S, NEXT_GATE_S = 1.0, 0.3
"""How long to wait for the first of all gates, unless --timeout says otherwise, and for the next one when one has come."""

_CALIBRATION = {"gate": "calibrated at the gate", "photos": "calibrated by photos only", "fixed": "threshold set by hand"}
_STYLES = {"serving": "green", "degraded": "yellow"}


def show_status(args: argparse.Namespace, out: Console) -> int:
    """Print the status of the gates; the exit code says whether all of them are well."""
    to = target(vars(args), any_gate=True)
    if getattr(args, "forget", None) is not None:
        return _forget(to, args.forget, getattr(args, "timeout", TIMEOUT_S), out)
    gates = believed(getattr(args, "gate_key", ()))
    found, forged = _statuses(to, gates, getattr(args, "timeout", EVERY_GATE_S if to.is_every_gate else TIMEOUT_S))
    if not found and not forged:
        hint = "check --site and --gate; a gate publishes its status from its first start on"
        raise ClientError(NO_ANSWER, "no gate has published a status", hint)
    if hasattr(args, "json"):
        for name, one in sorted(found.items()):
            out.print(Text(to_json({"gate": name, "stale": one.is_stale, **one.said})))
        for name in sorted(forged):
            out.print(Text(to_json({"gate": name, "error": f"its status {FORGED}"})))
    else:
        if found:
            out.print(_table(found))
        for line in (*_reasons(found), *_daemons(found)):
            out.print(line)
        for name in sorted(forged):
            out.print(Text.assemble(("✗", "bold red"), " ", safe(name, "cyan"), safe(f": its status {FORGED}", "red")))
    for name, one in sorted(found.items()):
        if one.odd:
            strange = f": {', '.join(one.odd)} cannot be read; {SAME_VERSION}"
            Console(stderr=True, highlight=False).print(Text.assemble(safe(name, "cyan"), safe(strange, "yellow")))
    return DONE if not forged and all(one.is_well for one in found.values()) else REFUSED


def _statuses(to: Target, gates: Gates, timeout_s: float) -> tuple[dict[str, Seen], set[str]]:
    """What the gates said, by name, and for which of them only others spoke."""
    found: dict[str, Seen] = {}
    forged: set[str] = set()
    with Broker(to.address, [to.topic("status")]) as broker:
        deadline_s = time.monotonic() + timeout_s
        # Retained messages come at once, so when one has come, the others are not far behind.
        while (heard := broker.next(min(deadline_s - time.monotonic(), NEXT_GATE_S if found or forged else timeout_s))) is not None:
            if isinstance(heard, Heard) and heard.payload:
                name = heard.topic.split("/")[-2]
                if not gates.said(heard.topic, heard.payload):
                    forged.add(name)
                    continue
                found[name] = read_status(heard.payload)
            if found and not to.is_every_gate:
                break
    return found, forged - found.keys()


def _forget(to: Target, name: str, timeout_s: float, out: Console) -> int:
    """Clear the retained status of a gate that is gone."""
    if not is_topic_segment(name):
        raise ClientError(USAGE, f"{name!r} is not the name of a gate", "give the name that `ostiaryctl status` shows")
    gone = replace(to, gate=name)
    where = gone.topic("status")
    with Broker(to.address, [where]) as broker:
        heard = broker.next(EVERY_GATE_S)
        status = read_status(heard.payload) if isinstance(heard, Heard) and heard.payload else None
        if status is None:
            raise ClientError(REFUSED, f"gate {name} has no status at the broker", "there is nothing to forget")
        if status.online and not status.is_stale:
            raise ClientError(
                REFUSED, f"gate {name} is online: it would say so again", "stop its daemon, or take it out of its configuration"
            )
        broker.forget(where, timeout_s)
    out.print(Text.assemble(("✓", "bold green"), " ", safe(name, "cyan"), ": its status is cleared"))
    return DONE


def _table(found: Mapping[str, Seen]) -> Table:
    made = table("gate", "mode", "state", "camera", "threshold", "for claims", "said")
    for name, one in sorted(found.items()):
        state = "stale" if one.is_stale else one.state
        made.add_row(
            safe(name, "cyan"),
            safe(one.mode or "–"),
            safe(state, _STYLES.get(state, "red")),
            safe(one.camera or "–"),
            "–" if one.threshold is None else f"{one.threshold:.3f}",
            "–" if one.claim_threshold is None else f"{one.claim_threshold:.3f}",
            "–" if one.at is None else f"{brief(age_s(one.at))} ago",
        )
    return made


def _reasons(found: Mapping[str, Seen]) -> list[Text]:
    """Why gates are not serving, and what is under way: a line each, because a column would be too narrow for them."""
    return [
        Text.assemble(safe(name, "cyan"), safe(f": {why}", _STYLES.get(one.state, "red")))
        for name, one in sorted(found.items())
        for why in (*one.reasons, *_under_way(one))
    ]


def _under_way(one: Seen) -> list[str]:
    change = one.reembedding
    return [] if change is None else [f"reembedding: {change.done} of {change.of} with {change.model}"]


def _calibration(one: Seen) -> str:
    """Where the threshold comes from; a word of a later version stands as it is."""
    word = _CALIBRATION.get(one.calibration or "", f"calibration {one.calibration}")
    return f"{word} on {one.calibrated_at[:10]}" if one.calibrated_at is not None else word


def _daemons(found: Mapping[str, Seen]) -> list[Text]:
    """What the gates of one daemon share. Gates that say the same have one line together."""
    said: dict[str, list[str]] = {}
    for name, one in sorted(found.items()):
        if not one.online and one.model is None:
            continue  # the broker speaks in its name, and knows none of this
        model = " on ".join(part for part in (one.model, one.provider) if part) or "no model"
        audit = "no audit" if one.audit is None else f"audit {one.audit.number}: {one.audit.head[:12]}…"
        gallery = f"{persons(one.people)}, {counted(one.templates, 'template')}, revision {one.gallery_revision}"
        parts = [model, gallery, f"{one.outbox_depth} in the outbox", audit, f"ostiary {one.version}"]
        parts += [_calibration(one)] if one.calibration is not None else []
        parts += [f"commands {one.commands}"] if one.commands is not None else []
        parts += [f"signs with {one.public_key}"] if one.public_key is not None else []
        said.setdefault("; ".join(parts), []).append(name)
    return [Text.assemble(safe(", ".join(gates), "cyan"), safe(f": {what}")) for what, gates in said.items()]
