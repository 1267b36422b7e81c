"""What is drawn onto frames: states, words, sizes, and frames of odd times on a film of constant rate."""

from dataclasses import replace
from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.passages.ruling import Ruling
from daemon.core.passages.traces import Moment, State
from daemon.core.values import Match, Quality, Reason, Verdict
from daemon.drawing.annotate import COLOURS, Easel, ascii_of, words
from daemon.drawing.pace import LONGEST_STILL_S, Pace, rate
from tests.drawing.film import RULES

NEAR = Match("E1", 0.7, 0.2)
ACCEPTED, REJECTED = Ruling(Verdict.ACCEPT, Reason.MATCHED, "E1"), Ruling(Verdict.REJECT, Reason.NOT_PERMITTED_NOW, "E1")
UNKNOWN = Ruling(Verdict.UNKNOWN, Reason.NO_MATCH)


def moment(ruling: Ruling | None = None, quality: Quality = Quality.OK, good: int = 1, box: Box | None = None) -> Moment:
    return Moment(3, 7, 0.7, box or Box(100, 100, 80, 80), quality, good, ruling, NEAR, NEAR, False, False)


def drawn(*moments: Moment, size: tuple[int, int] = (640, 480)) -> np.ndarray:
    easel = Easel(*size)
    return easel.draw(np.full((size[1], size[0], 3), 60, np.uint8), 0.7, 7, moments, RULES)


def shows(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture[:480].astype(int) - colour).max(-1) <= 2).sum() > 100)


@pytest.mark.parametrize(
    ("seen", "state", "says"),
    [
        (moment(), State.GATHERING, "#3 looking 1/3"),
        (moment(good=4), State.GATHERING, "#3 looking 4/6"),
        (moment(ACCEPTED), State.ACCEPT, "#3 ACCEPT E1"),
        (moment(REJECTED), State.REJECT, "#3 REJECT not permitted now E1"),
        (moment(UNKNOWN), State.UNKNOWN, "#3 UNKNOWN"),
        (moment(quality=Quality.BLURRED), State.POOR, "#3 looking 1/3"),
    ],
)
def test_each_state_has_its_colour_and_its_words(seen: Moment, state: State, says: str) -> None:
    assert words(seen, RULES) == says and seen.state is state
    picture = drawn(seen)
    assert shows(picture, COLOURS[state])
    others = {other for other in State if other not in (state, State.POOR)}
    assert not any(shows(picture, COLOURS[other]) for other in others)


def test_an_answer_keeps_its_colour_through_a_poor_frame() -> None:
    picture = drawn(moment(ACCEPTED, Quality.TOO_DARK))
    assert shows(picture, COLOURS[State.ACCEPT]) and shows(picture, COLOURS[State.POOR])


def test_the_bar_grows_with_the_similarity() -> None:
    def filled(similarity: float) -> int:
        found = replace(moment(ACCEPTED), fused=Match("E1", similarity, 0.0))
        return int((np.abs(drawn(found)[:480].astype(int) - COLOURS[State.ACCEPT]).max(-1) <= 2).sum())

    assert filled(-0.5) == filled(nan) < filled(0.4) < filled(0.9)


@pytest.mark.parametrize(
    ("size", "made"), [((320, 240), (640, 506)), ((641, 481), (640, 506)), ((1920, 1080), (1280, 756)), ((160, 90), (640, 386))]
)
def test_small_frames_are_enlarged_large_ones_shrunk_and_all_sides_even(size: tuple[int, int], made: tuple[int, int]) -> None:
    easel = Easel(*size)
    width, height = easel.size
    assert abs(width - made[0]) <= 2 and abs(height - made[1]) <= 2 and width % 2 == height % 2 == 0
    assert drawn(moment(ACCEPTED), size=size).shape == (height, width, 3)


@pytest.mark.parametrize(
    "box", [Box(-50, -60, 80, 80), Box(600, 450, 90, 90), Box(0, 0, 640, 480), Box(9000, 9000, 5, 5), Box(nan, 0, 5, inf)]
)
def test_faces_at_the_edge_and_beyond_are_no_trouble(box: Box) -> None:
    assert drawn(moment(ACCEPTED, box=box), moment(box=box)).any()


def test_a_frame_of_another_size_is_fitted_in() -> None:
    easel = Easel(640, 480)
    assert easel.draw(np.full((90, 160, 3), 9, np.uint8), 0.0, 0, [moment()], RULES).shape == (506, 640, 3)


def test_names_become_letters_that_can_be_written() -> None:
    assert ascii_of("Jürgen Łuk 雪") == "Jurgen ?uk ?"


# ---- the rate of the film


def test_a_constant_rate_is_kept_to_the_frame() -> None:
    times = [n / 29.97 for n in range(2000)]
    pace = Pace(rate(times[:13]))
    assert pace.fps == 29.97
    assert {pace.copies(a, b) for a, b in pairwise(times)} == {1}


@given(st.lists(st.floats(0.01, 0.4), min_size=30, max_size=200))
def test_real_time_is_kept_and_every_frame_is_shown(steps: list[float]) -> None:
    times = np.cumsum([0.0, *steps])
    pace = Pace(rate(times.tolist()))
    copies = [pace.copies(a, b) for a, b in pairwise(times.tolist())]
    assert min(copies) >= 1
    slower = sum(max(0.0, 1 / pace.fps - step) for step in steps)  # what the frames take that came faster than the rate
    assert -1 / pace.fps <= sum(copies) / pace.fps - (times[-1] - times[0]) <= slower + 1 / pace.fps


def test_a_long_pause_is_short_and_a_clock_that_jumps_stops_nothing() -> None:
    pace = Pace(10.0)
    assert pace.copies(0.0, 3600.0) == round(LONGEST_STILL_S * 10)
    assert pace.copies(3600.0, 10.0) == 1 and pace.copies(10.0, nan) == 1
    assert rate([0.0, 0.0, 0.0]) == rate([nan, nan]) == 25.0 and rate([0.0, 1e-5, 2e-5]) == 60.0 and rate([0.0, 100.0]) == 1.0
