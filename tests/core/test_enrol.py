import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.enrol import EnrolError, need_consistency, need_quality, the_face
from daemon.core.values import Face, Quality


def face(side: float) -> Face:
    return Face(Box(0, 0, side, side), 1.0)


def test_one_face_is_taken_and_a_small_bystander_overlooked() -> None:
    big = face(100)
    assert the_face([face(40), big], 1) is big


@pytest.mark.parametrize(("faces", "reason"), [([], "no_face"), ([face(100), face(90)], "several_faces")])
def test_no_face_or_several_are_refused(faces: list[Face], reason: str) -> None:
    with pytest.raises(EnrolError) as error:
        the_face(faces, 2)
    assert error.value.reason == reason and "image 2" in error.value.detail


def test_every_poor_quality_has_its_advice() -> None:
    need_quality(Quality.OK, 1)
    for quality in Quality:
        if quality is not Quality.OK:
            with pytest.raises(EnrolError) as error:
                need_quality(quality, 1)
            assert error.value.reason == quality.value


def unit(*rows: list[float]) -> np.ndarray:
    matrix = np.array(rows, np.float32)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


NONE = np.zeros((0, 3), np.float32)


def test_photos_of_one_person_agree() -> None:
    need_consistency(unit([1, 0, 0], [1, 0.2, 0]), NONE, 0.5)
    need_consistency(unit([1, 0, 0]), NONE, 0.5)
    need_consistency(unit([1, 0, 0]), unit([1, 0.1, 0]), 0.5)


@pytest.mark.parametrize(
    ("new", "known"),
    [
        (unit([1, 0, 0], [0, 1, 0]), NONE),
        (unit([1, 0, 0], [1, 0.1, 0], [0, 1, 0]), NONE),
        (unit([0, 1, 0]), unit([1, 0, 0])),
        (np.array([[np.nan, 0, 0]], np.float32), NONE),
    ],
)
def test_another_persons_face_is_not_added(new: np.ndarray, known: np.ndarray) -> None:
    with pytest.raises(EnrolError, match="inconsistent"):
        need_consistency(new, known, 0.5)
