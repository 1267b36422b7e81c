"""The wall clock is believed until it steps, and again when a time service answers for it or when it is back."""

import pytest

from daemon.core.wall import CountedTime, WallClock

NOW = 1_800_000_000.0


def test_a_step_is_noticed_once_and_trust_comes_back_with_a_time_service() -> None:
    clock = WallClock(10.0, 1000.0)
    assert not clock.watch(20.0, 1010.2, synchronised=False) and clock.trusted
    assert clock.watch(21.0, 4611.0, synchronised=False) and not clock.trusted
    assert not clock.watch(22.0, 4612.0, synchronised=False) and not clock.trusted
    clock.watch(23.0, 4613.0, synchronised=True)
    assert clock.trusted
    assert not clock.watch(24.0, 4614.0, synchronised=False)
    assert clock.trusted, "the new time is the one that is believed now"


def test_a_clock_that_comes_back_is_believed_again() -> None:
    clock = WallClock(10.0, 1000.0)
    assert clock.watch(11.0, 900.0, synchronised=False)
    assert not clock.watch(611.0, 1601.0, synchronised=False)
    assert clock.trusted


def test_a_clock_that_is_slewed_is_followed() -> None:
    clock = WallClock(0.0, 0.0)
    for second in range(1, 20_000):
        assert not clock.watch(float(second), second * 1.0005, synchronised=False)
    assert clock.trusted


def test_a_clock_that_is_not_a_number_is_not_believed() -> None:
    clock = WallClock(0.0, 0.0)
    clock.watch(1.0, float("nan"), synchronised=False)
    assert not clock.trusted


YEARS_S = 10 * 365 * 86_400.0
DAY_S = 86_400.0


@pytest.mark.parametrize("synchronised", [False, True])
@pytest.mark.parametrize("jump_s", [YEARS_S, -YEARS_S])
def test_what_is_deleted_does_not_follow_a_clock_that_jumps_ten_years(jump_s: float, synchronised: bool) -> None:
    ages = CountedTime.begin(0.0, NOW, None)
    assert ages.now(60.0, NOW + 60, synchronised=synchronised) == NOW + 60
    assert ages.now(120.0, NOW + 120 + jump_s, synchronised=synchronised) <= NOW + 120
    before = ages.reached(180.0)
    again = CountedTime.begin(5.0, NOW + 240 + jump_s, before if jump_s > 0 else NOW + 60)
    assert again.now(6.0, NOW + 241 + jump_s, synchronised=synchronised) <= NOW + 241, "nor after a restart"


def test_a_time_service_sets_a_clock_that_was_behind() -> None:
    ages = CountedTime.begin(0.0, 0.0, NOW)  # the box's clock has no battery
    assert ages.now(1.0, 1.0, synchronised=False) == 1.0
    assert ages.now(2.0, NOW + 3600, synchronised=True) == NOW + 3600


def test_a_box_that_was_off_for_a_while_goes_on() -> None:
    ages = CountedTime.begin(0.0, NOW + 20 * DAY_S, NOW)
    assert ages.now(1.0, NOW + 20 * DAY_S + 1, synchronised=False) == NOW + 20 * DAY_S + 1


def test_a_clock_far_ahead_is_followed_when_a_time_service_has_answered_for_it_for_a_week() -> None:
    ages = CountedTime.begin(0.0, NOW + YEARS_S, NOW)
    for day in range(1, 7):
        assert ages.now(day * DAY_S, NOW + YEARS_S + day * DAY_S, synchronised=True) == NOW + day * DAY_S
    assert ages.now(6.5 * DAY_S, NOW + YEARS_S + 6.5 * DAY_S, synchronised=False) == NOW + 6.5 * DAY_S
    for day in range(7, 14):
        assert ages.now(day * DAY_S, NOW + YEARS_S + day * DAY_S, synchronised=True) == NOW + day * DAY_S
    assert ages.now(14 * DAY_S, NOW + YEARS_S + 14 * DAY_S, synchronised=True) == NOW + YEARS_S + 14 * DAY_S
