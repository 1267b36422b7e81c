"""Alignment on synthetic pictures: points go where the template says, colours turn round once."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.faces.align import (
    ALIGNMENT,
    BOX_CENTRE,
    CROP_PER_BOX,
    CROP_PX,
    TEMPLATE,
    Alignment,
    align,
    box_transform,
    similarity_transform,
)
from daemon.core.values import Face, Image

BACKGROUND = 40


def moved(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    """The template's landmarks as they would lie in a frame, float64 [5, 2]."""
    turn = np.deg2rad(degrees)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(TEMPLATE @ rotation.T + shift)


def dotted(points: np.ndarray, size: tuple[int, int], radius: float) -> Image:
    """A BGR picture, a blurred dot on each point, the first one red and the others white."""
    picture = np.full((*size, 3), BACKGROUND, np.uint8)
    for i, (x, y) in enumerate(points):
        colour = (0, 0, 255) if i == 0 else (255, 255, 255)
        cv2.circle(picture, (round(x * 16), round(y * 16)), round(radius * 16), colour, -1, cv2.LINE_AA, shift=4)
    return np.asarray(picture, np.uint8)


def face(points: np.ndarray) -> Face:
    low, high = points.min(0), points.max(0)
    return Face(Box(*low, *(high - low)), 1.0, np.asarray(points, np.float32))


def centre_of(crop: Image, near: np.ndarray) -> np.ndarray:
    """The centre of mass of what is brighter than the background within 9 px of a point."""
    y, x = np.mgrid[0:CROP_PX, 0:CROP_PX]
    weight = np.clip(crop.max(axis=2).astype(float) - BACKGROUND - 20, 0, None) * (np.hypot(x - near[0], y - near[1]) < 9)
    return np.array([(x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()])


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.9, 2.3, 4.7, 7.0])
@pytest.mark.parametrize("degrees", [-20, 0, 35])
def test_landmarks_land_on_the_template_at_every_scale(scale: float, degrees: float) -> None:
    points = moved(scale, degrees, (0, 0))
    points += 30 * scale - points.min(0)
    side = int(points.max() + 30 * scale)
    crop = align(dotted(points, (side, side), 2.5 * scale), face(points))
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8 and crop.flags.c_contiguous
    for target in TEMPLATE:
        assert centre_of(crop, target) == pytest.approx(target, abs=0.35)


def test_crops_are_rgb() -> None:
    points = moved(1.0, 0, (20, 20))
    crop = align(dotted(points, (160, 160), 4), face(points))
    x, y = np.rint(TEMPLATE[0]).astype(int)
    red, green, blue = crop[y, x]
    assert red > 200 and green < 60 and blue < 60


# Never change a number in this value: add another value with another id. Bundles in use were trained for these.
ARCFACE = Alignment(
    "arcface-112-v1", 112, ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)


def test_the_alignment_and_its_id_change_together_or_not_at_all() -> None:
    assert ALIGNMENT == ARCFACE


def test_crops_have_the_numbers_of_the_alignment() -> None:
    points = np.array(ARCFACE.landmarks)
    assert TEMPLATE.tolist() == points.tolist() and ARCFACE.crop_px == CROP_PX
    assert similarity_transform(points) == pytest.approx(np.eye(2, 3), abs=1e-9), "a face that lies right is not moved"
    # Each landmark counts: a face with one of them elsewhere is moved.
    for place in range(5):
        elsewhere = points.copy()
        elsewhere[place] += 3.0
        assert np.abs(similarity_transform(elsewhere) - np.eye(2, 3)).max() > 0.1
    picture = np.random.default_rng(1).integers(0, 255, (112, 112, 3), np.uint8)
    assert np.array_equal(align(picture, face(points)), picture[:, :, ::-1])


def test_no_one_can_move_the_template_in_place() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TEMPLATE[0, 0] = 0.0


@given(st.floats(0.2, 8), st.floats(-180, 180), st.floats(-500, 500), st.floats(-500, 500))
def test_similarity_transform_inverts_any_move(scale: float, degrees: float, x: float, y: float) -> None:
    points = moved(scale, degrees, (x, y))
    matrix = similarity_transform(points)
    assert np.hstack([points, np.ones((5, 1))]) @ matrix.T == pytest.approx(TEMPLATE, abs=1e-6)
    assert np.linalg.det(matrix[:, :2]) > 0, "never mirrored"


def test_a_mirrored_face_is_not_turned_into_its_mirror_image() -> None:
    """Points in the wrong order fit badly, but the transform stays a rotation: it must not flip the face to make them fit."""
    swapped = TEMPLATE[[1, 0, 2, 4, 3]]
    assert np.linalg.det(similarity_transform(swapped)[:, :2]) >= 0


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_points_that_are_no_face_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="coincide"), np.errstate(invalid="ignore"):
        similarity_transform(points)


def test_a_box_is_put_where_the_template_wants_it() -> None:
    box = Box(100, 50, 80, 80)
    matrix = box_transform(box)
    assert matrix @ (*box.centre, 1) == pytest.approx(BOX_CENTRE)
    assert matrix[0, 0] * 80 * CROP_PER_BOX == pytest.approx(CROP_PX)
    with pytest.raises(ValueError, match="empty"):
        box_transform(Box(1, 1, 0, 10))


def test_what_lies_outside_the_picture_is_black() -> None:
    crop = align(np.full((60, 60, 3), 200, np.uint8), Face(Box(-20, 10, 50, 50), 1.0))
    assert crop[60, 2].max() == 0 and crop[60, 90].min() > 190


def test_the_same_face_at_twice_the_size_gives_the_same_crop() -> None:
    """Large faces go through a shrunk picture first; that must not shift them."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (24, 24, 3), np.uint8)
    small = np.asarray(cv2.resize(noise, (240, 240), interpolation=cv2.INTER_CUBIC), np.uint8)
    big = np.asarray(cv2.resize(small, (960, 960), interpolation=cv2.INTER_CUBIC), np.uint8)
    a = align(small, Face(Box(60, 60, 120, 120), 1.0)).astype(float)
    # Pixel centres: x in the small picture is 4x + 1.5 in the big one.
    b = align(big, Face(Box(4 * 60 + 1.5, 4 * 60 + 1.5, 480, 480), 1.0)).astype(float)
    assert np.abs(a - b).mean() < 2.5, "a shift of one pixel of the small picture makes 8"
