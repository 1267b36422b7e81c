"""Decisions about the findings of `ostiary-train clean`, carried out in a folder of crops for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.core.counts import counted
from trainer.people import decisions
from trainer.people.errors import DataError
from trainer.people.names import file_name
from trainer.people.prepare import target
from trainer.people.prepare.table import TWIN, Outcome, Row

DROPPED, MERGED, MOVED = "dropped by a decision", "merged by a decision", "moved by a decision"
"""Reasons in the table. Later calls leave a dropped photo out, and the photos of a merged person go where this person's crops went."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decided lines of a file."""

    path: Path
    rows: tuple[decisions.Row, ...]

    def of(self, rows: Iterable[Row]) -> tuple[dict[str, str | None], int]:
        """{crop: person, or None if dropped} of the crops in these rows, and how many decisions are about what is not there: those that an
        earlier call has carried out. Raises DataError for decisions that contradict each other."""
        owner = {row.crop: owner_of(row.crop) for row in rows if row.crop}
        people = {*owner.values()}
        there = [line for line in self.rows if _names(line) <= ({*owner} if line.kind in decisions.PICTURES else {*owner} | people)]
        now = decisions.assigned(owner, there, self.path)[0] if there else dict[str, str | None](owner)
        return now, len(self.rows) - len(there)


def read(path: Path | None) -> Decisions | None:
    """The decisions in a file. Raises DataError."""
    if path is None:
        return None
    decided = tuple(row for row in decisions.read(path) if row.decision)
    if not decided:
        raise DataError(f"{path} decides nothing", "write your decisions into the column decision, or leave out --decisions")
    return Decisions(path, decided)


def owner_of(crop: str) -> str:
    """The person whose crop this is: by a decision it may be another one than the photo's folder says."""
    return crop.split("/")[0]


def standing(reason: str) -> list[str]:
    """The parts of a row's reason that a later call keeps."""
    return [part for part in reason.split("; ") if part in (MERGED, MOVED)]


def name_before(row: Row) -> str:
    """The usual name of the crop of a photo that was decided about; empty for others."""
    if row.reason != DROPPED and not standing(row.reason):
        return ""
    return f"{row.person}/{file_name(row.photo.split('/', 1)[-1])}.png"


def merged_people(rows: Iterable[Row]) -> dict[str, str]:
    """{person of a photo's folder: the person that it was merged into}."""
    return {row.person: owner_of(row.crop) for row in rows if row.crop and MERGED in standing(row.reason)}


def carry_out(crops: Path, rows: Sequence[Row], decided: Decisions, note: Callable[[Row], None]) -> tuple[list[Row], str]:
    """Delete and move crops as decided, noting each row that changes; gives all rows, and a line that says what was done. Raises DataError,
    and PrepareError if a file cannot be moved. A file is moved before it is noted: after a kill between the two, the same call mends it."""
    now, gone = decided.of(rows)
    single = {line.a for line in decided.rows if line.kind in decisions.CROPS and line.decision in ("move", "split")}
    used = {row.crop for row in rows}
    found: list[Row] = []
    done = dict.fromkeys((DROPPED, MERGED, MOVED), 0)
    for row in rows:
        if not row.crop or (who := now[row.crop]) == owner_of(row.crop):
            found.append(row)
            continue
        if who is None:
            reason, name = DROPPED, ""
            target.remove(crops, row.crop)
        else:
            reason = MOVED if row.crop in single or MOVED in standing(row.reason) else MERGED
            name = _free(who, row, used)
            target.move(crops, row.crop, name)
        told = [part for part in row.reason.split("; ") if part and part not in (MERGED, MOVED)] if name else []
        changed = replace(row, outcome=Outcome.TAKEN if name else Outcome.REFUSED, reason="; ".join([*told, reason]), crop=name)
        note(changed)
        found.append(changed)
        done[reason] += 1
    parts = ", ".join(f"{counted(count, 'crop')} {reason}" for reason, count in done.items() if count)
    left = f"; {counted(gone, 'decision')} about what is not there, or not any more" if gone else ""
    return _without_settled_twins(found), f"{decided.path}: {parts or 'nothing left to do'}{left}"


def _names(line: decisions.Row) -> set[str]:
    """What must be there for a decision. Whom a picture is moved to is checked when it is moved."""
    return {line.a} if line.kind in decisions.CROPS else {line.a, line.b}


def _free(person: str, row: Row, used: set[str]) -> str:
    stem = row.crop.split("/")[1].removesuffix(".png")
    name = f"{person}/{stem}.png"
    name = name if name not in used else f"{person}/{stem}-{row.digest[:12]}.png"
    used.add(name)
    return name


def _without_settled_twins(rows: Sequence[Row]) -> list[Row]:
    """The rows; a photo whose twin was dropped, or belongs to the same person now, is no longer said to have one."""
    owners: dict[str, set[str]] = {}
    for row in rows:
        if row.crop:
            owners.setdefault(row.digest, set()).add(owner_of(row.crop))
    return [
        replace(row, reason="; ".join(part for part in row.reason.split("; ") if not part.startswith(TWIN)))
        if row.crop and len(owners[row.digest]) == 1
        else row
        for row in rows
    ]
