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
from pathlib import Path
from typing import NoReturn
from uuid import UUID, uuid4

import msgspec
from rich.console import Console
from rich.text import Text

from daemon import ctl_show as show
from daemon.config import ConfigError, load, read_secret
from daemon.core import messages as m
from daemon.ctl_broker import DONE, INTERRUPTED, NO_ANSWER, REFUSED, USAGE, Address, Broker, CtlError, Heard, Lost

LIFETIME_S = 60
"""How long a command may wait for its gate."""

CAPTURE_LIFETIME_S = 15
"""How long a capture may wait to begin: later, somebody else may stand before the camera."""

PAGE = 500

_CLEARABLE = ("name", "valid-from", "valid-until", "gates", "consent")

_ABOUT = "Enrol, revoke, suspend, list and watch over MQTT."
_VERSIONS = "do gate and ostiaryctl have one version?"
_EXIT_CODES = "exit codes: 0 done · 1 refused or failed · 2 usage or bad input · 3 no answer in time, or no broker · 130 interrupted"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    wide = None if sys.stdout.isatty() else 250  # tables in files and pipes need not fit a screen
    out, err = Console(highlight=False, soft_wrap=True, width=wide), Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        args = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace, Console], int] = args.run
        return command(args, out)
    except (CtlError, ConfigError) as error:
        if "--json" in argv:
            out.print(Text(json.dumps({"error": error.args[0], "hint": error.hint})))
        else:
            err.print(Text(show.printable(f"ostiaryctl: {error.args[0]}"), "red"))
            err.print(Text(show.printable(f"  hint: {error.hint}")))
        return error.code if isinstance(error, CtlError) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


# ---- arguments


def _parser() -> argparse.ArgumentParser:
    # Options of all commands may stand before or behind the command; SUPPRESS keeps one place from erasing the other.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = shared.add_argument_group("broker and gate")
    group.add_argument("--config", type=Path, metavar="CONFIG.toml", help="take site, gate and broker from the daemon's configuration")
    group.add_argument("--host", help="broker (127.0.0.1)")
    group.add_argument("--port", type=int, help="its port (1883)")
    group.add_argument("--site", help="the site's name in the topics")
    group.add_argument("--gate", help="the gate (the first of CONFIG); `all` for every gate of the site")
    group.add_argument("--protocol", choices=("5", "3.1.1"), help="MQTT version (5)")
    group.add_argument("--username")
    group.add_argument("--password-file", metavar="FILE", help="its first line is the password")
    group.add_argument("--ca-file", metavar="PEM", help="a CA certificate; switches TLS on")
    group.add_argument("--cert-file", metavar="PEM")
    group.add_argument("--key-file", metavar="PEM")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="how long to wait for an answer (10)")
    group.add_argument("--json", action="store_true", help="output for machines: one JSON object a line")
    parser = argparse.ArgumentParser(prog="ostiaryctl", description=_ABOUT, epilog=_EXIT_CODES, parents=[shared])
    parser.error = _usage  # type: ignore[method-assign]  # one line and a hint, as for every other failure
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace, Console], int], what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what, epilog=_EXIT_CODES, parents=[shared])
        command.error = _usage  # type: ignore[method-assign]
        command.set_defaults(run=run, op=name)
        return command

    enroll = add("enroll", _send, "enrol a person, or add pictures of one, from JPEG files with one face each or the gate's own camera")
    enroll.add_argument("person", metavar="PERSON", help="an employee number, never a name")
    pictures = enroll.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--image", type=Path, action="append", metavar="A.jpg", help="may be given several times")
    pictures.add_argument("--capture", type=_seconds, metavar="SECONDS", help="look at who stands before the gate's camera for so long")
    enroll.add_argument("--force", action="store_true", help="also if the face looks like another enrolled person's")
    enroll.add_argument("--replace", action="store_true", help="let all earlier templates of the person go; the face may be another one")
    _add_record(enroll)
    update = add("update", _send, "change a person's record; what is not given stays as it is")
    update.add_argument("person", metavar="PERSON")
    _add_record(update)
    update.add_argument("--clear", action="append", choices=_CLEARABLE, default=[], metavar="WHAT", help=", ".join(_CLEARABLE))
    for name, what in (
        ("revoke", "erase a person; from the next frame on"),
        ("suspend", "keep the templates, reject the person"),
        ("resume", "end a suspension"),
    ):
        add(name, _send, what).add_argument("person", metavar="PERSON")
    add("ping", _send, "is the whole line from broker to store alive?")
    add("get", _get, "one person's record").add_argument("person", metavar="PERSON")
    people = add("list", _list, "who is enrolled")
    people.add_argument("--after", metavar="PERSON", help="begin behind this id")
    people.add_argument("--limit", type=_count, metavar="N", help="stop after N people; the last line says how to go on")
    add("status", _status, "what the gates last said of themselves")
    watch = add("watch", _watch, "decisions as they are made")
    watch.add_argument("--count", type=int, metavar="N", help="stop after N decisions")
    watch.add_argument("--seconds", type=_seconds, metavar="N", help="stop after N seconds")
    return parser


