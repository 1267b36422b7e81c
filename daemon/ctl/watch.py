"""watch: decisions as they are made, and what will never come."""

import argparse
import time

import msgspec
from rich.console import Console
from rich.text import Text

from daemon.client.broker import Broker, Heard, Lost
from daemon.client.failures import DONE, NO_ANSWER, ClientError
from daemon.client.keys import FORGED, Gates, believed
from daemon.client.seen import age_s
from daemon.client.target import target
from daemon.core.counts import counted
from daemon.core.messages import DecisionMessage, GapMessage
from daemon.ctl.text import brief, local, safe, to_json

_HEADING = Text("time        gate      answer     person        why                 age     ", "bold")
_MARKS = {"accept": ("✓", "bold green"), "reject": ("✗", "bold red"), "unknown": ("?", "bold yellow")}


def watch(args: argparse.Namespace, out: Console) -> int:
    """Print every decision, until --count of them have come or --seconds have passed."""
    to, gates = target(vars(args), any_gate=True), believed(getattr(args, "gate_key", ()))
    deadline_s = time.monotonic() + args.seconds if args.seconds else None
    for_people = not hasattr(args, "json")
    seen, newest = 0, dict[str, int]()
    with Broker(to.address, [to.topic("decision")], [to.topic("gap")]) as broker:
        if for_people:
            out.print(_HEADING)
        while args.count is None or seen < args.count:
            heard = broker.next(None if deadline_s is None else deadline_s - time.monotonic())
            if heard is None:
                if args.count is None:
                    return DONE
                message = f"only {seen} of {counted(args.count, 'decision')} arrived in {args.seconds:g} s"
                raise ClientError(NO_ANSWER, message, "check that somebody is at the gate")
            said = _read(heard, gates)
            if isinstance(said, str):
                if for_people:
                    out.print(safe(f"… {said}", "red" if said.endswith(FORGED) else "yellow"))
                continue
            if isinstance(said, DecisionMessage):
                seen += 1
            if not for_people:
                out.print(Text(to_json(said)))
                continue
            if isinstance(said, GapMessage):
                out.print(safe(f"… {_dropped(said)}", "red"))
                continue
            # After an outage the newest decision comes first and the others later, so what has not come yet is said once.
            before = newest.get(said.gate, said.sequence)
            newest[said.gate] = max(before, said.sequence)
            if before < said.previous:
                out.print(safe(f"… {said.gate}: decisions after {before} and before {said.sequence} have not come so far", "yellow"))
            out.print(_line(said))
    return DONE


def _read(heard: Heard | Lost, gates: Gates) -> DecisionMessage | GapMessage | str:
    """What the gate said, or in words why nothing can be shown."""
    if isinstance(heard, Lost):
        return f"{heard.detail}; trying again"
    if not gates.said(heard.topic, heard.payload):
        return f"a message on {heard.topic} {FORGED}"
    is_gap = heard.topic.endswith("/gap")
    try:
        return msgspec.json.decode(heard.payload, type=GapMessage) if is_gap else msgspec.json.decode(heard.payload, type=DecisionMessage)
    except msgspec.MsgspecError as error:
        return f"a message on {heard.topic} is not a {'gap' if is_gap else 'decision'}: {error}"


def _dropped(gap: GapMessage) -> str:
    decisions = f"{counted(gap.decisions, 'decision')}{f' ({gap.first} to {gap.last})' if gap.decisions else ''}"
    why = {"full": "too many waited for the broker", "old": "they waited too long for the broker"}[gap.reason]
    return f"{gap.gate}: {decisions} and {counted(gap.answers, 'answer')} will never come: {why}"


def _line(one: DecisionMessage) -> Text:
    mark, style = _MARKS[one.decision]
    name = one.name if isinstance(one.name, str) else None
    person = " ".join(part for part in (one.person, name) if part) or "–"
    late = Text("live", "dim") if one.live else Text("late", "bold magenta")
    return Text("  ").join(
        [
            safe(local(one.captured_at, "%H:%M:%S.%f")[:10], "dim"),
            safe(f"{one.gate:<8}", "cyan"),
            Text(f"{mark} {one.decision:<7}", style),
            safe(f"{person:<12}"),
            safe(f"{one.reason:<18}"),
            Text(f"{brief(age_s(one.captured_at)):>6}"),
            late,
            *([Text("↻ replaces an earlier answer", "yellow")] if one.supersedes else []),
        ]
    )
