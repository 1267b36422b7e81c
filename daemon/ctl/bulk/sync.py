"""sync: make the gate's people those of a file, after showing the difference. Who left is shut out first."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.text import Text

from daemon.client.failures import DONE, REFUSED, USAGE, ClientError
from daemon.core.counts import persons
from daemon.ctl.asking import TIMEOUT_S
from daemon.ctl.bulk.asks import Ask, Options
from daemon.ctl.bulk.csv_rows import read_csv
from daemon.ctl.bulk.difference import Change, Difference, difference
from daemon.ctl.bulk.enroll import Run, check_report, concluded
from daemon.ctl.bulk.journal import Journal, beside
from daemon.ctl.bulk.opening import connected
from daemon.ctl.bulk.roster import rosters
from daemon.ctl.bulk.rows import Row, Value
from daemon.ctl.bulk.showing import Show
from daemon.ctl.text import local, safe, table, to_json

_SHOWN = 20
"""How many people of each kind the table names."""


def sync(args: argparse.Namespace, out: Console) -> int:
    """Raises ClientError, before anything is changed, for too many revocations and where nobody can be asked."""
    rows = read_csv(args.csv)
    check_report(args.report, args.csv)
    path: Path = args.journal or beside(args.csv)
    # The journal first: two runs at once would each see the other's work half done.
    with nullcontext() if args.dry_run else Journal(path) as journal, connected(args) as (link, gate):
        found = difference(rows, rosters(link, gate, getattr(args, "timeout", TIMEOUT_S)))
        if args.no_revoke:
            found.left = []
        _show(out, found, for_machines=hasattr(args, "json"))
        _need_few(found, args)
        if found.is_nothing or args.dry_run:
            return DONE
        _need_yes(args, out)
        run = Run(link, gate, Options(force=args.force), journal, args.wait)
        people = len({row.person for row, _ in found.new} | {one.row.person for one in found.changed}) + len(found.left)
        with Show(out, people, "changed", for_machines=hasattr(args, "json")) as show:
            failure = _carry_out(run, found, show)
        if any(one.op == "revoke" and one.status != "done" for one in show.outcomes) or (failure is not None and found.left):
            show.say("somebody who left may still be accepted: run it again until everything is answered, and watch the door until then")
        return concluded(args, out, show, failure, path)


def _carry_out(run: Run, found: Difference, show: Show) -> BaseException | None:
    """Revocations, then changes, then enrolments. Returns what ended it before its end."""
    # Who left is revoked at all gates of the site, also where a gate is offline or has never heard of them.
    gone = (Ask("revoke", Row("", entry.person), run.gate, entry.person) for entry, _ in found.left)
    changed = (Ask("update", one.row, gate, one.row.person, fields=one.fields) for one in found.changed for gate in one.gates)
    return (
        run.send(gone, show, uuid4())  # ids of this run alone: who is revoked again later is revoked again
        or run.send(changed, show, uuid4())
        or run.enroll([row for row, _ in found.new], show, {row.person: gates for row, gates in found.new})
    )


def _need_few(found: Difference, args: argparse.Namespace) -> None:
    gone, most = len(found.left), args.revoke_many
    if found.revokes_many and (most is None or gone > most):
        message = f"{persons(gone)} of {found.enrolled:,} would be revoked; nothing was changed"
        raise ClientError(USAGE, message, f"is the file complete? If it is, give --revoke-many {gone}; --no-revoke revokes nobody")


def _need_yes(args: argparse.Namespace, out: Console) -> None:
    if args.yes:
        return
    if not sys.stdin.isatty() or hasattr(args, "json"):
        raise ClientError(USAGE, "nobody can be asked whether to do this; nothing was changed", "give --yes, or --dry-run to look only")
    if out.input(Text("Do it? [y/N] ", "bold")).strip().lower() not in ("y", "yes"):
        raise ClientError(REFUSED, "nothing was changed", "give --no-revoke to revoke nobody, or correct the file")


def _show(out: Console, found: Difference, *, for_machines: bool) -> None:
    if for_machines:
        lists = {
            "enroll": [row.person for row, _ in found.new],
            "update": [one.row.person for one in found.changed],
            "revoke": [entry.person for entry, _ in found.left],
        }
        out.print(Text(to_json({"difference": {**lists, "unchanged": found.unchanged}})))
        return
    made = table("", "person", "name", "what", "where")
    revoked = [(entry.person, entry.name or "", "is not in the file", gates) for entry, gates in found.left]
    changed = [(one.row.person, _name(one.row), _words(one), list(one.gates)) for one in found.changed]
    new = [(row.person, _name(row), f"pictures: {', '.join(one.name for one in row.photos) or 'none'}", gates) for row, gates in found.new]
    for mark, style, lines in (("– revoke", "red", revoked), ("~ update", "yellow", changed), ("+ enrol", "green", new)):
        for person, name, what, gates in lines[:_SHOWN]:
            made.add_row(Text(mark, style), safe(person), safe(name), safe(what), safe(", ".join(gates)))
        if len(lines) > _SHOWN:
            made.add_row("", "", "", f"… and {persons(len(lines) - _SHOWN)} more", "")
    if not found.is_nothing:
        out.print(made)
    counted = f"{len(revoked):,} to revoke, {len(changed):,} to update, {len(new):,} to enrol, {found.unchanged:,} unchanged"
    out.print(Text(counted, "bold"))


def _name(row: Row) -> str:
    return str(row.fields.get("name") or "")


def _words(one: Change) -> str:
    return "; ".join(f"{name}: {_text(one.before[name])} → {_text(one.fields[name])}" for name in one.before)


def _text(value: Value) -> str:
    if value is None:
        return "–"
    return ", ".join(value) if isinstance(value, list) else local(value if isinstance(value, str) else value.isoformat())
