"""Two different faces that one record lets in are noticed, after each came twice."""

import numpy as np
import pytest

from daemon.core.passages.doubles import FACES, PEOPLE, Doubles

SAME = 0.6


def face(degrees: float) -> np.ndarray:
    turned = np.zeros(8, np.float32)
    turned[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return turned


def taken(*degrees: float) -> Doubles:
    doubles = Doubles()
    for each in degrees:
        doubles.take("E1", face(each), SAME)
    return doubles


@pytest.mark.parametrize(
    ("degrees", "two"),
    [
        ((0, 0, 60, 60), True),
        ((0, 60, 0, 60), True),
        ((0, 60, 60, 60), False),
        ((0, 0, 0, 60), False),
        ((0, 10, 20, 30, 40, 50), False),
        ((0, 53.2, 0, 53.2), True),
        ((0, 53.0, 0, 53.0), False),
        ((0, 60, 120, 180, 240, 300), False),
        ((0, 0, 60, 120, 180, 240, 240), True),
    ],
)
def test_two_faces_that_came_twice_each_are_two(degrees: tuple[float, ...], two: bool) -> None:
    doubles = taken(*degrees)
    assert (doubles.found == {"E1"}) is two and (doubles.news == ["E1"]) is two
    assert len(doubles.faces["E1"]) <= FACES


def test_it_is_news_once_until_the_person_has_another_face() -> None:
    doubles = taken(0, 0, 60, 60)
    doubles.news.clear()
    doubles.take("E1", face(60), SAME)
    assert doubles.news == [] and doubles.found == {"E1"}
    doubles.forget("E1")
    assert doubles.found == set() and doubles.faces == {}
    for degrees in (0, 60, 0, 60):
        doubles.take("E1", face(degrees), SAME)
    assert doubles.news == ["E1"]
    doubles.forget_all()
    assert doubles.found == set() and doubles.faces == {}


def test_people_are_kept_apart_and_only_so_many_of_them() -> None:
    doubles = Doubles()
    for number in range(PEOPLE + 10):
        doubles.take(f"E{number}", face(0 if number % 2 else 60), SAME)
        doubles.take(f"E{number}", face(0 if number % 2 else 60), SAME)
    assert doubles.found == set() and len(doubles.faces) == PEOPLE and "E0" not in doubles.faces


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 2.0])
def test_what_is_no_face_is_not_one(value: float) -> None:
    doubles = taken(0, 0)
    for _ in range(3):
        doubles.take("E1", np.full(8, value, np.float32), SAME)
    assert doubles.found == set()
