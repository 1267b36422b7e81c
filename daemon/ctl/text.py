"""Text for the terminal and for machines. Messages come from other people, so nothing of them reaches the screen unchecked."""

from datetime import datetime

import msgspec
from rich.table import Table
from rich.text import Text

from daemon.core.plain import printable


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")


def safe(text: str, style: str = "") -> Text:
    """`text` in a style, printable."""
    return Text(printable(text), style)


def table(*titles: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        made.add_column(title)
    return made


def local(instant: str, form: str = "%Y-%m-%d %H:%M") -> str:
    """`instant` in local time; unchanged if that is not a time."""
    try:
        return datetime.fromisoformat(instant).astimezone().strftime(form)
    except (ValueError, OverflowError):
        return instant


def brief(seconds: float) -> str:
    """A duration in its usual unit."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
