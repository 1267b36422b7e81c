"""Each reason for not scoring a face, and its edges. Figures on real faces stand in tests/edges/test_detector.py."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from daemon.config import QualityConfig
from daemon.core.boxes import Box
from daemon.core.faces.align import TEMPLATE
from daemon.core.faces.quality import Limits, brightness, inside, judge, sharpness, yaw
from daemon.core.values import Face, Image, Quality

Q = QualityConfig()
LIMITS = Limits(40, Q.min_sharpness, Q.min_brightness, Q.max_brightness, Q.max_yaw, Q.min_upright, Q.max_covered)
FRAME = (480, 640)
BOX = Box(100, 100, 100, 100)


def texture(low: int = 60, high: int = 190, sigma: float = 1.2) -> Image:
    noise = np.random.default_rng(3).random((112, 112))
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    scaled = (smooth - smooth.min()) / (smooth.max() - smooth.min()) * (high - low) + low
    return np.repeat(np.asarray(scaled, np.uint8)[:, :, None], 3, axis=2)


def landmarks(nose_shift: float = 0.0) -> np.ndarray:
    points = np.asarray(TEMPLATE + 100, np.float32)
    points[2, 0] += nose_shift
    return points


def test_a_good_face_passes() -> None:
    assert judge(Face(BOX, 1.0), FRAME, texture(), LIMITS) is Quality.OK
    assert judge(Face(BOX, 1.0, landmarks()), FRAME, texture(), LIMITS) is Quality.OK


@pytest.mark.parametrize(
    ("face", "crop", "reason"),
    [
        (Face(Box(100, 100, 39, 39), 1.0), texture(), Quality.TOO_SMALL),
        (Face(Box(100, 100, float("nan"), 50), 1.0), texture(), Quality.TOO_SMALL),
        (Face(Box(-20, 100, 100, 100), 1.0), texture(), Quality.CUT),
        (Face(Box(100, 0, 100, 100), 1.0), texture(), Quality.CUT),  # the box is inside, the forehead is not
        (Face(Box(100, 420, 100, 100), 1.0), texture(), Quality.CUT),
        (Face(Box(590, 100, 100, 100), 1.0, landmarks() + np.array([470, 0], np.float32)), texture(), Quality.CUT),
        (Face(BOX, 1.0, landmarks(30)), texture(), Quality.PROFILE),
        (Face(BOX, 1.0), texture(2, 30), Quality.TOO_DARK),
        (Face(BOX, 1.0), texture(225, 255), Quality.TOO_BRIGHT),
        (Face(BOX, 1.0), texture(sigma=9), Quality.BLURRED),
        (Face(BOX, 1.0), np.full((112, 112, 3), 128, np.uint8), Quality.BLURRED),
    ],
)
def test_each_reason(face: Face, crop: Image, reason: Quality) -> None:
    assert judge(face, FRAME, crop, LIMITS) is reason


def test_a_little_outside_the_frame_is_not_cut() -> None:
    assert judge(Face(Box(-8, 100, 100, 100), 1.0), FRAME, texture(), LIMITS) is Quality.OK, "hair at the side"
    assert judge(Face(Box(100, 12, 100, 100), 1.0), FRAME, texture(), LIMITS) is Quality.OK, "a little hair above"


def test_the_share_inside_is_that_of_the_crop_without_its_outer_columns() -> None:
    at = np.asarray(TEMPLATE, np.float32)
    for down, missing in ((0, 0), (-10, 10), (-30, 30)):
        assert inside(Face(BOX, 1.0, at + np.array([100, down], np.float32)), FRAME) == pytest.approx(1 - missing / 112, abs=1e-3)
    assert inside(Face(BOX, 1.0, at + np.array([-16, 100], np.float32)), FRAME) == pytest.approx(1, abs=1e-3)
    assert inside(Face(BOX, 1.0, at + np.array([-36, 100], np.float32)), FRAME) == pytest.approx(1 - 20 / 80, abs=1e-3)
    assert inside(Face(BOX, 1.0, at + np.array([640 - 76, 100], np.float32)), FRAME) == pytest.approx(1 - 20 / 80, abs=1e-3)
    assert inside(Face(Box(100, -50, 112 / 1.13, 112 / 1.13), 1.0), FRAME) == pytest.approx(1 - 63.4 / 112, abs=0.01)
    tilt = np.array([[0.94, -0.34], [0.34, 0.94]], np.float32)
    assert 0.9 < inside(Face(BOX, 1.0, at @ tilt.T + np.array([30, -18], np.float32)), FRAME) < 0.999, "only a corner is missing"


def test_landmarks_outside_the_frame_are_cut() -> None:
    points = landmarks()
    points[0, 0] = -3
    assert judge(Face(BOX, 1.0, points), FRAME, texture(), LIMITS) is Quality.CUT
    points[0, 0] = np.nan
    assert judge(Face(BOX, 1.0, points), FRAME, texture(), LIMITS) is Quality.CUT


def test_limits_that_are_not_numbers_pass_nothing() -> None:
    nan = float("nan")
    for name in ("min_face_px", "min_sharpness", "min_brightness", "max_brightness", "max_yaw"):
        assert judge(Face(BOX, 1.0, landmarks()), FRAME, texture(), replace(LIMITS, **{name: nan})) is not Quality.OK


def test_sharpness_does_not_depend_on_light_or_contrast() -> None:
    assert sharpness(texture(20, 60)) == pytest.approx(sharpness(texture(60, 220)), rel=0.15)


def test_sharpness_falls_with_blur_and_hardly_with_size() -> None:
    sharp = texture()
    assert sharpness(sharp) > sharpness(texture(sigma=2.5)) > sharpness(texture(sigma=5.0))
    shrunk = cv2.resize(cv2.resize(sharp, (56, 56), interpolation=cv2.INTER_AREA), (112, 112))
    assert sharpness(np.asarray(shrunk, np.uint8)) > 0.5 * sharpness(sharp)


def test_brightness_is_that_of_the_face_not_of_the_window_behind() -> None:
    crop = np.full((112, 112, 3), 255, np.uint8)
    crop[28:104, 24:88] = 20
    assert brightness(crop) == 20


def test_yaw_counts_eye_distances_also_on_a_tilted_head() -> None:
    eyes = np.array([[0, 0], [10, 0], [5, 6], [2, 10], [8, 10]], np.float32)
    turned = eyes.copy()
    turned[2, 0] += 4
    tilt = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    assert yaw(Face(BOX, 1.0, eyes)) == 0
    assert yaw(Face(BOX, 1.0, turned)) == pytest.approx(0.4)
    assert yaw(Face(BOX, 1.0, turned @ tilt.T)) == pytest.approx(0.4)
    assert yaw(Face(BOX, 1.0)) == 0
    assert yaw(Face(BOX, 1.0, eyes[[1, 0, 2, 4, 3]])) == float("inf")
    assert yaw(Face(BOX, 1.0, np.zeros((5, 2), np.float32))) == float("inf")
