"""CSV files as people's programs write them: Excel's mark at the beginning, its semicolons, and Windows' letters."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from daemon.core.table_text import text_of
from trainer.people.errors import DataError


def rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a CSV file by the names of its first line, among which must be `columns`. Raises DataError."""
    expected = f"expected a CSV file with the columns {', '.join(columns)}"
    try:
        text = text_of(table.read_bytes())
        first = text.split("\n", 1)[0]
        separator = max(",;\t", key=first.count) if len(columns) > 1 else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        if not set(columns) <= set(names):
            raise DataError(f"{table} lacks one of the columns {', '.join(columns)}", "name the columns in the first line")
        reader.fieldnames = names
        found = [dict(row) for row in reader]
    except OSError as error:
        raise DataError(f"cannot read {table}: {error.strerror}", expected) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table}: {error}", expected) from error
    for number, row in enumerate(found, 2):
        if any(row.get(name) is None for name in columns):
            raise DataError(f"{table}: row {number} has too few values", expected)
    return found
