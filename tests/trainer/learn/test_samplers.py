"""Drawn triplets and pairs: laid out as promised, evenly drawn, the same again from the same seed and step."""

from collections.abc import Callable

import numpy as np
import pytest

from trainer.learn import samplers

PERSON = np.array([5, 2, 5, 9, 2, 5, 7, 9, 5, 5], np.int64)
"""Persons 2 and 9 have two crops, 5 has five, 7 one."""


@pytest.mark.parametrize("draw", [samplers.triplets, samplers.pairs])
def test_a_batch_depends_on_seed_and_step_alone(draw: Callable[[np.ndarray, int, int], samplers.Sampler]) -> None:
    one, again = draw(PERSON, 8, 1), draw(PERSON, 8, 1)
    first = one(3)
    one(4)
    assert np.array_equal(one(3), first) and np.array_equal(again(3), first)
    assert not np.array_equal(one(4), first) and not np.array_equal(draw(PERSON, 8, 2)(3), first)
    assert first.dtype == np.int64


def test_triplets_are_of_two_people_and_three_crops() -> None:
    sample = samplers.triplets(PERSON, 300, seed=1)
    rows = sample(0)
    assert rows.shape == (900,)
    anchor, positive, negative = rows.reshape(-1, 3).T
    assert (PERSON[anchor] == PERSON[positive]).all() and (anchor != positive).all()
    assert (PERSON[anchor] != PERSON[negative]).all()


def test_triplets_draw_people_evenly_whatever_their_crops() -> None:
    drawn = np.concatenate([samplers.triplets(PERSON, 1000, seed=1)(step) for step in range(6)]).reshape(-1, 3)
    anchors = {who: float(np.mean(PERSON[drawn[:, 0]] == who)) for who in (2, 5, 7, 9)}
    assert anchors == pytest.approx({2: 1 / 3, 5: 1 / 3, 7: 0, 9: 1 / 3}, abs=0.03)
    foreign = PERSON[drawn[PERSON[drawn[:, 0]] == 2, 2]]
    assert {who: float(np.mean(foreign == who)) for who in (5, 7, 9)} == pytest.approx({5: 1 / 3, 7: 1 / 3, 9: 1 / 3}, abs=0.05)
    fives = drawn[PERSON[drawn[:, 0]] == 5]
    for column in (0, 1):
        assert np.allclose(np.bincount(fives[:, column], minlength=10)[PERSON == 5] / len(fives), 0.2, atol=0.04)


@pytest.mark.parametrize("count", [200, 201])
def test_pairs_are_half_of_one_person_half_of_two(count: int) -> None:
    rows = samplers.pairs(PERSON, count, seed=1)(0)
    assert rows.shape == (2 * count,)
    a, b = rows.reshape(-1, 2).T
    assert ((PERSON[a] == PERSON[b]) == (np.arange(count) < count // 2)).all()
    assert (a != b).all()


def test_pairs_draw_people_evenly() -> None:
    drawn = np.stack([samplers.pairs(PERSON, 1000, seed=1)(step).reshape(-1, 2) for step in range(6)])
    same, other = PERSON[drawn[:, :500]].reshape(-1, 2), PERSON[drawn[:, 500:]].reshape(-1, 2)
    assert {who: float(np.mean(same == who)) for who in (2, 5, 7, 9)} == pytest.approx({2: 1 / 3, 5: 1 / 3, 7: 0, 9: 1 / 3}, abs=0.03)
    for column in (0, 1):
        assert {who: float(np.mean(other[:, column] == who)) for who in (2, 5, 7, 9)} == pytest.approx(
            {2: 0.25, 5: 0.25, 7: 0.25, 9: 0.25}, abs=0.03
        )


@pytest.mark.parametrize("draw", [samplers.triplets, samplers.pairs])
def test_what_cannot_be_drawn_is_refused(draw: Callable[[np.ndarray, int, int], samplers.Sampler]) -> None:
    for nobody in ([], [3, 3, 3]):
        with pytest.raises(ValueError, match="two people"):
            draw(np.array(nobody, np.int64), 4, 1)
    with pytest.raises(ValueError, match="two crops"):
        draw(np.arange(5), 4, 1)
