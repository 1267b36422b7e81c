from daemon.core.boxes import Box
from daemon.core.passages.tracks import Tracker


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
