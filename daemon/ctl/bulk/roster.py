"""Who is enrolled at each gate, over a link; and the same as CSV."""

import csv
import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

from daemon.client.failures import REFUSED, USAGE, ClientError
from daemon.client.link import Link
from daemon.core import messages as m
from daemon.core.counts import persons
from daemon.ctl.bulk.cells import cell
from daemon.ctl.commands import list_page

PAGE = 500
COLUMNS = ("person", "name", "state", "templates", "enrolled_at", "valid_from", "valid_until", "gates", "schedule", "photos")

Roster = dict[str, m.PersonEntry]
"""The people of a gate, by their numbers."""


def rosters(link: Link, gate: str | None, timeout_s: float) -> dict[str, Roster]:
    """The people of the gate, or of every gate that is online, by the gate's name. Raises ClientError."""
    asked = [gate] if gate is not None else sorted(name for name, seen in link.statuses().items() if seen.online)
    if not asked:
        raise ClientError(REFUSED, "no gate is online", "see `ostiaryctl status`")
    return {name: _roster(link, name, timeout_s) for name in asked}


def _roster(link: Link, gate: str, timeout_s: float) -> Roster:
    found, after = Roster(), None
    while True:
        (answer,) = link.ask(list_page(after, PAGE), gate, timeout_s).result()
        result = answer.result
        if result.status != "done":
            raise ClientError(REFUSED, f"gate {gate} does not say who is enrolled: {result.reason}: {result.detail}", "see its log")
        found |= {one.person: one for one in result.people or ()}
        if result.next_after is None or result.next_after == after:
            return found
        after = result.next_after


def as_csv(people: list[m.PersonEntry]) -> str:
    """The people as a CSV file that `sync` and `enroll` read again. Photos are for people to fill in; a gate gives none away."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for one in people:
        gates = ";".join(one.gates or ())
        values = (
            one.person,
            one.name,
            one.state,
            str(one.templates),
            one.enrolled_at,
            one.valid_from,
            one.valid_until,
            gates,
            one.schedule,
            "",
        )
        writer.writerow([cell(value or "") for value in values])
    return text.getvalue()


def write_csv(path: Path, people: list[m.PersonEntry], out: Console) -> None:
    """Write them to a file, with the mark by which Excel knows UTF-8. Raises ClientError."""
    try:
        path.write_bytes(as_csv(people).encode("utf-8-sig"))
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", "give a file in a folder that you may write to") from None
    out.print(Text(f"{persons(len(people))} in {path}"))
