"""Few people: weights are kept only if they are better by more than chance explains."""

from typing import cast

import numpy as np
import pytest

from trainer.learn.chance import LEAST_PEOPLE, decide, gain
from trainer.learn.judge import Judge


def vectors(rng: np.random.Generator, people: int, noise: float, images: int = 3) -> tuple[np.ndarray, np.ndarray]:
    person = np.repeat(np.arange(people), images)
    own = rng.normal(size=(people, 32))[person]
    found = own / np.linalg.norm(own, axis=1, keepdims=True) * 2 + noise * rng.normal(size=(len(person), 32))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32), person


def test_only_a_gain_that_most_people_share_is_sure() -> None:
    (worse, person), (better, _) = vectors(np.random.default_rng(1), 40, 0.5), vectors(np.random.default_rng(1), 40, 0.3)
    assert gain(worse, better, person).sure and gain(worse, better, person).gain > 0.1
    assert not gain(better, worse, person).sure and gain(better, worse, person).high < 0


def test_the_same_quality_is_rarely_sure() -> None:
    """Two models of one quality: their difference is chance, so one in forty may pass."""
    passed = 0
    for seed in range(60):
        one, person = vectors(np.random.default_rng((seed, 1)), 20, 0.5)
        other, _ = vectors(np.random.default_rng((seed, 2)), 20, 0.5)
        passed += gain(one, other, person).sure
    assert passed <= 6


def test_too_few_people_and_numbers_that_are_none_are_never_sure() -> None:
    few = LEAST_PEOPLE - 1
    (worse, person), (better, _) = vectors(np.random.default_rng(1), few, 0.9), vectors(np.random.default_rng(1), few, 0.1)
    found = gain(worse, better, person)
    assert found.low > 0 and not found.sure
    (worse, person), (better, _) = vectors(np.random.default_rng(1), 40, 0.5), vectors(np.random.default_rng(1), 40, 0.1)
    better[3, 5] = np.nan
    assert not gain(worse, better, person).sure


def test_a_head_is_no_reason_to_fail() -> None:
    """The weights before may lack the head that the stage has trained."""

    class Eye:
        person = np.repeat(np.arange(20), 2)

        def vectors(self, weights: list[np.ndarray]) -> np.ndarray:
            return weights[0]

    before, after = (vectors(np.random.default_rng(1), 20, noise, 2)[0] for noise in (0.6, 0.1))
    figures = {"tar": 0.5, "tar_1e2": 0.5, "other": 1.0}
    kept, told = decide("surely", cast(Judge, Eye()), ([before], [after, np.zeros(3, np.float32)]), (figures, figures))
    assert kept and told["people"] == 20
    assert not decide("surely", cast(Judge, Eye()), ([after], [after]), (figures, figures))[0], "what has not moved is not better"


@pytest.mark.parametrize("person", [np.zeros(6, np.int64), np.arange(6)])
def test_without_pairs_of_either_kind_nothing_is_sure(person: np.ndarray) -> None:
    found, _ = vectors(np.random.default_rng(1), 2, 0.1)
    assert np.isnan(gain(found, found, person).gain) and not gain(found, found, person).sure
