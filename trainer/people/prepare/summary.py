"""What one call made of a folder of photos, for people to read."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from daemon.core.counts import counted, persons
from trainer import terminal
from trainer.people.prepare import table
from trainer.people.prepare.deciding import merged_people, owner_of
from trainer.people.prepare.survey import NO_PERSON, Survey
from trainer.people.prepare.table import TWIN, Outcome, Row
from trainer.people.prepare.work import GONE, NOT_NOW

THIN = 3
"""A triplet needs two pictures of a person, and a recipe of triplets three of each."""
MOST = 8
"""How many kinds of files that are of no use."""
SHOWN = 20
"""How many lines of one kind are printed. All of them are in the table."""


@dataclass(frozen=True, slots=True)
class Summary:
    """`rows` of every file below the folder and of earlier calls, and `people`: a row for each. `new` is how many crops this call made,
    `changed` the photos whose content is another than before, `removed` how many crops were deleted,
    `decided` a line about decisions. `strange` are pictures in the folder of crops that no row has."""

    rows: tuple[Row, ...]
    people: tuple[Row, ...]
    folder: str
    new: int
    changed: tuple[str, ...] = ()
    removed: int = 0
    decided: str = ""
    strange: tuple[str, ...] = ()

    def of(self, outcome: Outcome) -> list[Row]:
        """The rows of people or files with this outcome."""
        return [row for row in (*self.rows, *self.people) if row.outcome == outcome]


def people(survey: Survey, rows: Iterable[Row]) -> list[Row]:
    """A row for each person: of this folder, and of earlier calls."""
    taken, refused = Counter[str](), dict[str, list[Row]]()
    rows = list(rows)
    merged = merged_people(rows)
    for row in rows:
        if row.crop:
            taken[owner_of(row.crop)] += 1
        elif row.outcome == Outcome.REFUSED and row.person:
            refused.setdefault(row.person, []).append(row)
    found = []
    for person in sorted({*survey.people, *taken}):
        lost, count = refused.get(person, []), taken[person]
        outcome = Outcome.LOST if not count else Outcome.THIN if count < THIN else Outcome.FOUND
        why = _why(count, lost)
        if not count and person in merged:
            outcome, why = Outcome.MERGED, f"with {merged[person]}, by a decision"
        found.append(Row(f"{person}/", person, outcome, why, folder=survey.folder))
    return found


def _why(crops: int, refused: Sequence[Row]) -> str:
    if not crops and not refused:
        return "no photo"
    kinds = Counter(row.reason for row in refused)
    said = [f"{count} × {reason}" if len(refused) > 1 else reason for reason, count in kinds.most_common(3)]
    more = len(refused) - sum(count for _, count in kinds.most_common(3))
    reasons = ", ".join([*said, f"{more} for other reasons"] if more else said)
    return f"{counted(crops, 'crop')}" + (f"; refused: {reasons}" if refused else "")


def show(summary: Summary, photos: Path, crops: Path) -> None:
    """Print what became of every file and person."""
    say = terminal.say
    here = sorted(
        (row for row in summary.rows if row.folder == summary.folder and not row.reason.startswith(GONE)), key=lambda row: row.photo
    )
    clean = f"`ostiary-train clean {shlex.quote(str(crops))} FOUND`"
    taken, refused, useless = ([row for row in here if row.outcome == kind] for kind in (Outcome.TAKEN, Outcome.REFUSED, Outcome.USELESS))
    if refused:
        terminal.console().print(_table("refused", refused, lambda row: row.photo))
    if any(row.reason == NO_PERSON for row in refused):
        say("A photo belongs to the person whose folder it is in: put the others into folders, each named after a person.")
    said = f"{len(taken):,} taken, {len(refused):,} refused, {len(useless):,} of no use"
    say(f"{counted(len(here), 'file')} below {photos}: {said}{_kinds(useless)}")
    if twins := sum(TWIN in row.reason for row in taken):
        say(f"{counted(twins, 'photo')} taken for two people each: {clean} shows which")
    if summary.changed:
        say(f"{counted(len(summary.changed), 'photo')} changed since the last call: {_some(summary.changed)}")
    for reason, what in ((GONE, "no longer there (--prune deletes their crops)"), (NOT_NOW, "not readable now")):
        if gone := [row.photo for row in summary.rows if row.reason.startswith(reason)]:
            say(f"{counted(len(gone), 'photo')} of earlier calls {what}; the crops are kept: {_some(gone)}")
    if summary.decided:
        say(summary.decided)
    if summary.removed:
        say(f"{counted(summary.removed, 'crop')} of photos that have changed, moved or gone deleted")
    if summary.strange:
        say(f"{counted(len(summary.strange), 'picture')} in {crops} of no photo, which `fit` would read: {_some(summary.strange)}")
    lost, thin = summary.of(Outcome.LOST), summary.of(Outcome.THIN)
    if lost:
        terminal.console().print(_table("lost", lost, lambda row: row.person))
    if thin:
        say(f"thin, with fewer than {THIN} crops: {_some([row.person for row in thin], SHOWN)}")
    merged = len(summary.of(Outcome.MERGED))
    with_crops = len(summary.people) - len(lost) - merged
    less = f", {len(thin):,} of them thin" if thin else ""
    more = f"; {merged:,} merged with others" if merged else ""
    say(f"{persons(len(summary.people))} found: {with_crops:,} with crops{less}; {len(lost):,} lost{more}")
    crop_count = sum(bool(row.crop) for row in summary.rows)
    if crop_count:
        where = f"{crops / table.NAME} has a line for every file and person"
        say(f"{counted(crop_count, 'crop')} in {crops}, {summary.new:,} of them new; {where}")
    if summary.new and not summary.decided:
        say(f"next, {clean} looks for doubles and wrong labels")


def _table(what: str, rows: Sequence[Row], name: Callable[[Row], str]) -> Table:
    shown = terminal.table(what, "why")
    for row in rows[:SHOWN]:
        shown.add_row(terminal.safe(name(row)), terminal.safe(row.reason))
    if len(rows) > SHOWN:
        shown.add_row(f"and {len(rows) - SHOWN:,} more", f"in {table.NAME}")
    return shown


def _kinds(useless: Sequence[Row]) -> str:
    kinds = Counter("the same file as another of the person" if row.reason.startswith(TWIN) else row.reason for row in useless)
    said = [f"{count:,} × {reason}" for reason, count in kinds.most_common(MOST)]
    more = len(useless) - sum(count for _, count in kinds.most_common(MOST))
    return f" ({', '.join([*said, f'{more:,} for other reasons'] if more else said)})" if useless else ""


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
