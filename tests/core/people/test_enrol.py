"""Who may be enrolled by which pictures, and which templates are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.people.enrol import (
    LEAST_WORTH,
    EnrolError,
    Standards,
    best_templates,
    need_acquaintance,
    need_consistency,
    need_quality,
    need_stranger,
    the_face,
    worth,
)
from daemon.core.values import Face, Quality

STANDARDS = Standards(alike=0.5, known=0.7, same=0.9, max_templates=3)


def face(side: float) -> Face:
    return Face(Box(0, 0, side, side), 1.0)


def turned(*degrees: float) -> np.ndarray:
    """Unit vectors in a plane: the similarity of two is the cosine of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


NOBODY = np.zeros((0, 2), np.float32)
NAN = np.full((1, 2), np.nan, np.float32)


# ---- a picture


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
            for photo in (1, None):
                with pytest.raises(EnrolError) as error:
                    need_quality(quality, photo)
                assert error.value.reason == quality.value and ("image" in error.value.detail) == (photo is not None)


# ---- pictures among themselves


@pytest.mark.parametrize(
    "one_person",
    [turned(0), turned(0, 20), turned(0, 50, 100), turned(0, 10, 20, 30)],
    ids=["one picture", "two alike", "the middle one is like both", "four alike"],
)
def test_pictures_of_one_person_agree(one_person: np.ndarray) -> None:
    need_consistency(one_person, 0.5)


@pytest.mark.parametrize(
    "pictures",
    [turned(0, 90), turned(0, 10, 90), turned(0, 5, 90, 95), turned(0, 5, 10, 90, 95), NAN, turned(0, 5, np.nan)],
    ids=["two strangers", "one stranger", "two of each of two people", "three and two", "no number", "one of them no number"],
)
def test_pictures_of_two_people_do_not(pictures: np.ndarray) -> None:
    with pytest.raises(EnrolError, match="inconsistent"):
        need_consistency(pictures, 0.5)


def test_where_the_card_cannot_say_one_picture_must_do() -> None:
    need_consistency(turned(0), None)
    with pytest.raises(EnrolError, match="send one"):
        need_consistency(turned(0, 1), None)


@given(st.lists(st.booleans(), min_size=2, max_size=10).filter(lambda who: len(set(who)) == 2), st.floats(0.01, 1))
def test_however_two_people_are_mixed_they_are_never_taken_for_one(who: list[bool], least: float) -> None:
    with pytest.raises(EnrolError):
        need_consistency(turned(*[0.0 if one else 90.0 for one in who]), least)


# ---- pictures beside what is there


def test_a_new_picture_of_a_known_person_is_welcome() -> None:
    need_acquaintance(turned(30), turned(0), STANDARDS)
    need_acquaintance(turned(30, 40), turned(0, 50, 80), STANDARDS)


@pytest.mark.parametrize(
    ("new", "there"),
    [
        (turned(90), turned(0)),
        (turned(50), turned(0)),
        (turned(10, 90), turned(0)),
        (turned(80), turned(0, 0, 0, 50)),
        (turned(80), turned(0, 40)),
        (turned(80), turned(0, 40, 50, 55)),
        (turned(0), NOBODY),
        (NAN, turned(0)),
    ],
    ids=[
        "stranger",
        "alike, but less than known",
        "one of two a stranger",
        "like the newest only",
        "like one of two",
        "like all but the first",
        "nothing to compare with",
        "no number",
    ],
)
def test_nobodys_face_is_added_to_somebody_elses_record(new: np.ndarray, there: np.ndarray) -> None:
    with pytest.raises(EnrolError, match="inconsistent"):
        need_acquaintance(new, there, STANDARDS)


@pytest.mark.parametrize("silent", [{"alike": None}, {"known": None}])
def test_where_the_card_cannot_say_nothing_is_added(silent: dict[str, None]) -> None:
    standards = Standards(**{"alike": 0.5, "known": 0.7, "same": None, "max_templates": 3, **silent})  # type: ignore[arg-type]
    with pytest.raises(EnrolError, match="replace"):
        need_acquaintance(turned(0), turned(0), standards)


# ---- pictures beside everybody else


