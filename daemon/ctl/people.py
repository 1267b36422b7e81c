"""get and list: who is enrolled."""

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.client.failures import DONE, USAGE, ClientError
from daemon.core.counts import counted, persons
from daemon.core.messages import PersonEntry
from daemon.ctl.arguments import STDOUT
from daemon.ctl.asking import TIMEOUT_S, ask
from daemon.ctl.bulk.opening import connected
from daemon.ctl.bulk.roster import as_csv, rosters, write_csv
from daemon.ctl.commands import build, list_page
from daemon.ctl.requests import show_answers
from daemon.ctl.text import local, safe, table, to_json

PAGE = 500
"""How many people `list` asks for at a time."""


def show_one(args: argparse.Namespace, out: Console) -> int:
    """get."""
    answers = ask(args, build(args))
    code = DONE
    for answer in answers:
        if answer.result.status != "done" or hasattr(args, "json") or not answer.result.people:
            code = max(code, show_answers(args, [answer], out))
        else:
            out.print(_card(answer.result.people[0]))
    return code


def show_people(args: argparse.Namespace, out: Console) -> int:
    """list, a page after the other."""
    if args.csv is not None:
        return _as_csv(args, out)
    people: list[PersonEntry] = []
    after: str | None = args.after
    while True:
        answer = ask(args, list_page(after, PAGE if args.limit is None else min(PAGE, args.limit - len(people))))[0]
        result = answer.result
        if result.status != "done":
            return show_answers(args, [answer], out)
        people += result.people or []
        more = result.next_after if result.next_after != after else None
        if more is None or len(people) == args.limit:
            break
        after = more
    if hasattr(args, "json"):
        out.print(Text(to_json({"people": people, "next_after": more, "gallery_revision": result.gallery_revision})))
        return DONE
    if people:
        out.print(_table(people))
    said = f"{persons(len(people))}, {counted(sum(p.templates for p in people), 'template')}"
    out.print(Text(f"{said}, gallery revision {result.gallery_revision}"))
    if more is not None:
        out.print(safe(f"there are more people: continue with --after {more}", "yellow"))
    return DONE


def _as_csv(args: argparse.Namespace, out: Console) -> int:
    """list --csv: everybody, of all gates that are asked together."""
    if args.after is not None or args.limit is not None or hasattr(args, "json"):
        raise ClientError(USAGE, "--csv has everybody, and no other form", "leave --after, --limit and --json out")
    with connected(args) as (link, gate):
        people = {
            person: one for roster in rosters(link, gate, getattr(args, "timeout", TIMEOUT_S)).values() for person, one in roster.items()
        }
    found = [people[person] for person in sorted(people)]
    if args.csv == STDOUT:
        out.file.write(as_csv(found))
    else:
        write_csv(args.csv, found, out)
    return DONE


def _table(people: list[PersonEntry]) -> Table:
    made = table("person", "name", "state", "templates", "enrolled", "valid", "gates", "schedule")
    for one in people:
        made.add_row(
            safe(one.person),
            safe(one.name or ""),
            _state(one),
            str(one.templates),
            safe(local(one.enrolled_at)),
            safe(_valid(one)),
            _gates(one),
            safe(one.schedule or "any time"),
        )
    return made


def _card(one: PersonEntry) -> Table:
    """One person's record, one line for each thing known."""
    made = Table(box=None, pad_edge=False, show_header=False)
    for title, value in (
        ("person", safe(one.person)),
        ("name", safe(one.name or "–")),
        ("state", _state(one)),
        ("templates", Text(str(one.templates))),
        ("enrolled", safe(local(one.enrolled_at))),
        ("valid", safe(_valid(one))),
        ("gates", _gates(one)),
        ("schedule", safe(one.schedule or "any time")),
        ("consent", safe(one.consent or "–")),
    ):
        made.add_row(Text(title, "bold"), value)
    return made


def _state(one: PersonEntry) -> Text:
    return safe(one.state, "" if one.state == "active" else "yellow")


def _gates(one: PersonEntry) -> Text:
    return safe(", ".join(one.gates) if one.gates else "all")


def _valid(one: PersonEntry) -> str:
    bounds = (("from", one.valid_from), ("until", one.valid_until))
    return " ".join(f"{word} {local(instant)}" for word, instant in bounds if instant is not None) or "always"
