import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box, iou, overlap

boxes = st.builds(Box, *[st.floats(-1e3, 1e3)] * 2, *[st.floats(0, 1e3)] * 2)


def test_overlap_of_known_boxes() -> None:
    a = Box(0, 0, 10, 10)
    assert iou(a, a) == 1
    assert iou(a, Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou(a, Box(10, 0, 10, 10)) == 0, "touching is not overlapping"
    assert iou(a, Box(2, 2, 0, 0)) == 0, "an empty box shares nothing"
    assert overlap(a, Box(-5, -5, 10, 10)) == 25


def test_the_side_is_that_of_the_square_of_the_same_area() -> None:
    assert Box(0, 0, 30, 30).side == 30
    assert Box(0, 0, 20, 45).side == 30
    assert Box(0, 0, -1, 5).side == 0


@given(boxes, boxes)
def test_iou_is_a_share_and_symmetric(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == pytest.approx(iou(b, a))


@pytest.mark.parametrize("height", [6.5e-11, 5.7e-14, 6e-14, 1e-300])
@pytest.mark.parametrize("y", [0.0, 1.0, 100.0, 1000.0, -1000.0])
def test_iou_stays_a_share_where_the_height_of_a_box_is_lost_in_rounding(y: float, height: float) -> None:
    box = Box(0, y, 1, height)
    assert 0 <= iou(box, box) <= 1
    assert 0 <= iou(box, Box(0, y, 1, 100)) <= 1


def test_boxes_that_only_touch_share_nothing_in_either_direction() -> None:
    a = Box(0, 0, 10, 10)
    for b in (Box(10, 0, 10, 10), Box(0, 10, 10, 10), Box(10, 10, 10, 10), Box(-10, 3, 10, 10)):
        assert overlap(a, b) == overlap(b, a) == iou(a, b) == 0
    assert overlap(a, Box(20, 20, 5, 5)) == 0, "apart in both directions"
    assert Box(0, 0, -2, -8).side == 0