@pytest.mark.parametrize(
    ("similarity", "threshold", "same", "reason"),
    [
        (0.59, 0.6, 0.8, None),
        (0.60, 0.6, 0.8, "lookalike"),
        (0.79, 0.6, 0.8, "lookalike"),
        (0.80, 0.6, 0.8, "duplicate_of"),
        (0.85, 0.9, 0.8, None),  # a large gallery: what the gate never confuses is no duplicate
        (0.90, 0.9, 0.8, "duplicate_of"),
        (0.79, None, 0.8, None),
        (0.80, None, 0.8, "duplicate_of"),
        (0.60, 0.6, None, "duplicate_of"),
        (0.99, None, None, None),  # nobody can say, and the gate is closed
        (float("nan"), 0.6, 0.8, "duplicate_of"),
    ],
)
def test_who_looks_like_somebody_else(similarity: float, threshold: float | None, same: float | None, reason: str | None) -> None:
    if reason is None:
        need_stranger("E7", similarity, threshold, same)
        return
    with pytest.raises(EnrolError) as error:
        need_stranger("E7", similarity, threshold, same)
    assert error.value.reason == reason and "E7" in error.value.detail


def test_with_nobody_else_there_is_nobody_to_be_confused_with() -> None:
    need_stranger(None, 1.0, 0.5, 0.8)


# ---- which templates are kept


def test_a_template_is_worth_what_its_sharpness_is() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (112, 112, 3), np.uint8)
    flat = np.full((112, 112, 3), 100, np.uint8)
    slope = np.broadcast_to(np.linspace(0, 200, 112)[:, None, None], noise.shape)
    soft = (slope + 0.15 * noise).astype(np.uint8)
    assert worth(flat) == LEAST_WORTH < worth(soft) < worth(noise) == 1.0


@pytest.mark.parametrize(
    ("vectors", "worths", "keep", "anchor", "kept"),
    [
        (turned(0, 1), [1, 1], 3, None, [0, 1]),
        (turned(0, 1, 40), [1, 1, 1], 2, None, [0, 2]),
        (turned(0, 0, 40, 80), [1, 1, 1, 1], 3, None, [0, 2, 3]),
        (turned(0, 40, 41), [1, 0.9, 1], 2, 0, [0, 2]),
        (turned(0, 40, 45), [1, 1, 0.1], 2, 0, [0, 1]),
        (turned(0, 5, 50), [0.2, 1, 1], 1, None, [1]),
        (turned(0, 5, 50), [1, 1, 0.1], 1, 2, [2]),
    ],
    ids=["room for all", "the twin goes", "the copy goes", "of two near ones the better", "a poor one far off goes", "the best alone",
         "the anchor alone"],
)  # fmt: skip
def test_the_best_templates_are_kept(vectors: np.ndarray, worths: list[float], keep: int, anchor: int | None, kept: list[int]) -> None:
    assert best_templates(vectors, worths, keep, anchor) == kept


@given(
    st.lists(st.tuples(st.floats(0, 360), st.floats(LEAST_WORTH, 1)), min_size=1, max_size=12), st.integers(1, 12), st.data(),
)  # fmt: skip
def test_as_many_as_may_be_are_kept_each_once_and_the_anchor_among_them(
    candidates: list[tuple[float, float]], keep: int, data: st.DataObject
) -> None:
    anchor = data.draw(st.none() | st.integers(0, len(candidates) - 1))
    vectors, worths = turned(*[angle for angle, _ in candidates]), [each for _, each in candidates]
    kept = best_templates(vectors, worths, keep, anchor)
    assert len(kept) == min(keep, len(candidates)) and kept == sorted(set(kept)) and set(kept) <= set(range(len(candidates)))
    assert anchor is None or anchor in kept


@given(st.lists(st.floats(0, 90), min_size=2, max_size=10), st.integers(1, 9))
def test_with_like_worth_nobody_dropped_is_further_from_the_kept_than_the_kept_from_each_other(angles: list[float], keep: int) -> None:
    """The 2-approximation of greedy k-centre: the covering radius is at most the least distance between two that are kept."""
    vectors = turned(*angles)
    kept = best_templates(vectors, [1.0] * len(vectors), keep)
    dropped = [i for i in range(len(vectors)) if i not in kept]
    among = [1 - vectors[i] @ vectors[j] for i in kept for j in kept if i < j]
    radius = [min(1 - vectors[i] @ vectors[j] for j in kept) for i in dropped]
    if among and radius:
        assert max(radius) <= min(among) + 1e-5
