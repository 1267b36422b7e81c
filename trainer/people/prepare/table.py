"""`prepare.csv` in a folder of crops: what became of every file, and of every person. It is also what a later call goes on from."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import IO

from daemon.edges import files
from trainer.people.errors import DataError
from trainer.people.tables import rows

NAME = "prepare.csv"
TWIN = "the same file as"
JOURNAL = ".prepare-unfinished.csv"
"""What a call has done so far; one that was cut off leaves it."""


class Outcome(StrEnum):
    """Of a file: `taken`, `refused` or `of no use`. Of a person: `found`, `thin` (few crops), `lost` (no crop) or `merged` with another."""

    TAKEN = "taken"
    REFUSED = "refused"
    USELESS = "of no use"
    FOUND = "found"
    THIN = "thin"
    LOST = "lost"
    MERGED = "merged"


OF_FILES = frozenset({Outcome.TAKEN, Outcome.REFUSED, Outcome.USELESS})


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `photo` is a path below `folder` with slashes, and ends with one for a person. `crop` is a path below the crops, `digest`
    the sha256 of the photo's content, and `how` the settings it was looked at with; each empty where there is none."""

    photo: str
    person: str
    outcome: str
    reason: str = ""
    crop: str = ""
    digest: str = ""
    how: str = ""
    folder: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def read(crops: Path) -> list[Row]:
    """The rows of files in a folder of crops, also those of a call that was cut off. Raises DataError."""
    lines = rows(crops / NAME, COLUMNS) if (crops / NAME).is_file() else []
    if (crops / JOURNAL).is_file():
        lines += _whole_lines(crops / JOURNAL)
    found: dict[tuple[str, str], Row] = {}
    for line in lines:
        row = Row(**{name: line[name] for name in COLUMNS})
        if row.crop and (row.crop.count("/") != 1 or not {*row.crop.split("/")}.isdisjoint({"", ".", ".."})):
            raise DataError(f"{crops / NAME} names the crop {row.crop!r}, which is not PERSON/FILE", "correct this line, or delete it")
        if row.outcome in OF_FILES:
            found[row.folder, row.photo] = row
    return list(found.values())


def write(crops: Path, kept: Iterable[Row]) -> None:
    """Put these rows, sorted by photo, in the place of all others. Raises OSError."""
    # Excel takes a file without this mark for one in the letters of Windows.
    text = codecs.BOM_UTF8.decode() + _text([Row(*COLUMNS), *sorted(kept, key=lambda row: (row.folder, row.photo))])
    files.replace(crops / NAME, text.encode())
    (crops / JOURNAL).unlink(missing_ok=True)


def open_journal(crops: Path) -> IO[str]:
    """A new file where rows are noted as they come. Raises OSError."""
    file = (crops / JOURNAL).open("w", encoding="utf-8", newline="")
    note(file, Row(*COLUMNS))
    return file


def note(journal: IO[str], row: Row) -> None:
    """Write a row through to the file. Raises OSError."""
    journal.write(_text([row]))
    journal.flush()


def _whole_lines(journal: Path) -> list[dict[str, str]]:
    """What was noted. The last line may have been cut off, and after a power cut there may be anything. Raises DataError."""
    try:
        text = journal.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"cannot read {journal}: {error.strerror}", "delete it; its photos are looked at again") from error
    lines = list(csv.reader(io.StringIO(text, newline="")))
    if not text.endswith("\r\n"):
        lines = lines[:-1]
    return [dict(zip(COLUMNS, line, strict=True)) for line in lines[1:] if len(line) == len(COLUMNS)]


def _text(lines: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(astuple(line) for line in lines)
    return text.getvalue()
