"""Whatever the stamps are, the times increase."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.stamps import LONGEST_S, WRAP, Stamps

MS, MPEG = Fraction(1, 1000), Fraction(1, 90_000)


def times(stamps: list[int | None], tick: Fraction | None = MS, step_s: float = 0.04) -> tuple[list[float], int]:
    line = Stamps(step_s)
    return [line.at(stamp, tick) for stamp in stamps], line.wrong


@pytest.mark.parametrize(
    ("stamps", "wanted", "wrong"),
    [
        ([5000, 5040, 5120, 65_120], [0, 0.04, 0.12, 60.12], 0),
        ([None, None, None], [0, 0.04, 0.08], 3),
        ([0, None, 80, 120], [0, 0.04, 0.08, 0.12], 2),
        ([7, 7, 7], [0, 0.04, 0.08], 2),
        ([1000, 1040, 0, 40, 80], [0, 0.04, 0.08, 0.12, 0.16], 1),
        ([0, 40, 10**15, 120, 160], [0, 0.04, 0.08, 0.12, 0.16], 2),
        ([-(2**63), 2**63 - 1, 0, 40], [0, 0.04, 0.08, 0.12], 2),
        ([0, round(1000 * LONGEST_S)], [0, LONGEST_S], 0),
    ],
)
def test_a_wrong_stamp_costs_one_step(stamps: list[int | None], wanted: list[float], wrong: int) -> None:
    found, counted = times(stamps)
    assert found == pytest.approx(wanted) and counted == wrong


def test_stamps_that_wrap_are_no_step_back() -> None:
    found, wrong = times([WRAP - 7200, WRAP - 3600, 0, 3600], MPEG)
    assert found == pytest.approx([0, 0.04, 0.08, 0.12]) and wrong == 0


def test_without_a_tick_the_frames_are_counted() -> None:
    found, wrong = times([0, 3600, 7200], None)
    assert found == pytest.approx([0, 0.04, 0.08]) and wrong == 3


def test_a_tick_may_change() -> None:
    line = Stamps(0.04)
    assert [line.at(1000, MS), line.at(91_800, MPEG), line.at(1060, MS)] == pytest.approx([0, 0.02, 0.06]) and line.wrong == 0


TICKS = [MS, MPEG, Fraction(1, 10**9), Fraction(10**6)]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=30), st.sampled_from(TICKS))
def test_times_increase_and_stay_finite(stamps: list[int | None], tick: Fraction) -> None:
    found, wrong = times(stamps, tick)
    assert all(0 < after - before <= LONGEST_S for before, after in pairwise(found))
    assert found[:1] in ([], [0.0]) and wrong <= len(stamps)
