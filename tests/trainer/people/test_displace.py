"""Moved crops: the landmarks go where the picture goes, mirrored or not, and the same draws give the same example."""

import numpy as np
import pytest

from daemon.core.faces.align import CROP_PX, TEMPLATE
from daemon.core.faces.glimpse import GLIMPSE_PX, TO_GLIMPSE
from trainer.people import displace
from trainer.people.displace import Spread

STILL = Spread(0.0, 0.0, 0.0)


def dotted(points: np.ndarray) -> np.ndarray:
    """A soft white dot on each landmark of a black crop."""
    y, x = np.mgrid[:CROP_PX, :CROP_PX]
    light = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.8**2)) for px, py in points)
    return np.repeat(np.asarray(np.clip(255 * light, 0, 255), np.uint8)[:, :, None], 3, axis=2)


def brightest_at(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The centre of mass of the light within 4 px of each point."""
    y, x = np.mgrid[:GLIMPSE_PX, :GLIMPSE_PX]
    found = []
    for px, py in points:
        weight = picture * (np.hypot(x - px, y - py) < 4)
        found.append(((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()))
    return np.array(found)


@pytest.mark.parametrize("seed", range(12))
def test_the_landmarks_are_where_the_glimpse_shows_them(seed: int) -> None:
    move = displace.move(Spread(wild=0.0), np.random.default_rng(seed))
    points = TEMPLATE @ move[:2, :2].T + move[:2, 2]
    seen = displace.glimpse(dotted(TEMPLATE), move)
    places = np.hstack([points, np.ones((5, 1))]) @ TO_GLIMPSE[:2].T
    assert brightest_at(seen.astype(float), places) == pytest.approx(places, abs=0.35)


def test_a_mirrored_face_lies_on_the_template_too() -> None:
    plain, mirrored = (displace.glimpse(dotted(TEMPLATE), matrix).astype(int) for matrix in (np.eye(3), displace.MIRROR))
    assert np.abs(plain - mirrored).mean() < 1.5


def test_examples_are_moved_crops_with_their_landmarks() -> None:
    crop = np.random.default_rng(1).integers(0, 255, (CROP_PX, CROP_PX, 3), np.uint8)
    picture, points = displace.example(crop, Spread(), np.random.default_rng(2))
    assert picture.shape == (GLIMPSE_PX, GLIMPSE_PX) and picture.dtype == np.uint8 and points.shape == (5, 2) and points.dtype == np.float32
    again, same = displace.example(crop, Spread(), np.random.default_rng(2))
    assert (picture == again).all() and (points == same).all()
    _, still = displace.example(crop, STILL, np.random.default_rng(2))
    assert still == pytest.approx(TEMPLATE, abs=1e-4)


def test_a_move_has_the_size_that_was_asked_for() -> None:
    rng = np.random.default_rng(3)
    moves = np.array([displace.move(Spread(0.1, 5.0, 2.0, 0.0), rng) for _ in range(2000)])
    scale, turn = np.hypot(moves[:, 0, 0], moves[:, 1, 0]), np.degrees(np.arctan2(moves[:, 1, 0], moves[:, 0, 0]))
    assert np.log(scale).std() == pytest.approx(0.1, rel=0.1) and turn.std() == pytest.approx(5, rel=0.1)