def _add_record(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", help="for people to read")
    command.add_argument("--valid-from", type=_instant, metavar="TIME", help="2026-12-01 or 2026-12-01T08:00+01:00; else local time")
    command.add_argument("--valid-until", type=_last_instant, metavar="TIME", help="a day without a time counts to its end")
    command.add_argument("--gate-allowed", action="append", metavar="GATE", help="may be given several times")
    command.add_argument("--consent", help="where the person's consent is kept")


def _usage(message: str) -> NoReturn:
    raise CtlError(USAGE, message, "see `ostiaryctl --help`, or `ostiaryctl COMMAND --help`")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400 * 365:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-12-01 or 2026-12-01T08:00+01:00") from None


def _last_instant(text: str) -> datetime:
    value = _instant(text)
    return value + timedelta(days=1, milliseconds=-1) if len(text) <= len("2026-12-01") else value


def _where(args: argparse.Namespace, any_gate: bool) -> tuple[Address, str, str]:
    """Address, site and gate, from the configuration and then from the options, which win. `+` is any gate."""
    given = vars(args)
    options = {k: given[k] for k in ("host", "port", "protocol", "username", "ca_file", "cert_file", "key_file") if k in given}
    password_file, site, gates = "", "", ["+"] if any_gate else []
    if "config" in given:
        config = load(given["config"])
        mqtt = config.mqtt
        password_file, site = mqtt.password_file, config.site
        gates = gates or list(config.gates)
        # The daemon's own login comes along; a broker whose ACL forbids the daemon to command itself wants --username and --password-file.
        options = {k: getattr(mqtt, k) for k in ("host", "port", "protocol", "username", "ca_file", "cert_file", "key_file")} | options
    site = given.get("site", site)
    if not m.is_topic_segment(site):
        raise CtlError(USAGE, f"{site!r} is no site" if site else "which site?", "give --site, or --config with the daemon's configuration")
    gate = given.get("gate", gates[0] if gates else "")  # the gates of one daemon share their people, so any of them will do
    if not (any_gate and gate == "+") and not m.is_topic_segment(gate):
        raise CtlError(USAGE, f"{gate!r} is no gate" if gate else "which gate?", "give --gate, `all` for every gate of the site")
    port = options.get("port", 1883)
    if not 0 < port < 65_536:
        raise CtlError(USAGE, f"{port} is no port", "1883 is usual, 8883 with TLS")
    # The configuration's password is the configuration's user's.
    password_file = given.get("password_file", "" if "username" in given else password_file)
    password = read_secret(password_file, "--password-file") if password_file else None
    defaults = {"host": "127.0.0.1", "port": port, "protocol": "5", "password": password}
    return msgspec.convert(defaults | options, Address), site, gate


# ---- commands


def _send(args: argparse.Namespace, out: Console) -> int:
    """enroll, update, revoke, suspend, resume, ping."""
    results = _ask(args, _command(args))
    for gate, result, took_ms in results:
        _print_result(out, args, gate, result, took_ms)
    return DONE if all(result.status == "done" for _, result, _ in results) else REFUSED


def _command(args: argparse.Namespace) -> m.Command:
    now = datetime.now(UTC)
    ident, end = uuid4(), now + timedelta(seconds=LIFETIME_S)
    match args.op:
        case "enroll":
            return _enroll(args, ident, now)
        case "update":
            given = {k: v for k in ("name", "valid_from", "valid_until", "consent") if (v := getattr(args, k)) is not None}
            given |= {"gates": args.gate_allowed} if args.gate_allowed else {}
            cleared = {what.replace("-", "_"): None for what in args.clear}
            both = sorted(given.keys() & cleared.keys())
            if both or not given | cleared:
                message = f"{both[0]} is both given and cleared" if both else "nothing is to be changed"
                raise CtlError(USAGE, message, "give what is to change, for instance --valid-until 2026-12-31 or --clear valid-until")
            return m.Update(command_id=ident, issued_at=now, expires_at=end, person=args.person, **given, **cleared)
        case "revoke":
            return m.Revoke(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "suspend":
            return m.Suspend(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "resume":
            return m.Resume(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case _:
            return m.Ping(command_id=ident, issued_at=now, expires_at=end)


def _enroll(args: argparse.Namespace, ident: UUID, now: datetime) -> m.Enroll:
    images, capture, lifetime_s = None, None, LIFETIME_S
    if args.capture is not None:
        if not 1 <= args.capture <= m.MAX_CAPTURE_S:
            raise CtlError(USAGE, f"{args.capture:g} s is no time for a capture", f"1 to {m.MAX_CAPTURE_S:g} s; 5 is usual")
        capture, lifetime_s = m.Capture(seconds=args.capture), CAPTURE_LIFETIME_S
    else:
        if len(args.image) > m.MAX_IMAGES:
            raise CtlError(USAGE, f"{len(args.image)} images are too many", f"send {m.MAX_IMAGES} at most, the best ones")
        images = [_read_jpeg(path) for path in args.image]
    return m.Enroll(
        command_id=ident, issued_at=now, expires_at=now + timedelta(seconds=lifetime_s), person=args.person, images=images, capture=capture,
        name=args.name, valid_from=args.valid_from, valid_until=args.valid_until, gates=args.gate_allowed, consent=args.consent,
        force=args.force, replace=args.replace,
    )


def _read_jpeg(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size <= m.MAX_PAYLOAD_BYTES:
            data = path.read_bytes()
    except OSError as error:
        raise CtlError(USAGE, f"{path}: {error.strerror}", "give the path of a JPEG file") from None
    smaller = "a face of 300 pixels is plenty; for instance `convert IN.jpg -resize 1600x1600 -quality 90 OUT.jpg`"
    if size > m.MAX_PAYLOAD_BYTES:
        raise CtlError(USAGE, f"{path} has {size / 1e6:.1f} MB; a whole command may have {m.MAX_PAYLOAD_BYTES / 1e6:.1f} MB", smaller)
    if not data.startswith(b"\xff\xd8\xff"):
        raise CtlError(USAGE, f"{path} is not a JPEG file", "only JPEG is taken; for instance `convert IN.png OUT.jpg`")
    return data


def _ask(args: argparse.Namespace, command: m.Command) -> list[tuple[str, m.Result, float]]:
    """Send a command and wait for its answers: (gate, result, milliseconds it took), one per gate asked. Raises CtlError."""
    payload = m.encode(command)
    try:
        m.parse_command(payload)  # what the gate would refuse as malformed is refused here, with nothing sent
    except m.MessageError as error:
        hint = "send fewer or smaller images" if error.reason == "too_large" else "the line above names the field"
        raise CtlError(USAGE, error.detail, hint) from None
    address, site, gate = _where(args, any_gate=False)
    listen = "+" if gate == "all" else gate
    capture = command.capture if isinstance(command, m.Enroll) else None
    timeout_s = getattr(args, "timeout", 10.0) + (capture.seconds if capture is not None else 0.0)
    results: dict[str, tuple[str, m.Result, float]] = {}
    online: dict[str, bool] = {}
    with Broker(address, [m.topic(site, listen, "status"), m.topic(site, listen, "result")]) as broker:
        begun_s = time.monotonic()
        broker.publish(m.topic(site, gate, "command"), payload, timeout_s)
        while True:
            heard = broker.next(begun_s + timeout_s - time.monotonic())
            if heard is None:
                break
            if isinstance(heard, Lost):
                continue
            who, leaf = heard.topic.split("/")[-2:]
            if leaf == "status":
                online[who] = _is_online(heard.payload)
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
    address, site, gate = _where(args, any_gate=True)
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
    return DONE if all(show.is_well(one) for one in found.values()) else REFUSED


def _watch(args: argparse.Namespace, out: Console) -> int:
    address, site, gate = _where(args, any_gate=True)
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


if __name__ == "__main__":
    sys.exit(main())
