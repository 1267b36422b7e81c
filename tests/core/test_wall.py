"""The wall clock is believed until it steps, and again when a time service answers for it or when it is back."""

from daemon.core.wall import WallClock


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
