"""Where faces are looked for: never past a face that comes, and never twice at a wall."""

import cv2
import numpy as np
import pytest

from daemon.core.attention import MOST, MOVES_S, SURELY_S, WHOLE_S, Attention, Region, joined, whole
from daemon.core.boxes import Box
from daemon.core.values import Face, Image

RATE = 30
GRAIN = np.random.default_rng(0).normal(0, 1, (720, 1280, 3)).astype(np.float32)
EVERYTHING = Region(0, 0, 640, 480, 40)


def wall(noise: float = 2.0, seed: int = 0, level: int = 90, shape: tuple[int, int] = (480, 640)) -> Image:
    """A grey wall as a camera sees it: the same but for the sensor's noise."""
    random = np.random.default_rng(seed)
    grain = np.roll(GRAIN, tuple(random.integers(0, 700, 2)), (0, 1))[: shape[0], : shape[1]]
    return np.asarray(np.clip(level + noise * grain, 0, 255), np.uint8)


def head(image: Image, x: int, y: int, side: int = 60, level: int = 150) -> Face:
    """Somebody in front of it."""
    cv2.circle(image, (x, y), side // 2, (level, level, level), -1)
    return Face(Box(x - side / 2, y - side / 2, side, side), 1.0)


def shown(attention: Attention, image: Image, at_s: float, *faces: Face) -> list[Region]:
    """One picture: where it is searched, when each region shows the faces that are wholly in it."""
    regions = attention.where(image, at_s)
    assert attention.saw(regions, [[face for face in faces if covers([region], face.box)] for region in regions]) is not None
    return regions


def covers(regions: list[Region], box: Box) -> bool:
    return any(
        r.left <= box.x and r.top <= box.y and box.x + box.width <= r.right and box.y + box.height <= r.bottom and r.least_px <= box.side
        for r in regions
    )


def test_an_empty_scene_costs_nothing_but_a_whole_search_now_and_then() -> None:
    attention, searched = Attention(40), []
    for number in range(10 * RATE):
        regions = shown(attention, wall(seed=number), number / RATE)
        searched += [sum(region.area for region in regions) / EVERYTHING.area]
    assert searched[0] == 1 and searched.count(1.0) <= 10 / WHOLE_S + 1
    longest = max(len(run) for run in "".join("1" if share == 1 else "0" for share in searched).split("1"))
    assert longest <= WHOLE_S * RATE
    assert sum(searched) / len(searched) < 0.1


@pytest.mark.parametrize("noise", [0.5, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("level", [100, 110, 150, 240])
def test_who_comes_is_looked_for_in_the_same_frame(noise: float, level: int) -> None:
    """Also of little contrast: a head that is 10 of 255 grey levels lighter than the wall, by a noisy sensor."""
    for seed in range(6):
        attention = Attention(40)
        for number in range(4):
            shown(attention, wall(noise, seed=100 * seed + number), number / RATE)
        image = wall(noise, seed=100 * seed + 50)
        came = head(image, 80 + 20 * seed, 150 + 10 * seed, level=level)
        regions = attention.where(image, 4 / RATE)
        assert covers(regions, came.box), (seed, regions)
        assert sum(region.area for region in regions) < MOST * EVERYTHING.area


def test_a_change_too_slow_to_be_seen_between_two_frames_is_seen() -> None:
    attention = Attention(40)
    shown(attention, wall(), 0.0)
    for number in range(1, 11):
        image = wall(seed=number)
        came = head(image, 300, 200, level=90 + number)
        if covers(attention.where(image, number / RATE), came.box):
            return
    raise AssertionError("a head that faded in was never looked for")


def test_a_face_that_was_there_is_looked_for_though_nothing_moves() -> None:
    attention, face, searched = Attention(40), Face(Box(300, 200, 60, 60), 1.0), []
    shown(attention, wall(), 0.0, face)
    for number in range(1, int(0.9 * WHOLE_S * RATE)):
        image, at_s, regions = wall(seed=number), number / RATE, []
        while True:
            regions = attention.where(image, at_s)
            assert covers(regions, face.box)
            searched.append(sum(region.area for region in regions))
            if attention.saw(regions, [[face] if number < 3 and covers([region], face.box) else [] for region in regions]) is not None:
                break
    assert sum(area >= EVERYTHING.area for area in searched) == 1, "when it was missing"
    assert sorted(searched)[-2] < 0.1 * EVERYTHING.area


def test_a_face_that_is_gone_is_forgotten() -> None:
    attention = Attention(40)
    shown(attention, wall(), 0.0, Face(Box(300, 200, 60, 60), 1.0))
    at_s = SURELY_S + 0.1
    shown(attention, wall(seed=1), at_s)
    assert sum(region.area for region in attention.where(wall(seed=2), at_s + 1 / RATE)) < 0.05 * EVERYTHING.area


def test_a_second_face_is_looked_for_within_a_tenth_of_a_second() -> None:
    for seed in range(10):
        attention, first = Attention(40), Face(Box(300, 200, 60, 60), 1.0)
        shown(attention, wall(), 0.0, first)
        came_s = None
        for number in range(1, 8):
            image = wall(seed=100 * seed + number)
            second = head(image, 100, 100)
            if covers(attention.where(image, number / RATE), second.box):
                came_s = number / RATE
                break
        assert came_s is not None and came_s <= MOVES_S + 2 / RATE


def test_somebody_small_beside_a_large_face_is_looked_for_within_a_tenth_of_a_second() -> None:
    """Where the large one is looked for in every frame, though not for faces as small."""
    attention, large, picture = Attention(40), Face(Box(500, 200, 200, 200), 1.0), (720, 1280)
    shown(attention, wall(shape=picture), 0.0, large)
    for number in range(1, 5):
        image = wall(seed=number, shape=picture)
        small = head(image, 740, 250, side=50)
        regions = shown(attention, image, number / RATE, large)
        if number == 1:
            assert not covers(regions, small.box)
        if covers(regions, small.box):
            return
    raise AssertionError("nobody looked for the small one")


def test_a_face_that_is_missing_is_looked_for_in_the_whole_picture_and_then_with_no_more_pixels_than_there() -> None:
    """A search with more pixels may miss what the whole picture shows (noise in the dark). It is tried again after a while."""
    attention, face = Attention(40), Face(Box(300, 200, 70, 70), 1.0)
    shown(attention, wall(), 0.0, face)
    regions = attention.where(wall(seed=1), 1 / RATE)
    assert regions[0].least_px < 40 and attention.saw(regions, [[]]) is None
    assert shown(attention, wall(seed=1), 1 / RATE, face)[-1] == EVERYTHING
    (region,) = attention.where(wall(seed=2), 2 / RATE)
    assert region.least_px == 40 and attention.saw([region], [[]]) == [], "the whole picture shows no more than this"
    for number in range(3, 3 + RATE):
        shown(attention, wall(seed=number), number / RATE, face)
    assert attention.where(wall(seed=99), (4 + RATE) / RATE)[0].least_px < 40


def test_a_large_face_is_looked_for_with_fewer_pixels() -> None:
    attention, face, large = Attention(40), Face(Box(500, 200, 200, 200), 1.0), (720, 1280)
    shown(attention, wall(shape=large), 0.0, face)
    (region,) = attention.where(wall(seed=1, shape=large), 1 / RATE)
    assert 0.25 * 200 <= region.least_px <= 0.36 * 200 and covers([region], face.box)


@pytest.mark.parametrize("image", [wall(level=200), np.zeros((480, 640, 3), np.uint8), wall(shape=(240, 320)), wall(shape=(1, 1))])
def test_another_light_and_another_picture_are_searched_as_a_whole(image: Image) -> None:
    attention = Attention(40)
    shown(attention, wall(), 0.0)
    assert attention.where(image, 1 / RATE) == [whole(image, 40)]


@pytest.mark.parametrize("at_s", [-5.0, 1e9, float("nan"), float("inf")])
def test_a_clock_that_jumps_hides_nobody(at_s: float) -> None:
    attention = Attention(40)
    shown(attention, wall(), 1.0)
    assert attention.where(wall(seed=1), at_s) == [EVERYTHING]


def test_a_face_at_the_edge_of_a_region_has_the_whole_picture_searched() -> None:
    attention = Attention(40)
    for number in range(4):
        shown(attention, wall(seed=number), number / RATE)
    image = wall(seed=10)
    head(image, 300, 200)
    regions = attention.where(image, 4 / RATE)
    (region,) = regions
    part = Face(Box(region.left + 1, region.top + 10, 50, 50), 1.0)
    assert attention.saw(regions, [[part]]) is None
    again = attention.where(image, 4 / RATE)
    assert again == [EVERYTHING] and attention.saw(again, [[part]]) == [part]


def test_a_face_at_the_edge_of_the_picture_is_no_part_of_one() -> None:
    attention = Attention(40)
    for box in (Box(-5, 10, 60, 60), Box(600, 430, 60, 60), Box(-40, 10, 60, 60), Box(620, 460, 60, 60)):
        for number in range(3):
            face, regions = Face(box, 1.0), attention.where(wall(seed=number), number / RATE)
            assert attention.saw(regions, [[face] for _ in regions]) == [face]


def test_regions_never_share_a_pixel() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        corners = random.integers(0, 500, (random.integers(0, 12), 2))
        sizes = random.integers(1, 200, corners.shape)
        given = [Region(int(x), int(y), int(x + w), int(y + h), 40.0) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
        once = joined(given)
        seen = np.zeros((700, 700), int)
        for region in once:
            seen[region.top : region.bottom, region.left : region.right] += 1
        assert seen.max(initial=0) <= 1
        assert all(any(r.left <= g.left and r.top <= g.top and g.right <= r.right and g.bottom <= r.bottom for r in once) for g in given)


def test_the_memory_of_faces_does_not_grow() -> None:
    attention = Attention(40)
    for number in range(300):
        box = Box(float(10 * (number % 50)), float(5 * (number % 71)), 8, 8)
        shown(attention, wall(seed=number % 7), number * 0.5, Face(box, 1.0))
    assert len(attention._faces) < 10


def test_what_the_whole_search_a_moment_ago_did_not_find_is_no_face() -> None:
    """Otherwise a detector that sees something at an edge each time would have each picture searched twice."""
    attention, searches = Attention(40), 0
    for number in range(RATE):
        image = wall(seed=number)
        head(image, 300, 200 + number)
        while True:
            regions = attention.where(image, number / RATE)
            searches += regions == [EVERYTHING]
            seen = attention.saw(regions, [[Face(Box(r.left + 1, r.top + 10, 50, 50), 1.0)] if r != EVERYTHING else [] for r in regions])
            if seen is not None:
                break
        assert seen == []
    assert searches <= 1 / MOVES_S + 2


def test_regions_have_the_sizes_that_the_detector_takes() -> None:
    def fit(region: Region, everything: Region) -> Region:
        width, height = (-(-length // 64) * 64 for length in (region.right - region.left, region.bottom - region.top))
        return Region(region.left, region.top, region.left + width, region.top + height, region.least_px)

    attention = Attention(40, fit)
    faces = [Face(Box(100, 100, 60, 60), 1.0), Face(Box(400, 300, 60, 60), 1.0), Face(Box(215, 110, 60, 60), 1.0)]
    shown(attention, wall(), 0.0, *faces)
    regions = attention.where(wall(seed=1), 1 / RATE)
    assert len(regions) == 2 and all(covers(regions, face.box) for face in faces) and joined(regions) == regions
    assert all((r.right - r.left) % 64 == 0 and (r.bottom - r.top) % 64 == 0 for r in regions)


def test_a_face_that_two_regions_show_is_one() -> None:
    """The finer region comes first, and a part of a face at an edge is not it."""
    attention, fine, coarse = Attention(40), Face(Box(300, 200, 60, 60), 1.0), Face(Box(303, 196, 58, 66), 0.9)
    shown(attention, wall(), 0.0, fine)
    regions = attention.where(wall(seed=1), WHOLE_S)
    assert len(regions) == 2 and regions[-1] == EVERYTHING and regions[0].least_px < 40
    assert attention.saw(regions, [[fine], [coarse]]) == [fine]
    part = Face(Box(regions[0].left, 200, 40, 60), 1.0)
    there = Face(Box(regions[0].left - 15, 198, 60, 60), 1.0)
    assert attention.saw(regions, [[part], [there]]) == [there]


def test_more_pixels_cost_nothing_where_the_detector_has_no_more() -> None:
    """The cascade never enlarges a picture, so its regions are as cheap as they are small."""
    faces = [Face(Box(40 + 150 * column, 30 + 150 * row, 50, 50), 1.0) for row in range(3) for column in range(4)]
    for attention, crowd in ((Attention(40), True), (Attention(40, finest_px=40.0), False)):
        shown(attention, wall(), 0.0, *faces)
        assert (shown(attention, wall(seed=1), 1 / RATE, *faces) == [EVERYTHING]) == crowd


def test_a_crowd_costs_no_more_than_the_whole_picture() -> None:
    attention, faces = Attention(40), [Face(Box(40 + 95 * column, 30 + 110 * row, 50, 50), 1.0) for row in range(4) for column in range(6)]
    shown(attention, wall(), 0.0, *faces)
    assert shown(attention, wall(seed=1), 1 / RATE, *faces) == [EVERYTHING]


def test_a_view_is_thorough_where_newcomers_were_looked_for() -> None:
    """In a still picture only a known face is looked for between two looks at all that moves."""
    attention, face, thorough = Attention(40), Face(Box(300, 200, 80, 80), 1.0), []
    for number in range(12):
        shown(attention, wall(0.0), number / RATE, face)
        thorough.append(attention.thorough)
    assert thorough[0] and not thorough[1]
    assert max(len(run) for run in "".join("01"[each] for each in thorough).split("1")) <= 3
    attention = Attention(40)
    for number in range(12):
        shown(attention, wall(0.0), number / RATE)
        assert attention.thorough, "nobody is there, so all that moves is looked at"
