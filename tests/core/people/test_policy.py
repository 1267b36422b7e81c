"""Who may pass, when: a table of rules, each a line."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from daemon.core.people.policy import Schedule, ScheduleError, forbids, window
from daemon.core.values import Person, Reason

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC).timestamp()  # a Wednesday
OFFICE = Schedule(ZoneInfo("Europe/Berlin"), (window("mon-fri 07:00-19:00"), window("sat 09:00-13:00")))
NIGHT = Schedule(UTC, (window("fri 22:00-06:00"),))
SCHEDULES = {"office": OFFICE, "night": NIGHT}


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (Person("a"), None),
        (Person("a", suspended=True), Reason.SUSPENDED),
        (Person("a", unconfirmed=True), Reason.UNCONFIRMED),
        (Person("a", unconfirmed=True, suspended=True), Reason.SUSPENDED),
        (Person("a", unconfirmed=True, gates=("south",)), Reason.UNCONFIRMED),
        (Person("a", valid_from=NOW + 1), Reason.NOT_YET_VALID),
        (Person("a", valid_from=NOW), None),
        (Person("a", valid_until=NOW), Reason.EXPIRED),
        (Person("a", valid_until=NOW + 1), None),
        (Person("a", gates=("north",)), None),
        (Person("a", gates=("south",)), Reason.NOT_PERMITTED_HERE),
        (Person("a", gates=()), Reason.NOT_PERMITTED_HERE),
        (Person("a", suspended=True, valid_until=NOW - 1), Reason.SUSPENDED),
        (Person("a", valid_from=float("nan")), Reason.NOT_YET_VALID),
        (Person("a", valid_until=float("nan")), Reason.EXPIRED),
        (Person("a", schedule="office"), None),
        (Person("a", schedule="night"), Reason.NOT_PERMITTED_NOW),
        (Person("a", schedule="of another configuration"), Reason.NOT_PERMITTED_NOW),
        (Person("a", schedule="office", valid_until=NOW), Reason.EXPIRED),
    ],
)
def test_who_may_pass_the_north_gate_now(person: Person, reason: Reason | None) -> None:
    assert forbids(person, "north", NOW, SCHEDULES, True) is reason


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (Person("a"), None),
        (Person("a", gates=("south",), valid_until=NOW + 1), Reason.NOT_PERMITTED_HERE),
        (Person("a", suspended=True), Reason.SUSPENDED),
        (Person("a", valid_from=NOW - 1), Reason.CLOCK_UNTRUSTED),
        (Person("a", valid_until=NOW + 1), Reason.CLOCK_UNTRUSTED),
        (Person("a", valid_until=NOW - 1), Reason.CLOCK_UNTRUSTED),
        (Person("a", schedule="office"), Reason.CLOCK_UNTRUSTED),
    ],
)
def test_a_clock_that_is_not_in_step_judges_no_rule_of_time(person: Person, reason: Reason | None) -> None:
    assert forbids(person, "north", NOW, SCHEDULES, False) is reason


@pytest.mark.parametrize(
    ("local", "may"),
    [
        ("2026-11-23 07:00", True),  # Monday
        ("2026-11-23 06:59", False),
        ("2026-11-23 18:59", True),
        ("2026-11-23 19:00", False),
        ("2026-11-28 09:00", True),  # Saturday
        ("2026-11-28 13:00", False),
        ("2026-11-29 10:00", False),  # Sunday
        ("2026-03-29 08:00", False),  # the night the clocks go forward
        ("2026-03-30 07:00", True),
        ("2026-10-26 07:00", True),  # after they have gone back
        ("2026-10-26 06:59", False),
    ],
)
def test_office_hours_are_those_of_the_place(local: str, may: bool) -> None:
    instant = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert OFFICE.holds(instant) is may


@pytest.mark.parametrize(
    ("instant", "may"),
    [
        ("2026-11-27 21:59", False),
        ("2026-11-27 22:00", True),
        ("2026-11-28 05:59", True),
        ("2026-11-28 06:00", False),
        ("2026-11-28 22:00", False),
    ],
)
def test_a_night_belongs_to_the_day_it_begins_on(instant: str, may: bool) -> None:
    assert NIGHT.holds(datetime.fromisoformat(instant).replace(tzinfo=UTC).timestamp()) is may


def test_weeks_wrap_and_days_are_whole() -> None:
    weekend = Schedule(UTC, (window("sat-mon 00:00-24:00"),))
    held = [weekend.holds(datetime(2026, 11, day, hour, tzinfo=UTC).timestamp()) for day in range(23, 30) for hour in (0, 23)]
    assert held == [True, True] + [False] * 8 + [True] * 4


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -1e30, 1e30])
def test_no_time_is_no_time(now: float) -> None:
    assert not OFFICE.holds(now)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("07:00-19:00", "not of the form"),
        ("mon-fri", "not of the form"),
        ("mon-fri 7-19", "not of the form"),
        ("mon ٠٧:00-19:00", "not of the form"),
        ("mo-fr 07:00-19:00", "not of the form"),
        ("abc 07:00-19:00", "'abc' is not a day"),
        ("mon 07:60-19:00", "07:60 is not a time of day"),
        ("mon 07:00-25:00", "25:00 is not a time of day"),
        ("mon 24:00-06:00", "24:00 cannot begin"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(line: str, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        window(line)
