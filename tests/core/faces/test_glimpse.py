"""Glimpses: what is cut out of a frame, the way back from a crop's landmarks to the frame's, and cards that must not be used."""

from dataclasses import dataclass

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.faces import glimpse as glimpses
from daemon.core.faces.align import CROP_PX, TEMPLATE, align, box_transform, similarity_transform
from daemon.core.faces.glimpse import AlignerCard, AlignerError, Golden, check, geometry, glimpse, golden_glimpse, in_frame, read_card
from daemon.core.values import Face, Image


def transform(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    turn = np.radians(degrees)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.hstack([rotation, [[x], [y]]])


def picture(width: int = 400, height: int = 300) -> Image:
    """Soft spots, so that a glimpse half a pixel away is another glimpse."""
    noise = np.random.default_rng(3).integers(0, 255, (height // 10, width // 10, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@given(st.floats(0.05, 8), st.floats(-180, 180), st.floats(-500, 500), st.floats(-500, 500))
def test_landmarks_of_a_crop_go_to_the_frame_and_come_back(scale: float, degrees: float, x: float, y: float) -> None:
    matrix = transform(scale, degrees, x, y)
    there = in_frame(TEMPLATE.astype(np.float32), matrix)
    assert there.shape == (5, 2) and there.dtype == np.float32
    back = np.hstack([there, np.ones((5, 1))]) @ matrix.T
    assert back == pytest.approx(TEMPLATE, abs=1e-2)
    # A face whose landmarks are the template's, seen through a transform, is cut out by this very transform.
    assert similarity_transform(there) == pytest.approx(matrix, rel=1e-3, abs=0.5)


def test_a_glimpse_shows_the_middle_of_the_crop() -> None:
    image, box = picture(), Box(140, 80, 112 / 1.13, 112 / 1.13)
    crop = align(image, Face(box, 1.0))
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    (x, y), half = glimpses.CENTRE, glimpses.SIDE / 2
    wanted = cv2.warpAffine(grey, glimpses.TO_GLIMPSE[:2], (glimpses.GLIMPSE_PX, glimpses.GLIMPSE_PX), flags=cv2.INTER_LINEAR)
    seen = glimpse(image, box_transform(box))
    assert seen.shape == (glimpses.GLIMPSE_PX, glimpses.GLIMPSE_PX) and seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - wanted).mean() < 2
    assert x - half >= 0 and x + half <= CROP_PX and y - half >= 0 and y + half <= CROP_PX


@pytest.mark.parametrize("side", [40, 99, 180, 290])
def test_it_does_not_matter_what_else_the_frame_shows(side: int) -> None:
    """Only the part around the face is cut out and shrunk."""
    image = picture()
    frame = np.zeros((900, 1200, 3), np.uint8)
    frame[310:610, 520:920] = image
    small = glimpse(image, box_transform(Box(60, 5, side, side)))
    large = glimpse(frame, box_transform(Box(580, 315, side, side)))
    assert np.abs(small.astype(int) - large).mean() < 1, "a shift by three quarters of a pixel makes 2 to 9"


@pytest.mark.parametrize("box", [Box(-60, -60, 90, 90), Box(380, 280, 90, 90), Box(-900, 50, 60, 60), Box(9000, 9000, 60, 60)])
def test_where_the_frame_ends_its_edge_is_repeated(box: Box) -> None:
    seen = glimpse(np.full((300, 400, 3), 90, np.uint8), box_transform(box))
    assert (seen == 90).all()


@dataclass
class Cards:
    good: AlignerCard = AlignerCard(  # noqa: RUF009  frozen
        glimpses.SCHEMA, "", "arcface-112-v1", geometry(), "", "", "", (Golden(0, tuple(map(float, range(10)))),)
    )

    def text(self, **changes: object) -> str:
        return msgspec.json.encode(msgspec.structs.replace(self.good, **changes)).decode()


def test_a_card_is_read_and_its_golden_glimpses_are_checked() -> None:
    card = read_card(Cards().text())
    assert card == Cards().good
    answer = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    check(card, answer + 0.05)
    for bad in (answer + 0.2, answer * np.nan):
        with pytest.raises(AlignerError, match="golden"):
            check(card, bad)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read"),
        ("{}", "cannot be read"),
        (Cards().text(schema=2), "another version"),
        (Cards().text(alignment="other"), "another version"),
        (Cards().text(glimpse=(64.0, 56.0, 64.0, 84.0)), "another version"),
        (Cards().text(golden=()), "no golden glimpses"),
        (Cards().text(golden=(Golden(0, (1.0,)),)), "no golden glimpses"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(text: str, says: str) -> None:
    with pytest.raises(AlignerError, match=says):
        read_card(text)


def test_golden_glimpses_differ() -> None:
    assert len({golden_glimpse(seed).tobytes() for seed in range(8)}) == 8
