"""What the templates in `parts.html` show."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts: the names of its columns, and its rows of as many cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """An <svg> element with its caption."""

    svg: Markup
    caption: str
