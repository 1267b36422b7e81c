"""What a person decided about the findings of `ostiary-train clean`, and crops as they are after these decisions.

The file is a CSV with the columns kind, a, b and decision; other columns are for the reader. An empty decision changes nothing.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daemon.core.counts import counted
from trainer import terminal
from trainer.people.data import Crops, DataError

PICTURES, NAMES, CROPS = ("identical", "near-identical"), ("two names",), ("two people", "outlier")
"""Kinds of findings: `a` and `b` are two crops; two people; a crop, and perhaps the person whom it shows."""
KINDS = (*PICTURES, *NAMES, *CROPS)
PAIRED = ("keep", "merge", "drop a", "drop b", "drop both")
SINGLE = ("keep", "drop", "split", "move")
COLUMNS = ("kind", "a", "b", "decision")
FORMULA = "=+-@\t\r'"
"""A spreadsheet takes a cell that begins so for a formula, and 00123 for a number. So an apostrophe is put before such a name, and taken
away when it is read."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file. `decision` is one of PAIRED or SINGLE, or empty."""

    line: int
    kind: str
    a: str
    b: str
    decision: str


@dataclass(frozen=True, slots=True)
class Decided:
    """Crops after the decisions. `origin` gives for each of their people the person of the crops before whose part (fit, val, calibration)
    they belong to."""

    crops: Crops
    origin: Mapping[str, str]


def applied(crops: Crops, table: Path | None) -> Decided:
    """The crops after the decisions of a file, and a line on the console about them. Without a file nothing changes. Raises DataError."""
    if table is None:
        return Decided(crops, {person: person for person in crops.people})
    rows = read(table)
    decided = apply(crops, rows, table)
    open_rows = sum(not row.decision for row in rows)
    if rows and open_rows == len(rows):
        raise DataError(f"{table} decides nothing", "write your decisions into the column decision, or leave out --decisions")
    after = decided.crops
    lost = f"{counted(len(crops) - len(after), 'crop')} dropped, {len(crops.people):,} people become {len(after.people):,}"
    text = f"{table}: {counted(len(rows) - open_rows, 'decision')}; {lost}; {counted(open_rows, 'row')} not decided"
    terminal.say(text)
    return decided


def digest_of(table: Path | None) -> str:
    """What a run remembers of the decisions that it learned with: their text in one form, empty without any."""
    if table is None:
        return ""
    changing = [row for row in read(table) if row.decision not in ("", "keep")]
    # Whom a picture looks like says nothing unless it is moved there.
    return "\n".join(
        sorted({"|".join((row.a, row.b * (row.kind not in CROPS or row.decision == "move"), row.decision)) for row in changing})
    )


def read(table: Path) -> tuple[Row, ...]:
    """The rows of a file as a spreadsheet saves it: with or without BOM, separated by commas, semicolons or tabs. Raises DataError."""
    expected = "give the decisions.csv that `ostiary-train clean` wrote"
    try:
        text = table.read_bytes().decode("utf-8-sig")
        head = text.split("\n", 1)[0]
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
        names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
        lacking = [column for column in COLUMNS if column not in names]
        if lacking:
            raise DataError(f"{table} lacks the column {lacking[0]}", expected)
        found = []
        for line in reader:
            cells = {column: line[names[column]] or "" for column in COLUMNS}
            if any(cells.values()):
                found.append(_row(table, reader.line_num, cells))
        return tuple(found)
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}", expected) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not text in UTF-8", "save it as `CSV UTF-8`") from error
    except csv.Error as error:
        raise DataError(f"{table} cannot be read: {error}", expected) from error


def _row(table: Path, line: int, cells: Mapping[str, str]) -> Row:
    kind, decision = cells["kind"].strip().casefold(), " ".join(cells["decision"].casefold().split())
    if kind not in KINDS:
        raise DataError(f"{table}, line {line}: the kind is {cells['kind']!r}", f"the kinds are {', '.join(KINDS)}")
    allowed = SINGLE if kind in CROPS else PAIRED
    if decision and decision not in allowed:
        wanted = f"for {kind} write {', '.join(allowed)}, or nothing"
        raise DataError(f"{table}, line {line}: the decision is {cells['decision']!r}", wanted)
    row = Row(line, kind, plain(cells["a"]), plain(cells["b"]), decision)
    if decision == "move" and not row.b:
        raise DataError(f"{table}, line {line}: move, but to nobody", "write the person's name into the column b")
    return row


def cell(text: str) -> str:
    """A name as a cell that a spreadsheet takes for text; `plain` reads it back."""
    return f"'{text}" if text.startswith(tuple(FORMULA)) or text[:1].isdigit() else text


def plain(text: str) -> str:
    """The name in a cell."""
    return text[1:] if text.startswith("'") else text


def apply(crops: Crops, rows: Sequence[Row], table: Path) -> Decided:
    """Crops as `assigned` says. Raises DataError."""
    owner = dict(zip(crops.names, (crops.people[index] for index in crops.person), strict=True))
    now, origin = assigned(owner, rows, table)
    number = {person: index for index, person in enumerate(origin)}
    people = [now[name] for name in crops.names]
    kept = crops.at(np.array([row for row, person in enumerate(people) if person is not None], np.int64))
    person = np.array([number[person] for person in people if person is not None], np.int64)
    return Decided(dataclasses.replace(kept, people=tuple(origin), person=person), origin)


