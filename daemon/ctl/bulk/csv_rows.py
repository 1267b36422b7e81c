"""A CSV file to rows: commas, semicolons or tabs, as Excel, LibreOffice and databases write them. All its errors are told at once."""

import argparse
import csv
import difflib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from daemon.client.failures import USAGE, ClientError
from daemon.client.pictures import read_file
from daemon.core.table_text import text_of
from daemon.ctl.bulk.cells import plain
from daemon.ctl.bulk.rows import ListedError, Row, Value, need_no_errors, trouble
from daemon.ctl.instants import instant, last_instant

MAX_BYTES = 256 << 20
MOST_ERRORS = 50
"""How many errors of one file are listed."""

RECORD = ("name", "valid_from", "valid_until", "gates", "schedule", "consent")
SHOWN = ("state", "templates", "enrolled_at")
"""Columns that `list --csv` writes and nobody can set."""
_KNOWN = ("person", *RECORD, "photos", "photo", *SHOWN)
_SEPARATORS = ",;\t"
_EXPECTED = f"its first line names the columns: person, and of {', '.join((*RECORD, 'photos'))} what there is"


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    cells: list[str]

    @property
    def is_empty(self) -> bool:
        return not any(cell.strip() for cell in self.cells)


def read_csv(path: Path) -> list[Row]:
    """The people of a CSV file, in its order. Raises ListedError with all that is wrong, and ClientError for what is no CSV file at all."""
    text = _text(path)
    lines, broken = _lines(text)
    first = next(lines, None)
    if first is None:
        raise ClientError(USAGE, f"{path} is empty", _EXPECTED) if not broken else ListedError(f"{path} is not CSV", _EXPECTED, broken)
    columns, errors = _columns(first)
    rows, seen = list[Row](), dict[str, int]()
    for line in lines if not errors else ():
        if line.is_empty:
            continue
        said = [f"line {line.number}: {why}" for why in _check(line, columns)]
        if not said:
            row, said = _row(path, line.number, dict(zip(columns, line.cells, strict=True)))
            before = seen.setdefault(row.person, line.number)
            if before != line.number:
                said += [f"line {line.number}: {json.dumps(row.person)} stands in line {before} too"]
            rows.append(row)
        errors += said
    errors += broken
    more = len(errors) - MOST_ERRORS
    need_no_errors(path, errors if more <= 0 else [*errors[:MOST_ERRORS], f"… and {more} more"])
    return rows


def _text(path: Path) -> str:
    try:
        text = text_of(read_file(path, MAX_BYTES, "give a CSV file"))
    except UnicodeDecodeError:
        raise ClientError(USAGE, f"{path} is not text", "save it as CSV, in Excel as `CSV UTF-8`") from None
    if "\0" in text:
        raise ClientError(USAGE, f"{path} is not text: it has NUL characters", "save it as CSV, in Excel as `CSV UTF-8`")
    return text


def _lines(text: str) -> tuple[Iterator[_Line], list[str]]:
    """The lines with their numbers. The list gets what breaks the file off, when it has been read so far."""
    broken: list[str] = []
    separator, skip = _separator(text)

    def read() -> Iterator[_Line]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        begin = 1
        try:
            for cells in reader:
                if begin > skip:
                    yield _Line(begin, cells)
                begin = reader.line_num + 1
        except csv.Error as error:
            why = "a cell begins with a quote and has no quote at its end" if "end of data" in str(error) else str(error)
            broken.append(f"line {begin}: {why}")

    return read(), broken


def _separator(text: str) -> tuple[str, int]:
    """What stands between cells, and how many lines come before the names of the columns (Excel's `sep=;`)."""
    first = text.partition("\n")[0]
    if first.strip().lower().startswith("sep=") and len(first.strip("\r")) == 5:
        return first.strip("\r")[4], 1
    return max(_SEPARATORS, key=first.count), 0


def _columns(first: _Line) -> tuple[list[str], list[str]]:
    """The names of the columns, and what is wrong with them."""
    names = [cell.strip().lower().replace(" ", "_").replace("-", "_") for cell in first.cells]
    errors = []
    for place, name in enumerate(names):
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KNOWN)}"
            errors.append(f"line {first.number}: unknown column {json.dumps(first.cells[place], ensure_ascii=False)}; {hint}")
        elif name in names[:place]:
            errors.append(f"line {first.number}: two columns are called {name}")
    if "person" not in names:
        errors.append(f"line {first.number}: there is no column `person`, which has the employee numbers")
    if "photo" in names and "photos" in names:
        errors.append(f"line {first.number}: photo and photos are one column; remove one")
    return names, errors


def _check(line: _Line, columns: list[str]) -> list[str]:
    count = len(line.cells)
    return [] if count == len(columns) else [f"there are {count} cells, and {len(columns)} columns; is a name with a separator not quoted?"]


def _row(path: Path, number: int, cells: Mapping[str, str]) -> tuple[Row, list[str]]:
    """The row, and what is wrong with it."""
    person, fields, errors = cells["person"].strip(), dict[str, Value](), list[str]()
    for column in RECORD:
        if column in cells:
            try:
                fields[column] = _READERS[column](cells[column])
            except argparse.ArgumentTypeError as error:
                errors.append(f"line {number}: {column}: {error}")
                fields[column] = None
    said = trouble(person, fields) if person else "there is no employee number"
    errors += [f"line {number}: {said}"] if said else []
    photos = tuple(_path(path.parent, one) for one in _parts(cells.get("photos", cells.get("photo", ""))))
    return Row(f"line {number}", person, fields, photos), errors


def _path(folder: Path, text: str) -> Path:
    """A path that starts at the CSV's folder. Windows' separator counts where the file system does not have the name as it is."""
    path = folder / text
    return folder / text.replace("\\", "/") if "\\" in text and not path.exists() else path


def _parts(cell: str) -> list[str]:
    return [one.strip() for one in plain(cell).split(";") if one.strip()]


def _as_is(cell: str) -> str | None:
    return plain(cell) if cell.strip() else None


def _stripped(cell: str) -> str | None:
    return plain(cell.strip()).strip() or None


def _time(read: Callable[[str], datetime]) -> Callable[[str], datetime | None]:
    return lambda cell: read(text) if (text := _stripped(cell)) is not None else None


_READERS: Mapping[str, Callable[[str], Value]] = {
    "name": _as_is,
    "valid_from": _time(instant),
    "valid_until": _time(last_instant),
    "gates": lambda cell: _parts(cell) or None,
    "schedule": _stripped,
    "consent": _as_is,
}
