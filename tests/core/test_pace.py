"""Whether a gate looks at enough frames."""

import pytest

from daemon.core.pace import Pace, needed_fps


def seconds(pace: Pace, count: int, looked: int, lost: int, since: int = 0) -> list[str | None]:
    told = []
    for second in range(since, since + count):
        pace.saw(float(second), looked, lost)
        told.append(pace.slow)
    return told


def test_the_need_follows_the_rules() -> None:
    assert needed_fps(5, 1.0) == 2.5, "five frames in a passage"
    assert needed_fps(1, 0.5) == 4.0, "a face must be seen twice before it counts as gone"


@pytest.mark.parametrize(
    ("looked", "lost", "slow"), [(2, 13, True), (3, 12, False), (1, 0, False), (0, 15, True), (0, 0, False), (15, 0, False)]
)
def test_a_gate_is_too_slow_if_it_loses_frames_that_passages_need(looked: int, lost: int, slow: bool) -> None:
    """One frame a second and none lost is a slow camera, and no picture at all is a camera that is down or still."""
    told = seconds(Pace(2.5), 30, looked, lost)
    assert bool(told[-1]) is slow and not any(told[:10]), "one window is not enough"


def test_it_says_what_it_looks_at_and_what_it_needs_and_recovers() -> None:
    pace = Pace(2.5)
    assert seconds(pace, 16, 2, 13)[-1] == "2.0 frames a second of 15.0, and needs 2.5"
    assert seconds(pace, 6, 15, 0, since=16)[-1] is None


def test_a_burst_is_no_fault() -> None:
    pace = Pace(2.5)
    for since in range(0, 60, 10):
        assert not any(seconds(pace, 5, 1, 10, since) + seconds(pace, 5, 15, 0, since + 5))


def test_a_frame_that_came_too_late_to_decide_about_was_not_looked_at() -> None:
    pace = Pace(2.5)
    for second in range(20):
        for _ in range(15):
            pace.late()
        pace.saw(float(second), 15, 0)
    assert pace.slow is not None and pace.slow.startswith("0.0 frames")
