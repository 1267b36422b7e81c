"""ostiaryctl: enrol, revoke, suspend, list, watch, from the command line. An MQTT client and nothing more.

Exit codes: 0 done · 1 refused or failed (by the gate or the broker's ACL) · 2 usage or bad input · 3 no answer in time, or no
broker · 130 interrupted. Every failure is one line and a hint on stderr, or with --json one object on stdout.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
from rich.console import Console
from rich.text import Text

from daemon.config import ConfigError
from daemon.core import messages as m
from daemon.ctl import show
from daemon.ctl.arguments import Run, parser, where
from daemon.ctl.broker import DONE, INTERRUPTED, NO_ANSWER, REFUSED, USAGE, Broker, CtlError, Heard, Lost
from daemon.ctl.commands import LIFETIME_S, build

PAGE = 500
"""How many people `list` asks for at a time."""

_VERSIONS = "do gate and ostiaryctl have one version?"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    wide = None if sys.stdout.isatty() else 250  # tables in files and pipes need not fit a screen
    out, err = Console(highlight=False, soft_wrap=True, width=wide), Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        args = parser(_RUNS).parse_args(argv)
        run: Run = args.run
        return run(args, out)
    except (CtlError, ConfigError) as error:
        if "--json" in argv:
            out.print(Text(json.dumps({"error": error.args[0], "hint": error.hint})))
        else:
            err.print(Text(show.printable(f"ostiaryctl: {error.args[0]}"), "red"))
            err.print(Text(show.printable(f"  hint: {error.hint}")))
        return error.code if isinstance(error, CtlError) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


# ---- commands


def _send(args: argparse.Namespace, out: Console) -> int:
    """enroll, update, revoke, suspend, resume, verify, ping."""
    results = _ask(args, build(args))
    for gate, result, took_ms in results:
        _print_result(out, args, gate, result, took_ms)
    return DONE if all(result.status == "done" for _, result, _ in results) else REFUSED


def _change(args: argparse.Namespace, out: Console) -> int:
    """reembed: shows how far it has come."""
    told: dict[str, m.Reembedding] = {}

    def tell(gate: str, progress: m.Reembedding) -> None:
        if told.get(gate) != progress and not hasattr(args, "json"):
            out.print(show.progress_line(gate, progress))
        told[gate] = progress

    results = _ask(args, build(args), tell)
    for gate, result, took_ms in results:
        _print_result(out, args, gate, result, took_ms)
    return DONE if all(result.status == "done" for _, result, _ in results) else REFUSED


Tell = Callable[[str, m.Reembedding], None]


def _ask(args: argparse.Namespace, command: m.Command, tell: Tell | None = None) -> list[tuple[str, m.Result, float]]:
    """Send a command and wait for its answers: (gate, result, milliseconds it took), one per gate asked. Raises CtlError.

    With `tell`, which hears of a change of model under way, the time to wait begins again with everything heard of one.
    """
    payload = m.encode(command)
    try:
        m.parse_command(payload)  # what the gate would refuse as malformed is refused here, with nothing sent
    except m.MessageError as error:
        person = getattr(command, "person", None)
        if error.detail.endswith("`$.person`"):
            hint = "letters, digits and . _ @ -, with a letter or digit first, 64 at most"
            raise CtlError(USAGE, f"{person!r} is no employee number", hint) from None
        hint = "send fewer or smaller images" if error.reason == "too_large" else "the line above names the field"
        raise CtlError(USAGE, error.detail, hint) from None
    address, site, gate = where(args, any_gate=False)
    listen = "+" if gate == "all" else gate
    capture = command.capture if isinstance(command, m.Enroll) else None
    timeout_s = getattr(args, "timeout", 10.0) + (capture.seconds if capture is not None else 0.0)
    results: dict[str, tuple[str, m.Result, float]] = {}
    online: dict[str, bool] = {}
    with Broker(address, [m.topic(site, listen, "status"), m.topic(site, listen, "result")]) as broker:
        begun_s = since_s = time.monotonic()
        broker.publish(m.topic(site, gate, "command"), payload, timeout_s)
        while True:
            heard = broker.next(since_s + timeout_s - time.monotonic())
            if heard is None:
                break
            if isinstance(heard, Lost):
                continue
            who, leaf = heard.topic.split("/")[-2:]
            if leaf == "status":
                online[who] = _is_online(heard.payload)
                progress = _progress(heard.payload)
                if tell is not None and progress is not None:
                    since_s = time.monotonic()
                    tell(who, progress)
                continue
            try:
                result = msgspec.json.decode(heard.payload, type=m.Result)
            except msgspec.MsgspecError as error:
                if str(command.command_id).encode() in heard.payload:
                    raise CtlError(REFUSED, f"the gate's answer cannot be read: {error}", _VERSIONS) from None
                continue
            if result.command_id == str(command.command_id):
                results[who] = who, result, (time.monotonic() - begun_s) * 1000
            # Retained statuses come before any answer, so by now it is known which gates there are to wait for.
            if results and all(name in results for name, is_on in online.items() if is_on):
                break
    missing = sorted(name for name, is_on in online.items() if is_on and name not in results)
    if not results or missing:
        raise _no_answer(gate, timeout_s, online, missing if results else [])
    return [results[name] for name in sorted(results)]


def _no_answer(gate: str, timeout_s: float, online: dict[str, bool], missing: list[str]) -> CtlError:
    if missing:
        message, hint = f"no answer from {', '.join(missing)} in {timeout_s:g} s", "the other gates answered; see `ostiaryctl status`"
    elif not online:
        message, hint = f"no answer in {timeout_s:g} s, and nothing was ever heard of gate {gate}", "check --site and --gate"
    elif not any(online.values()):
        message, hint = f"no answer in {timeout_s:g} s: gate {gate} is offline", "start its daemon"
    else:
        message, hint = f"no answer in {timeout_s:g} s", "the gate is busy, or does not get its commands; see `ostiaryctl status`"
    return CtlError(NO_ANSWER, message, f"{hint}. The command may still be carried out")


def _get(args: argparse.Namespace, out: Console) -> int:
    now = datetime.now(UTC)
    asked = m.Get(command_id=uuid4(), issued_at=now, expires_at=now + timedelta(seconds=LIFETIME_S), person=args.person)
    found = _ask(args, asked)
    for gate, result, took_ms in found:
        if result.status != "done" or hasattr(args, "json") or not result.people:
            _print_result(out, args, gate, result, took_ms)
        else:
            out.print(show.person_card(result.people[0]))
    return DONE if all(result.status == "done" for _, result, _ in found) else REFUSED


def _list(args: argparse.Namespace, out: Console) -> int:
    people: list[m.PersonEntry] = []
    after: str | None = args.after
    while True:
        now = datetime.now(UTC)
        limit = PAGE if args.limit is None else min(PAGE, args.limit - len(people))
        page = m.List(command_id=uuid4(), issued_at=now, expires_at=now + timedelta(seconds=LIFETIME_S), after=after, limit=limit)
        gate, result, took_ms = _ask(args, page)[0]
        if result.status != "done":
            _print_result(out, args, gate, result, took_ms)
            return REFUSED
        people += result.people or []
        more = result.next_after if result.next_after != after else None
        if more is None or len(people) == args.limit:
            break
        after = more
    if hasattr(args, "json"):
        out.print(Text(show.to_json({"people": people, "next_after": more, "gallery_revision": result.gallery_revision})))
        return DONE
    if people:
        out.print(show.people_table(people))
    out.print(Text(f"{len(people)} people, {sum(p.templates for p in people)} templates, gallery revision {result.gallery_revision}"))
    if more is not None:
        out.print(show.safe(f"there are more: go on with --after {more}", "yellow"))
    return DONE


def _print_result(out: Console, args: argparse.Namespace, gate: str, result: m.Result, took_ms: float) -> None:
    if hasattr(args, "json"):
        out.print(Text(show.to_json(result)))
        return
    out.print(show.result_line(args.op, getattr(args, "person", ""), gate, result, took_ms))


# ---- what the gates say


def _status(args: argparse.Namespace, out: Console) -> int:
    address, site, gate = where(args, any_gate=True)
    found: dict[str, m.StatusMessage] = {}
    with Broker(address, [m.topic(site, "+" if gate == "all" else gate, "status")]) as broker:
        deadline_s = time.monotonic() + getattr(args, "timeout", 10.0 if gate not in ("+", "all") else 1.0)
        while True:
            # The retained word comes at once, so when one has come, the others are not far behind.
            heard = broker.next(min(deadline_s - time.monotonic(), 0.3 if found else 86_400))
            if heard is None:
                break
            if isinstance(heard, Heard):
                try:
                    found[heard.topic.split("/")[-2]] = msgspec.json.decode(heard.payload, type=m.StatusMessage)
                except msgspec.MsgspecError as error:
                    raise CtlError(REFUSED, f"{heard.topic} cannot be read: {error}", _VERSIONS) from None
            if found and gate not in ("+", "all"):
                break
    if not found:
        raise CtlError(NO_ANSWER, "no gate has said anything", "check --site and --gate; a gate is known from its first start on")
    if hasattr(args, "json"):
        for name, one in sorted(found.items()):
            out.print(Text(show.to_json({"gate": name, "stale": show.is_stale(one), **msgspec.to_builtins(one)})))
    else:
        out.print(show.status_table(found))
        for line in show.daemon_lines(found):
            out.print(line)
    return DONE if all(show.is_well(one) for one in found.values()) else REFUSED


def _watch(args: argparse.Namespace, out: Console) -> int:
    address, site, gate = where(args, any_gate=True)
    deadline_s = time.monotonic() + args.seconds if args.seconds else None
    seen, last = 0, dict[str, int]()
    with Broker(address, [m.topic(site, "+" if gate == "all" else gate, "decision")]) as broker:
        if not hasattr(args, "json"):
            out.print(show.WATCH_HEADING)
        while args.count is None or seen < args.count:
            heard = broker.next(None if deadline_s is None else deadline_s - time.monotonic())
            if heard is None:
                if args.count is None:
                    return DONE
                raise CtlError(NO_ANSWER, f"{seen} of {args.count} decisions in {args.seconds:g} s", "is anybody at the gate?")
            if isinstance(heard, Lost):
                if not hasattr(args, "json"):
                    out.print(Text(f"… {heard.detail}; trying again", "yellow"))
                continue
            try:
                decision = msgspec.json.decode(heard.payload, type=m.DecisionMessage)
            except msgspec.MsgspecError as error:
                if not hasattr(args, "json"):
                    out.print(show.safe(f"… a message on {heard.topic} is no decision: {error}", "yellow"))
                continue
            seen += 1
            if hasattr(args, "json"):
                out.print(Text(show.to_json(decision)))
                continue
            before = last.get(decision.gate)
            last[decision.gate] = decision.sequence
            if before is not None and before < decision.previous:
                out.print(show.safe(f"… {decision.gate}: decisions after {before} and before {decision.sequence} were missed", "yellow"))
            out.print(show.decision_line(decision))
    return DONE


def _is_online(payload: bytes) -> bool:
    try:
        return msgspec.json.decode(payload, type=m.StatusMessage).online
    except msgspec.MsgspecError:
        return False


def _progress(payload: bytes) -> m.Reembedding | None:
    try:
        return msgspec.json.decode(payload, type=m.StatusMessage).reembedding
    except msgspec.MsgspecError:
        return None


_RUNS: dict[str, Run] = {
    **dict.fromkeys(("enroll", "update", "revoke", "suspend", "resume", "verify", "ping"), _send),
    "reembed": _change,
    "get": _get,
    "list": _list,
    "status": _status,
    "watch": _watch,
}


if __name__ == "__main__":
    sys.exit(main())
