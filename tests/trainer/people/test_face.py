"""Which of several faces a photo is of."""

import pytest

from daemon.core.boxes import Box
from daemon.core.values import Face
from trainer.people.prepare.face import main_face

SHAPE = (300, 400)


def face(x: float, y: float, side: float) -> Face:
    """A face whose centre is at (x, y)."""
    return Face(Box(x - side / 2, y - side / 2, side, side), 0.9)


@pytest.mark.parametrize(
    ("faces", "taken"),
    [
        ([face(10, 10, 30)], 0),  # the only face, wherever it is
        ([face(200, 150, 100), face(380, 30, 50)], 0),  # small and in the corner
        ([face(200, 150, 100), face(390, 20, 100)], 0),  # as large, but far from the middle
        ([face(200, 150, 100), face(215, 150, 50)], 0),  # as central, but small
        ([face(100, 150, 100), face(300, 150, 100)], None),  # two people side by side
        ([face(100, 150, 100), face(300, 150, 120)], None),
        ([face(200, 150, 60), face(390, 150, 120)], None),  # the central one, or the large one?
        ([face(200, 150, 100), face(60, 60, 40), face(280, 150, 90)], None),
        ([face(200, 150, 100), face(200, 150, 100)], None),
    ],
)
def test_the_clearly_largest_and_most_central(faces: list[Face], taken: int | None) -> None:
    for some in (faces, faces[::-1]):
        found = main_face(some, SHAPE)
        assert found is (faces[taken] if taken is not None else None)


def test_the_rule_does_not_depend_on_the_size_of_the_picture() -> None:
    for scale in (0.1, 1.0, 7.3):
        faces = [face(180 * scale, 140 * scale, 100 * scale), face(330 * scale, 150 * scale, 80 * scale)]
        assert main_face(faces, (round(300 * scale), round(400 * scale))) is faces[0]


def test_what_is_not_clear_is_never_taken() -> None:
    assert main_face([face(200, 150, 100), face(float("nan"), 150, 10)], SHAPE) is None
    assert main_face([face(200, 150, 100), face(390, 20, 40)], SHAPE, clearly=float("nan")) is None
