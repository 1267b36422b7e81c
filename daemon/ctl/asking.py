"""Sending a command to a gate, or to all gates of a site, and waiting for the answers."""

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from daemon.client.broker import Broker, Heard
from daemon.client.failures import NO_ANSWER, REFUSED, SAME_VERSION, USAGE, ClientError
from daemon.client.keys import believed, read_signer
from daemon.client.target import target
from daemon.core import messages as m

TIMEOUT_S = 10.0
"""How long to wait for an answer, unless --timeout says otherwise."""

AGAIN_S = 3.0
"""How long to wait for an answer from the narrow topic alone."""

Tell = Callable[[str, m.Reembedding], None]
"""Hears how far a change of model on a gate has come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One gate's answer, and how long it took."""

    gate: str
    result: m.Result
    took_ms: float


def ask(args: argparse.Namespace, command: m.Command, tell: Tell | None = None) -> list[Answer]:
    """Send a command and wait for its answers, one per gate asked. Raises ClientError.

    It is sent to the narrowest topic, and after a while without an answer also to the one that takes every command: over MQTT 3.1.1 nobody
    says that the ACL forbids the narrow one, and an earlier gate does not listen there. A gate carries it out once.
    With `tell`, the time to wait begins again whenever a gate says how far its change of model has come.
    """
    payload = _payload(command)
    to = target(vars(args), any_gate=False)
    signer, gates = read_signer(args.key) if hasattr(args, "key") else None, believed(getattr(args, "gate_key", ()))
    topics = to.command_topics(m.op_of(command))
    messages = [(topic, payload if signer is None else signer.sealed(topic, payload)) for topic in topics]
    capture = command.capture if isinstance(command, m.Enroll) else None
    timeout_s = getattr(args, "timeout", TIMEOUT_S) + (capture.seconds if capture is not None else 0.0)
    answers: dict[str, Answer] = {}
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
                status = _status(heard.payload)
                online[gate] = status is not None and status.online
                if tell is not None and status is not None and status.reembedding is not None:
                    since_s = time.monotonic()
                    tell(gate, status.reembedding)
                continue
            result = _result(heard.payload, command)
            if result is not None:
                answers[gate] = Answer(gate, result, (time.monotonic() - begun_s) * 1000)
            # Retained statuses come before any answer, so by now it is known which gates there are to wait for.
            if answers and all(name in answers for name, is_on in online.items() if is_on):
                break
    # Who is to be shut out may still be let in where nobody answers.
    every = isinstance(command, m.Revoke | m.Suspend)
    missing = sorted(name for name, is_on in online.items() if (is_on or every) and name not in answers)
    if not answers or missing:
        raise _no_answer(to.gate, timeout_s, online, missing if answers else [], forged)
    return [answers[name] for name in sorted(answers)]


def _payload(command: m.Command) -> bytes:
    """The command as it is sent. Raises ClientError for one that the gate would refuse as malformed."""
    payload = m.encode(command)
    try:
        m.parse_command(payload)
    except m.MessageError as error:
        if error.detail.endswith("`$.person`"):
            message = f"{getattr(command, 'person', None)!r} is not an employee number"
            raise ClientError(
                USAGE, message, "use letters, digits and . _ @ -, begin with a letter or digit, 64 characters at most"
            ) from None
        hint = "send fewer or smaller images" if error.reason == "too_large" else "the line above names the field"
        raise ClientError(USAGE, error.detail, hint) from None
    return payload


def _status(payload: bytes) -> m.StatusMessage | None:
    try:
        return msgspec.json.decode(payload, type=m.StatusMessage)
    except msgspec.MsgspecError:
        return None  # of another version, perhaps; only the answer matters here


def _result(payload: bytes, command: m.Command) -> m.Result | None:
    """The answer to `command`; None if it answers another one. Raises ClientError for an answer to it that cannot be read."""
    try:
        result = msgspec.json.decode(payload, type=m.Result)
    except msgspec.MsgspecError as error:
        if str(command.command_id).encode() in payload:
            raise ClientError(REFUSED, f"the gate's answer cannot be read: {error}", SAME_VERSION) from None
        return None
    return result if result.command_id == str(command.command_id) else None


def _no_answer(gate: str, timeout_s: float, online: dict[str, bool], missing: list[str], forged: bool) -> ClientError:
    if missing:
        message, hint = f"no answer from {', '.join(missing)} in {timeout_s:g} s", "the other gates answered; see `ostiaryctl status`"
    elif not online and forged:
        message = f"no answer in {timeout_s:g} s that is signed with --gate-key"
        hint = "compare --gate-key with the public key that `ostiaryd check` shows at the gate; if it is right, others speak in its name"
    elif not online:
        # A broker may keep the status from a login without a word.
        message = (
            f"no answer in {timeout_s:g} s, and no status of gate {gate}"
            if gate != "all"
            else f"no answer in {timeout_s:g} s from any gate"
        )
        hint = "check --site and --gate, and whether the broker's ACL lets this login read status and result"
    elif not any(online.values()):
        message, hint = f"no answer in {timeout_s:g} s: gate {', '.join(sorted(online))} is offline", "start its daemon"
    else:
        message = f"no answer in {timeout_s:g} s"
        hint = "the gate is busy, or does not get its commands, or this login may not read its results; see `ostiaryctl status`"
    return ClientError(NO_ANSWER, message, f"{hint}. The command may still be carried out")
