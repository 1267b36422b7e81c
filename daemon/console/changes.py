"""A change that somebody asks for: sent to the gates, noted in the log, and told with every gate's own answer."""

import logging
from collections.abc import Sequence
from typing import Any

from daemon.client.asked import Answer, NoAnswer
from daemon.console.console import Console
from daemon.console.people import other
from daemon.console.problem import Problem
from daemon.console.sessions import Session
from daemon.core import messages as m
from daemon.core.plain import printable
from daemon.core.refusals import words

log = logging.getLogger("ostiary.console")
AGAIN = "Send it again until it is answered; until then watch the door, or stop the gate"


async def carried_out(console: Console, session: Session, command: m.Command, gate: str | None = None) -> dict[str, Any]:
    """What the gates answer, as the API tells it. Raises Problem, which has the answers that have come."""
    if gate is None and isinstance(command, m.Enroll):
        gate = console.state.sharing_gate()
    try:
        answers = await console.line.ask(command, gate)
    except NoAnswer as error:
        _note(session, command, gate, error.answers, "some have not answered")
        raise _unanswered(command, "no_answer", error.message, error.hint, told(console, error.answers)) from None
    except Problem as problem:
        _note(session, command, gate, (), problem.code)
        if problem.status == 503:
            raise _unanswered(command, problem.code, problem.message, problem.hint, []) from None
        raise
    _note(session, command, gate, answers)
    return {"answers": told(console, answers)}


def note(session: Session, op: str, whom: str, gate: str) -> None:
    """One line about something else than a command."""
    log.info("change user=%s role=%s op=%s visitor=%s at=%s", session.user, session.role.word, op, whom, gate)


def told(console: Console, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The answers with their reasons in plain words."""
    return [_told(console, answer) for answer in answers]


def _told(console: Console, answer: Answer) -> dict[str, Any]:
    result = answer.result
    plain = words(result.reason)
    made: dict[str, Any] = {
        "gate": answer.gate, "status": result.status, "reason": result.reason, "detail": result.detail, "person": result.person,
        "words": plain.so, "next": plain.step,
    }  # fmt: skip
    if (person := other(result)) is not None:
        made["other"] = {"person": person, "name": console.people.name(person)}
    return made


def _unanswered(command: m.Command, code: str, message: str, hint: str, answers: list[dict[str, Any]]) -> Problem:
    if isinstance(command, m.Revoke | m.Suspend):
        message, hint = f"{command.person} may still be accepted: {message}", f"{hint}. {AGAIN}"
    return Problem(503, code, message, hint, answers=answers)


def _note(session: Session, command: m.Command, gate: str | None, answers: Sequence[Answer], more: str = "") -> None:
    """One line about who did what: no name, no picture."""
    said = " ".join(f"{one.gate}={one.result.status}" + (f":{one.result.reason}" if one.result.reason else "") for one in answers)
    said = printable(said)  # a gate's reason is its own text
    log.info(
        "change user=%s role=%s op=%s person=%s at=%s command_id=%s %s",
        session.user, session.role.word, m.op_of(command), getattr(command, "person", None), gate or "all", command.command_id,
        " ".join(part for part in (said, more and f"({more})") if part),
    )  # fmt: skip
