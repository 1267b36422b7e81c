"""Which pairs of people and of pictures are found."""

import cv2
import numpy as np
import pytest

from tests.trainer.clean.crowd import crowd, rows_of, unit
from trainer.clean import chance, pairs
from trainer.clean.pairs import People


def found(made_vectors: np.ndarray, person: np.ndarray, people: int) -> People:
    return pairs.of_people(made_vectors.astype(np.float32), person, people)


def test_one_person_under_two_names_is_found_among_many() -> None:
    made = crowd([1] * 50 + [4] * 50)
    vectors = made.vectors.copy()
    for one, other in ((0, 1), (2, 60), (70, 71)):
        direction = unit(vectors[rows_of(made, one)].mean(axis=0))
        own = rows_of(made, other)
        vectors[own] = unit(direction + 0.3 * unit(np.random.default_rng(one).normal(size=(len(own), 32))))
    people = found(vectors, made.crops.person, 100)
    sure = {(pair.a, pair.b) for pair in people.pairs if pair.false_share <= 0.05}
    assert sure == {(0, 1), (2, 60), (70, 71)}
    assert people.compared == 100 * 99 // 2 and people.left_out == 0


def test_strangers_alone_give_only_a_few_to_look_at() -> None:
    listed = 0
    for seed in range(5):
        made = crowd([1] * 60 + [4] * 60, seed)
        people = found(made.vectors, made.crops.person, 120)
        assert len(people.pairs) == 120 // pairs.FEW
        listed += sum(pair.false_share <= pairs.SHARE for pair in people.pairs)
    assert listed <= 2


def test_it_does_not_matter_how_the_pairs_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = crowd([2] * 70)
    whole = found(made.vectors, made.crops.person, 70)
    monkeypatch.setattr(pairs, "BLOCK", 100)
    assert [(pair.a, pair.b) for pair in found(made.vectors, made.crops.person, 70).pairs] == [(pair.a, pair.b) for pair in whole.pairs]


def test_nobody_one_person_and_people_without_vectors() -> None:
    assert found(np.empty((0, 8)), np.empty(0, np.int64), 0).pairs == ()
    assert found(np.eye(8)[:1], np.zeros(1, np.int64), 1).pairs == ()
    people = found(np.eye(8)[:2], np.array([0, 2]), 3)
    assert people.compared == 1 and people.pairs == ()


def test_the_list_is_bounded_and_says_so() -> None:
    known = chance.of_points([(0.1, 0.3), (0.01, 0.5)])
    people = pairs.of_people(np.ones((100, 1), np.float32), np.arange(100), 100, known)
    assert len(people.pairs) == pairs.MOST and people.left_out == 100 * 99 // 2 - pairs.MOST


def test_copies_of_a_picture_are_told_from_other_pictures() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (60, 7, 7, 3)).astype(np.uint8)
    pixels = np.stack([cv2.resize(picture, (112, 112), interpolation=cv2.INTER_CUBIC) for picture in coarse])
    pixels[50] = cv2.imdecode(cv2.imencode(".jpg", pixels[0], [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    pixels[51] = pixels[1][:, ::-1]
    pixels[52] = np.clip(pixels[2] * 0.7 + 20, 0, 255)
    vectors = crowd([1] * 60).vectors
    for copy, original in ((50, 0), (51, 1), (52, 2), (53, 3)):  # the last: as alike, and another picture
        vectors[copy] = vectors[original]
    strangers = found(vectors, np.arange(60), 60).strangers[0]
    same, more = pairs.same_pictures(pixels, vectors, np.arange(60), strangers)
    assert {(pair.a, pair.b) for pair in same} == {(0, 50), (1, 51), (2, 52)} and more == 0


def test_identical_pictures_are_paired_across_people_only() -> None:
    marks, person = np.array([7, 7, 9, 7, 9, 1], np.uint64), np.array([0, 0, 0, 1, 2, 2])
    assert pairs.identical(marks, person) == [(0, 3), (2, 4)]
