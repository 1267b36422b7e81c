"""The part of the picture in which faces count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.region import Region, RegionError, region

SHARE = st.floats(0.0, 1.0)


def middle_at(x: float, y: float, height: int, width: int) -> Box:
    return Box(x * width - 5.0, y * height - 7.0, 10.0, 14.0)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (1080, 1920), (640, 360)])
def test_a_box_holds_at_every_resolution(height: int, width: int) -> None:
    found = region([(0.8, 1.0), (0.2, 0.1)])
    assert found is not None
    inside, outside = [(0.5, 0.5), (0.21, 0.11), (0.79, 0.99)], [(0.19, 0.5), (0.81, 0.5), (0.5, 0.09)]
    assert all(found.holds(middle_at(x, y, height, width), height, width) for x, y in inside)
    assert not any(found.holds(middle_at(x, y, height, width), height, width) for x, y in outside)


def test_a_polygon_need_not_be_convex() -> None:
    arrow = Region(((0.0, 0.0), (1.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.0, 1.0)))
    assert arrow.holds(middle_at(0.2, 0.5, 100, 100), 100, 100) and not arrow.holds(middle_at(0.8, 0.5, 100, 100), 100, 100)


@given(x=SHARE, y=SHARE, left=SHARE, top=SHARE, right=SHARE, bottom=SHARE)
def test_a_box_of_two_corners_is_a_box(x: float, y: float, left: float, top: float, right: float, bottom: float) -> None:
    try:
        found = region([(left, top), (right, bottom)])
    except RegionError:
        assert abs(left - right) * abs(top - bottom) < 1.1e-4
        return
    assert found is not None
    box = Box(x, y, 0.0, 0.0)
    if x not in (left, right) and y not in (top, bottom):
        assert found.holds(box, 1, 1) is (min(left, right) < x < max(left, right) and min(top, bottom) < y < max(top, bottom))


@pytest.mark.parametrize("corners", [[(0.5, 0.5)], [(0.2, 0.2), (0.2, 0.9)], [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)]])
def test_corners_without_an_area_are_no_region(corners: list[tuple[float, float]]) -> None:
    with pytest.raises(RegionError):
        region(corners)


def test_no_corners_are_the_whole_picture() -> None:
    assert region([]) is None
