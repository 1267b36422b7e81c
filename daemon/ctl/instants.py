"""Times as people write them."""

import argparse
import re
from datetime import datetime, timedelta

_DOTTED = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
"""31.03.2027: wherever people write a day with dots, the day comes first. With strokes it may be the month, so that is not taken."""


def instant(text: str) -> datetime:
    """A day or a time, in local time if it has no offset. Raises ArgumentTypeError."""
    try:
        if dotted := _DOTTED.fullmatch(text):
            day, month, year = map(int, dotted.groups())
            return datetime(year, month, day).astimezone()
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        expected = "a day such as 2026-12-01 or 01.12.2026, or a time such as 2026-12-01T08:00+01:00"
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}") from None


def last_instant(text: str) -> datetime:
    """The same; a day without a time is its end."""
    value = instant(text)
    return value + timedelta(days=1, milliseconds=-1) if len(text) <= len("2026-12-01") else value
