"""Times as people write them."""

import argparse
from datetime import datetime, timedelta


def instant(text: str) -> datetime:
    """A day or a time, in local time if it has no offset. Raises ArgumentTypeError."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-12-01 or 2026-12-01T08:00+01:00") from None


def last_instant(text: str) -> datetime:
    """The same; a day without a time is its end."""
    value = instant(text)
    return value + timedelta(days=1, milliseconds=-1) if len(text) <= len("2026-12-01") else value
