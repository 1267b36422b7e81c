"""Stories about the picture of somebody unknown: what it shows, how large it is, and of which frame."""

import cv2
import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.passages.portrait import LONGEST_PX, MOST_BYTES, Best, jpeg, portrait
from daemon.core.values import Face, Image, Probe, Quality


def frame(height: int = 480, width: int = 640) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(width) % 256, np.arange(height)[:, None] % 256
    return image


def face(x: float, y: float, side: float) -> Face:
    return Face(Box(x, y, side, side), 1.0)


def test_it_shows_twice_the_box_as_the_camera_gave_it() -> None:
    image = frame()
    seen = portrait(image, face(200, 200, 100), 50)
    assert seen is not None and (seen == image[150:350, 150:350]).all()
    image[:] = 0
    assert seen.any(), "a copy: the frame is not kept for it"


def test_at_the_edge_of_the_frame_it_ends_there() -> None:
    image = frame()
    seen = portrait(image, face(0, 0, 100), 50)
    assert seen is not None and (seen == image[:150, :150]).all()


def test_a_large_face_is_made_smaller_and_never_too_small_to_enrol() -> None:
    seen = portrait(frame(2160, 3840), face(1500, 600, 900), 50)
    assert seen is not None and max(seen.shape[:2]) == LONGEST_PX
    demanding = portrait(frame(2160, 3840), face(1500, 600, 900), 600)
    assert demanding is not None and demanding.shape[0] / 2 >= 600, "enrolment.min_face_px may be high"


@pytest.mark.parametrize("side", [0.0, 20.0, 50.0, 57.0, float("nan"), float("inf"), -100.0])
def test_a_face_that_no_enrolment_would_take_gives_none(side: float) -> None:
    assert portrait(frame(), face(200, 200, side), 50) is None


@pytest.mark.parametrize("box", [Box(-900, 100, 100, 100), Box(700, 500, 100, 100), Box(float("nan"), 0, 100, 100), Box(0, 0, 100, 1e9)])
def test_a_box_beside_the_picture_does_no_harm(box: Box) -> None:
    seen = portrait(frame(), Face(box, 1.0), 50)
    assert seen is None or min(seen.shape[:2]) >= 1


def test_the_file_stays_below_its_bound_whatever_it_shows() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (LONGEST_PX, LONGEST_PX, 3), np.uint8)
    for image in (noise, frame(LONGEST_PX, LONGEST_PX), frame(60, 60)):
        data = jpeg(image)
        read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert len(data) <= MOST_BYTES and read is not None and read.shape == image.shape


def probe(sharp: float, shade: int, *, shown: bool = True) -> Probe:
    crop = np.random.default_rng(0).normal(128, 30 * sharp, (112, 112, 3)).clip(0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(crop, (0, 0), 3 / sharp)
    return Probe(face(0, 0, 80), np.asarray(blurred, np.uint8), Quality.OK, None, np.full((9, 9, 3), shade, np.uint8) if shown else None)


def test_the_sharpest_good_frame_is_kept() -> None:
    best = Best()
    assert best.image is None
    best.take(probe(5, 9, shown=False), 0.0)
    assert best.image is None, "a gate that shares nothing cuts nothing out"
    for sharp, shade in ((1, 1), (3, 2), (0.5, 3), (2, 4)):
        best.take(probe(sharp, shade), 5.0 + shade / 10)
    assert not best.settled(5.9) and best.settled(6.2)
    image = best.give()
    assert image is not None and image[0, 0, 0] == 2
    best.take(probe(9, 7), 7.0)
    assert best.give() is None and not best.settled(99.0), "one of a passage"
