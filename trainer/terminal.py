"""What the trainer writes on the terminal. Names and paths are other people's text: they are never markup, and never move the cursor."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from daemon.core.plain import printable


def console(*, stderr: bool = False) -> Console:
    """Where a command speaks to people; brackets and colons in a name are letters like others."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def safe(text: object, style: str = "") -> Text:
    """A text or a path in a style, for a line or for the cell of a table; on one line, without control characters."""
    return Text(printable(str(text)), style)


def table(*head: object, title: object = "", caption: str | None = None) -> Table:
    """A table whose columns have these names. Its cells are made with `safe`; texts of the trainer's own need not be. Long names are
    folded: one that is cut off with an ellipsis could be anybody's."""
    return Table(*(Column(safe(name), overflow="fold") for name in head), title=safe(title) if title else None, caption=caption)


def say(text: object, style: str = "", *, stderr: bool = False) -> None:
    """Print one line. At a screen it breaks between words; other programs get it whole."""
    out = console(stderr=stderr)
    out.print(safe(text, style), soft_wrap=not out.is_terminal)
