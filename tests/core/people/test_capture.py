"""What a few seconds before the camera must show to enrol somebody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.people.capture import LEAST, SLOTS, Capture
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Face, Probe, Quality, View

NOISE = np.random.default_rng(1).integers(0, 255, (112, 112, 3), np.uint8)


def crop(number: int, sharp: bool = True) -> np.ndarray:
    """A crop that can be told by its first pixel; sharp, or flat."""
    made = NOISE.copy() if sharp else np.full_like(NOISE, 100)
    made[0, 0] = number
    return made


def probe(number: int = 0, side: float = 80, quality: Quality = Quality.OK, sharp: bool = True) -> Probe:
    return Probe(Face(Box(100, 100, side, side), 1.0), crop(number, sharp), quality)


def view(at_s: float, *probes: Probe) -> View:
    return View("north", 0, at_s, 0.0, probes)


def shown(*views: View, seconds: float = 5.0) -> Capture:
    capture = Capture(100.0, seconds, min_face_px=50)
    for each in views:
        capture.observe(each)
    return capture


def numbers(capture: Capture) -> list[int]:
    return [int(each[0, 0, 0]) for each in capture.crops()]


def test_it_takes_the_sharpest_picture_of_each_slot_in_order() -> None:
    frames = [view(100 + i / 20, probe(i, sharp=i % 10 == 3)) for i in range(100)]
    assert numbers(shown(*frames)) == list(range(3, 100, 10))


def test_what_was_seen_before_and_after_does_not_count() -> None:
    inside = [view(100 + i, probe(i)) for i in range(5)]
    assert numbers(shown(view(99.9, probe(50)), *inside, view(105.0, probe(60)))) == [0, 1, 2, 3, 4]


def test_a_bystander_far_behind_is_overlooked() -> None:
    assert numbers(shown(*[view(100 + i, probe(99, side=30), probe(i)) for i in range(3)])) == [0, 1, 2]


def test_a_single_false_alarm_of_the_detector_does_not_end_it() -> None:
    frames = [view(100 + i / 2, probe(i)) for i in range(9)]
    assert len(numbers(shown(*frames, view(104.9, probe(1), probe(2))))) == 9


@pytest.mark.parametrize(
    ("views", "reason"),
    [
        ([], "no_face"),
        ([view(100.0 + i) for i in range(5)], "no_face"),
        ([view(100.0 + i, probe(), probe()) for i in range(5)], "several_faces"),
        ([*[view(100.0 + i, probe()) for i in range(3)], view(103.0, probe(), probe())], "several_faces"),
        ([view(100.0 + i, probe(quality=Quality.BLURRED)) for i in range(5)], "blurred"),
        ([view(100.0 + i, probe(quality=Quality.TOO_DARK)) for i in range(5)], "too_dark"),
        ([view(100.0 + i, probe(quality=Quality.PROFILE)) for i in range(5)], "profile"),
        ([view(100.0 + i, probe(side=49)) for i in range(5)], "too_small"),
        ([view(100.0, probe()), view(101.0, probe())], "timeout"),
        ([view(100.0 + i / 100, probe()) for i in range(30)], "timeout"),  # all in one slot: no more than one picture
    ],
)
def test_what_is_too_little_is_refused_with_its_reason(views: list[View], reason: str) -> None:
    with pytest.raises(EnrolError) as error:
        shown(*views).crops()
    assert error.value.reason == reason


@pytest.mark.parametrize(("at_s", "over"), [(100.0, False), (104.99, False), (105.0, True), (99.0, True), (float("nan"), True)])
def test_it_is_over_when_its_time_is_up(at_s: float, over: bool) -> None:
    assert shown().over(at_s) is over


@given(st.lists(st.tuples(st.floats(90, 120), st.integers(0, 2)), max_size=60), st.floats(1, 30))
def test_it_never_gives_fewer_or_more_than_it_may_nor_anything_from_a_crowd(frames: list[tuple[float, int]], seconds: float) -> None:
    views = [view(at_s, *[probe(200 if faces > 1 else 7)] * faces) for at_s, faces in frames]
    try:
        taken = numbers(shown(*views, seconds=seconds))
    except EnrolError:
        return
    assert LEAST <= len(taken) <= SLOTS and set(taken) == {7}
