"""A drawing as a person has it: dark on light, transparent, of any size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.people import drawings
from trainer.people.data import DataError


@pytest.fixture
def seven() -> np.ndarray:
    """White on black, in the middle of 28x28 as MNIST has it."""
    canvas = np.zeros((28, 28), np.uint8)
    cv2.putText(canvas, "7", (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.85, 255, 2, cv2.LINE_AA)
    return canvas


def written(where: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(where / "drawing.png"), image)
    return where / "drawing.png"


def test_the_right_size_is_taken_as_it_is(tmp_path: Path, seven: np.ndarray) -> None:
    for image in (seven, 255 - seven, np.repeat(seven[:, :, None], 3, axis=2), seven.astype(np.uint16) * 257):
        assert (drawings.read(written(tmp_path, image), 28, True)[:, :, 0] == seven).all()
    clear = np.dstack([np.zeros((28, 28, 3), np.uint8), seven])  # black ink on nothing
    assert (drawings.read(written(tmp_path, clear), 28, True)[:, :, 0] == seven).all()


def test_a_large_page_is_brought_to_mnists_place(tmp_path: Path, seven: np.ndarray) -> None:
    page = np.full((300, 420), 250, np.uint8)
    page[20:244, 150:374] = np.minimum(250, 255 - cv2.resize(seven, (224, 224), interpolation=cv2.INTER_CUBIC))
    found = drawings.read(written(tmp_path, page), 28, True)[:, :, 0]
    rows, columns = np.flatnonzero(found.max(axis=1) > 80), np.flatnonzero(found.max(axis=0) > 80)
    assert 18 <= np.ptp(rows) + 1 <= 21
    weight = found / found.sum()
    assert weight.sum(axis=1) @ np.arange(28) == pytest.approx(13.5, abs=0.3)
    assert weight.sum(axis=0) @ np.arange(28) == pytest.approx(13.5, abs=0.3) and len(columns) < len(rows)
    whole = drawings.read(written(tmp_path, page), 28, False)[:, :, 0]  # a character keeps its place on its page
    assert np.flatnonzero(whole.max(axis=0) > 80).min() > 8


def test_what_is_no_drawing(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"no picture")
    for path, says in (
        (written(tmp_path, np.full((60, 60), 255, np.uint8)), "nothing drawn"),
        (tmp_path / "text.png", "not a picture"),
        (tmp_path / "none.png", "cannot be read"),
    ):
        with pytest.raises(DataError, match=says):
            drawings.read(path, 28, True)
