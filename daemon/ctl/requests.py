"""Commands whose answer is one line: enroll, update, revoke, suspend, resume, verify, ping, reembed."""

import argparse

from rich.console import Console
from rich.text import Text

from daemon.client.asked import Answer
from daemon.client.failures import DONE, REFUSED, USAGE, ClientError
from daemon.core import messages as m
from daemon.core.counts import counted
from daemon.ctl.asking import ask
from daemon.ctl.commands import build
from daemon.ctl.text import safe, to_json


def send(args: argparse.Namespace, out: Console) -> int:
    """Every command that is answered at once."""
    try:
        answers = ask(args, build(args))
    except ClientError as error:
        if args.op not in ("revoke", "suspend") or error.code == USAGE:
            raise
        hint = f"{error.hint}. Send it again until it is answered; until then watch the door, or stop the gate"
        raise ClientError(error.code, f"{args.person} may still be accepted: {error.message}", hint) from None
    return show_answers(args, answers, out)


def change_model(args: argparse.Namespace, out: Console) -> int:
    """reembed. While it runs, it shows how far it has come."""
    told: dict[str, m.Reembedding] = {}

    def tell(gate: str, progress: m.Reembedding) -> None:
        if told.get(gate) != progress and not hasattr(args, "json"):
            said = f" {progress.done} of {counted(progress.of, 'template')} embedded with {progress.model}"
            out.print(Text.assemble("… ", safe(gate, "cyan"), safe(said, "dim")))
        told[gate] = progress

    return show_answers(args, ask(args, build(args), tell), out)


def show_answers(args: argparse.Namespace, answers: list[Answer], out: Console) -> int:
    """Print the answers, one a line; returns the exit code."""
    for answer in answers:
        out.print(Text(to_json(answer.result)) if hasattr(args, "json") else _line(args.op, getattr(args, "person", ""), answer))
    return DONE if all(answer.result.status == "done" for answer in answers) else REFUSED


def _line(op: str, person: str, answer: Answer) -> Text:
    result = answer.result
    mark, style = ("✓", "bold green") if result.status == "done" else ("✗", "bold red")
    if result.status == "done" and result.reason is not None:
        mark, style = "!", "bold yellow"
    what = " ".join(part for part in (op, person, result.status) if part)
    why = ": ".join(part for part in (result.reason, result.detail) if part)
    by = f", key {result.key}" if result.key is not None else ""
    end = f"  (gallery revision {result.gallery_revision}{by}, {answer.took_ms:.0f} ms)"
    return Text.assemble((mark, style), " ", safe(answer.gate, "cyan"), " ", safe(what), safe(f"  {why}" if why else ""), safe(end, "dim"))
