"""Who may pass: rules about a person who was recognised. Pure; the time is an argument."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from daemon.core.values import Person, Reason

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? (?P<from>[0-9]{2}:[0-9]{2})-(?P<until>[0-9]{2}:[0-9]{2})")


class ScheduleError(ValueError):
    """A line of a schedule cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Window:
    """From one minute of these days (0 is Monday) until another minute. If that is not later, it is on the next day."""

    days: frozenset[int]
    from_minute: int
    until_minute: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether a weekday and a minute of the day are in the window."""
        if self.from_minute < self.until_minute:
            return day in self.days and self.from_minute <= minute < self.until_minute
        return (day in self.days and minute >= self.from_minute) or ((day - 1) % 7 in self.days and minute < self.until_minute)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When people may pass in each week, in the local time of a zone."""

    zone: tzinfo
    windows: tuple[Window, ...]

    def holds(self, now: float) -> bool:
        """Whether people may pass at `now` (UTC seconds)."""
        try:
            local = datetime.fromtimestamp(now, self.zone)
        except (ValueError, OverflowError, OSError):
            return False
        return any(window.holds(local.weekday(), local.hour * 60 + local.minute) for window in self.windows)


def window(text: str) -> Window:
    """Parse a line of a schedule: `mon-fri 07:00-19:00`, `sat 09:00-13:00`, `fri 22:00-06:00` (into Saturday). Raises ScheduleError."""
    found = _WINDOW.fullmatch(text.strip().lower())
    if found is None:
        raise ScheduleError(f"{text!r} is not of the form `mon-fri 07:00-19:00`")
    first, last = found["first"], found["last"] or found["first"]
    for day in (first, last):
        if day not in DAYS:
            raise ScheduleError(f"{text!r}: {day!r} is not a day; the days are {', '.join(DAYS)}")
    length = (DAYS.index(last) - DAYS.index(first)) % 7
    days = frozenset((DAYS.index(first) + i) % 7 for i in range(length + 1))
    if found["from"] == "24:00":
        raise ScheduleError(f"{text!r}: 24:00 cannot begin a window; write 00:00 and the day on which it begins")
    return Window(days, _minute(found["from"], text), _minute(found["until"], text))


def _minute(clock: str, text: str) -> int:
    hour, minute = int(clock[:2]), int(clock[3:])
    if minute > 59 or hour * 60 + minute > 1440:
        raise ScheduleError(f"{text!r}: {clock} is not a time of day")
    return hour * 60 + minute


def timed(person: Person) -> bool:
    """Whether the person has any rule of time."""
    return person.valid_from is not None or person.valid_until is not None or person.schedule is not None


def forbids(
    person: Person, gate: str, now: float, schedules: Mapping[str, Schedule], clock_trusted: bool, whole: bool = False
) -> Reason | None:
    """The reason why `person` may not pass `gate` at `now` (UTC seconds), or None. The first rule that forbids wins.

    A rule of time forbids while the clock is not trusted. A schedule that does not exist forbids. Unless the box knows the `whole` roster,
    nobody passes in whom another box has a say: they may have been revoked there.
    """
    if person.suspended:
        return Reason.SUSPENDED
    if person.unconfirmed:
        return Reason.UNCONFIRMED
    if person.gates is not None and gate not in person.gates:
        return Reason.NOT_PERMITTED_HERE
    if person.shared and not whole:
        return Reason.ROSTER_STALE
    if timed(person) and not clock_trusted:
        return Reason.CLOCK_UNTRUSTED
    if person.valid_from is not None and not now >= person.valid_from:
        return Reason.NOT_YET_VALID
    if person.valid_until is not None and not now < person.valid_until:
        return Reason.EXPIRED
    if person.schedule is not None:
        schedule = schedules.get(person.schedule)
        if schedule is None or not schedule.holds(now):
            return Reason.NOT_PERMITTED_NOW
    return None
