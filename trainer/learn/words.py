"""What `fit` says to people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time span in words, to about two digits: 40 s, 12 min, 3 h 20 min, 2 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes < 600 else f"{round(minutes / 60)} h"
    return f"{round(minutes / 1440)} days"