def assigned(owner: Mapping[str, str], rows: Sequence[Row], table: Path) -> tuple[dict[str, str | None], dict[str, str]]:
    """From {crop: person}: {crop: person after the decisions, None if dropped}, and {person: the person before whose part it is in}. Of a
    merged pair, the name in `a` stays; crops that are split off become a new person `NAME (2)`. Raises DataError for names that are not
    there and decisions that contradict each other."""
    decided = [row for row in rows if row.decision]
    everybody = set(owner.values())
    _check_names(decided, owner, everybody, table)
    people = _Merged(decided, owner, table)
    crop = _of_crops(decided, owner, people, table)
    fresh = {person: _new_name(person, everybody) for person in {owner[name] for name, (what, _) in crop.items() if what == "split"}}
    origin: dict[str, str] = {}
    now: dict[str, str | None] = {}
    for name, person in owner.items():
        what, target = crop.get(name, ("", ""))
        who = target if what == "move" else person
        if what == "drop" or who in people.dropped:
            now[name] = None
            continue
        root = people.root(who)
        now[name] = fresh[who] if what == "split" else root
        origin[fresh[who] if what == "split" else root] = root
    if not origin:
        raise DataError(f"{table} leaves no crop at all", "drop fewer")
    for person, new in fresh.items():
        if new in origin and people.root(person) not in origin:
            raise DataError(f"{table} splits every crop off {person}", "leave the crops of one of the two people as they are")
    return now, origin


class _Merged:
    """Which people are one person, and which are dropped whole."""

    def __init__(self, rows: Sequence[Row], owner: Mapping[str, str], table: Path) -> None:
        self.above: dict[str, str] = {}
        self.dropped: dict[str, int] = {}
        merged: dict[str, int] = {}
        pairs = [
            (row, owner[row.a], owner[row.b]) if row.kind in PICTURES else (row, row.a, row.b) for row in rows if row.kind not in CROPS
        ]
        for row, a, b in pairs:
            if row.decision == "merge":
                merged |= {a: row.line, b: row.line}
                if (first := self.root(a)) != (second := self.root(b)):
                    self.above[second] = first
            elif row.kind in NAMES and row.decision.startswith("drop"):
                self.dropped |= {who: row.line for who, which in ((a, "a"), (b, "b")) if row.decision in (f"drop {which}", "drop both")}
        for row, a, b in pairs:
            if row.decision == "keep" and a != b and self.root(a) == self.root(b):
                raise _contradiction(table, f"line {row.line} keeps {a} and {b} apart, and other lines merge them")
        for who, line in self.dropped.items():
            if who in merged:
                raise _contradiction(table, f"line {line} drops {who}, and line {merged[who]} merges it")

    def root(self, person: str) -> str:
        """The name under which this person's crops are."""
        while person in self.above:
            person = self.above[person]
        return person


def _of_crops(rows: Sequence[Row], owner: Mapping[str, str], people: _Merged, table: Path) -> dict[str, tuple[str, str]]:
    """{crop: (drop, split, move or keep; for move the person)}."""
    found: dict[str, tuple[str, str]] = {}
    line_of: dict[str, int] = {}

    def note(name: str, what: str, target: str, line: int) -> None:
        if found.setdefault(name, (what, target)) != (what, target):
            raise _contradiction(table, f"lines {line_of[name]} and {line} decide differently about {name}")
        line_of.setdefault(name, line)

    for row in rows:
        if row.kind in CROPS:
            note(row.a, row.decision, row.b if row.decision == "move" else "", row.line)
            people_named = (owner[row.a], row.b) if row.decision == "move" else (owner[row.a],)
            for who in people_named if row.decision != "drop" else ():
                if who in people.dropped:
                    raise _contradiction(table, f"line {row.line} says {row.decision}, and line {people.dropped[who]} drops {who}")
        elif row.kind in PICTURES and row.decision.startswith("drop"):
            for name, which in ((row.a, "a"), (row.b, "b")):
                if row.decision in (f"drop {which}", "drop both"):
                    note(name, "drop", "", row.line)
    return found


def _check_names(rows: Sequence[Row], owner: Mapping[str, str], people: Set[str], table: Path) -> None:
    for row in rows:
        wanted = [(row.a, row.kind not in NAMES)]
        if row.kind not in CROPS or row.decision == "move":
            wanted.append((row.b, row.kind in PICTURES))
        for name, crop in wanted:
            if name not in (owner if crop else people):
                what = "crop" if crop else "person"
                raise DataError(
                    f"{table}, line {row.line}: {name!r} is no {what} of this data",
                    "run `ostiary-train clean` again; decisions that `prepare` has carried out need not be given again",
                )
        if row.kind not in CROPS and row.a == row.b:
            raise DataError(f"{table}, line {row.line}: a and b are the same", "name two of them")


def _new_name(person: str, people: Set[str]) -> str:
    number = 2
    while f"{person} ({number})" in people:
        number += 1
    return f"{person} ({number})"


def _contradiction(table: Path, what: str) -> DataError:
    return DataError(f"{table}: {what}", "decide once, and leave the other line empty")
