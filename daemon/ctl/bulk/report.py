"""What came of a run: counts, refusals by reason with what to do, and the same as a CSV file."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.client.failures import DONE, NO_ANSWER, REFUSED, USAGE, ClientError
from daemon.core.counts import persons
from daemon.ctl.bulk.cells import cell
from daemon.ctl.bulk.outcomes import Outcome, next_step
from daemon.ctl.text import safe

_COLUMNS = ("where", "person", "op", "gate", "status", "reason", "detail", "file", "next_step")
_NAMED = 8
"""How many people a line of the table names."""


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """DONE, or the worst that came of somebody."""
    statuses = {one.status for one in outcomes}
    return NO_ANSWER if "unanswered" in statuses else REFUSED if statuses & {"refused", "failed"} else DONE


def counts(outcomes: Sequence[Outcome]) -> Counter[str]:
    """People by the worst that came of them: unanswered, failed, refused or done; and `left_out`, of those done, without some picture."""
    order = ("done", "refused", "failed", "unanswered")
    worst: dict[tuple[str, str], str] = {}
    for one in outcomes:
        worst[one.op, one.person] = max(worst.get((one.op, one.person), "done"), one.status, key=order.index)
    found = Counter(worst.values())
    found["left_out"] = len({(one.op, one.person) for one in outcomes if one.left_out and worst[one.op, one.person] == "done"})
    return found


def show_refusals(out: Console, outcomes: Sequence[Outcome]) -> None:
    """A table by reason: of people, and of single pictures that were left out."""
    people = defaultdict[str, list[tuple[str, str | None]]](list)
    pictures = defaultdict[str, list[tuple[str, str | None]]](list)
    for one in outcomes:
        if one.status in ("refused", "failed"):
            people[one.reason or one.status].append((one.person, one.detail))
        for picture in one.left_out if one.status == "done" else ():
            pictures[picture.reason].append((picture.file, picture.detail))
    if people:
        out.print(_table("not done because", "people", people))
    if people and pictures:
        out.print()
    if pictures:
        out.print(_table("pictures left out", "number", pictures))


def _table(title: str, noun: str, found: dict[str, list[tuple[str, str | None]]]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    made.add_column(title)
    made.add_column(noun, justify="right")
    made.add_column("what to do", ratio=1)
    made.add_column("who" if noun == "people" else "files", ratio=1)
    for reason, cases in sorted(found.items(), key=lambda item: -len(item[1])):
        names = list(dict.fromkeys(name for name, _ in cases))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        named = ", ".join(names[:_NAMED]) + more
        made.add_row(safe(reason, "red"), str(len(names)), safe(next_step(reason, cases[0][1])), safe(named))
    return made


def said(outcomes: Sequence[Outcome], took_s: float, earlier: int) -> Text:
    """The last line for people."""
    found = counts(outcomes)
    parts = [f"{found['done']:,} done"]
    if found["left_out"]:
        parts[0] += f" ({found['left_out']:,} of them without some picture)"
    parts += [f"{found[name]:,} {name}" for name in ("refused", "failed", "unanswered") if found[name]]
    number = sum(found[name] for name in ("done", "refused", "failed", "unanswered"))
    before = f"; {earlier:,} of them in an earlier run" if earlier else ""
    rate = (number - earlier) / took_s if took_s > 0 else 0.0
    return Text(f"{persons(number)}: {', '.join(parts)}{before}; {took_s:.0f} s, {rate:.1f} a second")


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """The outcomes as a CSV file: a line for each person and gate, and one for each picture that was left out. Raises ClientError."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([cell(value) for value in line] for one in outcomes for line in _lines(one))
    try:
        path.write_bytes(text.getvalue().encode("utf-8-sig", "replace"))
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", "give --report a file in a folder that you may write to") from None


def _lines(one: Outcome) -> Iterator[tuple[str, ...]]:
    begin = (one.where, one.person, one.op, one.gate)
    step = next_step(one.reason, one.detail) if one.reason is not None and one.status != "done" else ""
    yield (*begin, one.status, one.reason or "", one.detail or "", "", step)
    for picture in one.left_out:
        step = next_step(picture.reason, picture.detail)
        yield (*begin, "left_out", picture.reason, picture.detail, picture.file, step)


def summary(outcomes: Sequence[Outcome], took_s: float, earlier: int, *, interrupted: bool) -> dict[str, object]:
    """The last object for machines."""
    found = counts(outcomes)
    reasons = Counter(one.reason for one in outcomes if one.status in ("refused", "failed"))
    return {
        "summary": {
            **{name: found[name] for name in ("done", "refused", "failed", "unanswered")},
            "without_some_picture": found["left_out"],
            "earlier": earlier,
            "reasons": dict(reasons),
            "seconds": round(took_s, 2),
            "interrupted": interrupted,
        }
    }
