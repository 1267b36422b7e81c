"""watch: decisions as they are made."""

import argparse
import time

import msgspec
from rich.console import Console
from rich.text import Text

from daemon.core.messages import DecisionMessage
from daemon.ctl.broker import Broker, Heard, Lost
from daemon.ctl.failures import DONE, NO_ANSWER, CtlError
from daemon.ctl.keys import FORGED, Gates, believed
from daemon.ctl.target import target
from daemon.ctl.text import age_s, brief, local, safe, to_json

_HEADING = Text("time          gate      answer     person        why                 age     ", "bold")
_MARKS = {"accept": ("✓", "bold green"), "reject": ("✗", "bold red"), "unknown": ("?", "bold yellow")}


def watch(args: argparse.Namespace, out: Console) -> int:
    """Print every decision, until --count of them have come or --seconds have passed."""
    to, gates = target(args, any_gate=True), believed(args)
    deadline_s = time.monotonic() + args.seconds if args.seconds else None
    for_people = not hasattr(args, "json")
    seen, last = 0, dict[str, int]()
    with Broker(to.address, [to.topic("decision")]) as broker:
        if for_people:
            out.print(_HEADING)
        while args.count is None or seen < args.count:
            heard = broker.next(None if deadline_s is None else deadline_s - time.monotonic())
            if heard is None:
                if args.count is None:
                    return DONE
                message = f"only {seen} of {args.count} decisions arrived in {args.seconds:g} s"
                raise CtlError(NO_ANSWER, message, "check that somebody is at the gate")
            decision = _read(heard, gates)
            if isinstance(decision, str):
                if for_people:
                    out.print(safe(f"… {decision}", "red" if decision.endswith(FORGED) else "yellow"))
                continue
            seen += 1
            if not for_people:
                out.print(Text(to_json(decision)))
                continue
            before = last.get(decision.gate)
            last[decision.gate] = decision.sequence
            if before is not None and before < decision.previous:
                out.print(safe(f"… {decision.gate}: decisions after {before} and before {decision.sequence} were missed", "yellow"))
            out.print(_line(decision))
    return DONE


def _read(heard: Heard | Lost, gates: Gates) -> DecisionMessage | str:
    """The decision, or in words why there is none."""
    if isinstance(heard, Lost):
        return f"{heard.detail}; trying again"
    if not gates.said(heard.topic, heard.payload):
        return f"a message on {heard.topic} {FORGED}"
    try:
        return msgspec.json.decode(heard.payload, type=DecisionMessage)
    except msgspec.MsgspecError as error:
        return f"a message on {heard.topic} is not a decision: {error}"


def _line(one: DecisionMessage) -> Text:
    mark, style = _MARKS[one.decision]
    name = one.name if isinstance(one.name, str) else None
    person = " ".join(part for part in (one.person, name) if part) or "–"
    late = Text("live", "dim") if one.live else Text("late", "bold magenta")
    return Text("  ").join(
        [
            safe(local(one.captured_at, "%H:%M:%S.%f")[:12], "dim"),
            safe(f"{one.gate:<8}", "cyan"),
            Text(f"{mark} {one.decision:<7}", style),
            safe(f"{person:<12}"),
            safe(f"{one.reason:<18}"),
            Text(f"{brief(age_s(one.captured_at)):>6}"),
            late,
            *([Text("↻ replaces an earlier answer", "yellow")] if one.supersedes else []),
        ]
    )
