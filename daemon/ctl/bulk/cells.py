"""Cells of a CSV file that a spreadsheet opens. One that begins like a formula gets an apostrophe, which makes it text."""

import re

# The last four are the wide signs of Japanese and Chinese keyboards, which some spreadsheets take for the others.
_FORMULA = re.compile("'*[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def cell(text: str) -> str:
    """`text` as a cell that no spreadsheet carries out; `plain` reads it back."""
    return f"'{text}" if _FORMULA.match(text) else text


def plain(cell: str) -> str:
    """The text in a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
