from math import nan
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.passages.tracks import Tracker
from tests.fixtures.plain_tracker import taken


def at(x: float, width: float = 80) -> Box:
    return Box(x, 100, width, width)


def numbers(tracker: Tracker, boxes: list[Box], at_s: float) -> list[int]:
    return [track.number for track in tracker.update(boxes, at_s)]


def test_a_walking_face_keeps_its_track() -> None:
    tracker = Tracker(lost_s=1.0)
    assert {numbers(tracker, [at(20 * i, 60 + i)], i / 10)[0] for i in range(20)} == {1}


def test_two_faces_keep_theirs_whatever_order_the_detector_names_them_in() -> None:
    tracker = Tracker(1.0)
    assert numbers(tracker, [at(0), at(300)], 0.0) == [1, 2]
    assert numbers(tracker, [at(305), at(5)], 0.1) == [2, 1]


def test_a_jump_across_the_picture_is_another_face() -> None:
    tracker = Tracker(1.0)
    assert numbers(tracker, [at(0)], 0.0) != numbers(tracker, [at(400)], 0.1)


def test_a_face_of_quite_another_size_nearby_is_another_face() -> None:
    tracker = Tracker(1.0)
    assert numbers(tracker, [at(0, 40)], 0.0) != numbers(tracker, [at(40, 200)], 0.1)


def test_a_short_loss_is_bridged_and_a_long_one_ends_the_track() -> None:
    tracker = Tracker(1.0)
    tracker.update([at(0)], 0.0)
    assert tracker.expire(0.9) == [] and numbers(tracker, [at(5)], 0.9) == [1]
    assert [t.number for t in tracker.expire(2.0)] == [1]
    assert numbers(tracker, [at(5)], 2.0) == [2]


def test_time_running_backwards_ends_tracks() -> None:
    tracker = Tracker(1.0)
    tracker.update([at(0)], 100.0)
    assert len(tracker.expire(50.0)) == 1


def test_one_track_takes_one_box() -> None:
    tracker = Tracker(1.0)
    tracker.update([at(0)], 0.0)
    assert len(set(numbers(tracker, [at(0), at(10), at(20)], 0.1))) == 3


def test_empty_boxes_do_no_harm() -> None:
    tracker = Tracker(1.0)
    tracker.update([Box(0, 0, 0, 0)], 0.0)
    assert len(tracker.update([Box(0, 0, 0, 0), at(3)], 0.1)) == 2


def test_a_cut_ends_that_track_and_no_other() -> None:
    tracker = Tracker(1.0)
    first, second, third = tracker.update([at(0), at(300), at(600)], 0.0)
    new = tracker.cut(second)
    assert new.number == 4 and new.box == second.box and new.last_s == second.last_s
    assert tracker.tracks == [first, third, new]
    assert numbers(tracker, [at(0), at(300), at(600)], 0.1) == [1, 4, 3]


# ---- fast, and the same as pair by pair

PLACES = st.one_of(st.sampled_from([0.0, 40.0, 80.0, 120.0, 240.0]), st.floats(0, 400, width=32))
SIZES = st.one_of(st.sampled_from([0.0, 40.0, 80.0]), st.floats(1, 200, width=32))
BOXES = st.builds(Box, PLACES, PLACES, SIZES, SIZES)
FRAMES = st.lists(st.tuples(st.lists(BOXES, max_size=6), st.integers(0, 2**16), st.floats(0, 1.2)), max_size=8)
"""The boxes of a frame, what decides how its faces look, and how long it comes after the one before (seconds)."""


def likeness(seed: int, tracker: Tracker, boxes: int) -> dict[tuple[int, int], float]:
    """How alike the faces are; a third of them cannot be compared."""
    drawn = Random(seed)
    values = [0.3, 0.5, nan, *(drawn.uniform(-1, 1) for _ in range(8))]
    return {(t.number, i): drawn.choice(values) for t in tracker.tracks for i in range(boxes) if drawn.random() < 2 / 3}


@given(frames=FRAMES, same=st.sampled_from([0.3, 0.5]))
@settings(max_examples=300, deadline=None)
def test_every_box_goes_to_the_track_that_the_plain_rule_says(frames: list[tuple[list[Box], int, float]], same: float) -> None:
    tracker, at_s = Tracker(1.0, same), 0.0
    for boxes, seed, wait_s in frames:
        at_s += wait_s
        tracker.expire(at_s)
        looks = likeness(seed, tracker, len(boxes))
        expected = taken(tracker.tracks, boxes, at_s, same, looks)
        before = {track.number for track in tracker.tracks}
        found = [track.number for track in tracker.update(boxes, at_s, looks)]
        assert [number if number in before else None for number in found] == expected


# ---- beyond doubt


def sure(tracker: Tracker, boxes: list[Box], at_s: float) -> list[int | None]:
    return [track.number if track is not None else None for track in tracker.sure(boxes, at_s)]


def test_a_face_that_hardly_moves_is_the_same_beyond_doubt() -> None:
    tracker = Tracker(1.0)
    assert sure(tracker, [at(0)], 0.0) == [None] and sure(tracker, [], 0.0) == []
    tracker.update([at(0), at(300)], 0.0)
    assert sure(tracker, [at(303), at(4, 82)], 0.1) == [2, 1]


@pytest.mark.parametrize(
    "now",
    [[at(25)], [at(0, 110)], [at(0), at(110)], [at(0), at(0)], [at(400)]],
    ids=["moved", "grown", "somebody beside", "two in one place", "elsewhere"],
)
def test_a_face_that_moved_or_grew_or_is_not_alone_may_be_another(now: list[Box]) -> None:
    tracker = Tracker(1.0)
    tracker.update([at(0)], 0.0)
    assert sure(tracker, now, 0.1)[0] is None


def test_a_face_that_is_not_where_its_way_leads_may_be_another() -> None:
    tracker = Tracker(1.0)
    for i in range(6):
        tracker.update([at(60 * i)], i / 10)
    assert sure(tracker, [at(300)], 0.6) == [None], "it stands where it was, though it walked fast"


def test_after_a_gap_nothing_is_beyond_doubt_nor_beside_a_face_that_is_only_hidden() -> None:
    tracker = Tracker(1.0)
    tracker.update([at(0), at(100)], 0.0)
    tracker.update([at(0)], 0.1)
    assert sure(tracker, [at(0)], 0.2) == [None], "the other may come back in this place"
    assert sure(tracker, [at(100)], 0.2) == [None]
    tracker.expire(1.1)
    tracker.update([at(0)], 1.1)
    assert sure(tracker, [at(0)], 1.2) == [1]
    tracker.update([], 1.2)
    assert sure(tracker, [at(0)], 1.3) == [None]


@given(frames=FRAMES)
@settings(max_examples=300, deadline=None)
def test_a_box_goes_to_the_track_that_is_beyond_doubt_whatever_the_other_faces_look_like(
    frames: list[tuple[list[Box], int, float]],
) -> None:
    tracker, at_s = Tracker(1.0, 0.3), 0.0
    for boxes, seed, wait_s in frames:
        for seen in (boxes, [Box(box.x + 1, box.y, box.width, box.height) for box in boxes]):
            at_s += wait_s / 10
            found = tracker.sure(seen, at_s)
            # Whoever is beyond doubt has no vector.
            looks = {pair: one for pair, one in likeness(seed, tracker, len(seen)).items() if found[pair[1]] is None}
            for beyond_doubt, track in zip(found, tracker.update(seen, at_s, looks), strict=True):
                assert beyond_doubt is None or track is beyond_doubt
                event("beyond doubt" if beyond_doubt is not None else "in doubt")
