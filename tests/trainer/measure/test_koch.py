"""Koch's verification: which pairs are drawn, and what counts as right."""

import numpy as np
import pytest

from trainer.measure import evaluate, koch, metrics


def test_pairs_are_drawn_evenly_over_characters() -> None:
    # One character has most of the drawings, and one has a single drawing.
    person = np.repeat([7, 3, 9, 4], [50, 3, 1, 2])
    found = koch.drawn(person, 8_000)
    assert found.same.sum() == 4_000 and (found.a != found.b).all()
    assert ((person[found.a] == person[found.b]) == found.same).all()
    own = np.unique(person[found.a][found.same], return_counts=True)
    assert own[0].tolist() == [3, 4, 7] and own[1] == pytest.approx([1333] * 3, rel=0.1)
    left = np.unique(person[found.a][~found.same], return_counts=True)
    assert left[0].tolist() == [3, 4, 7, 9] and left[1] == pytest.approx([1000] * 4, rel=0.1)
    again = koch.drawn(person, 8_000)
    assert (again.a == found.a).all() and (again.b == found.b).all()


def test_the_threshold_is_that_of_the_val_pairs() -> None:
    val = np.array([0.9, 0.8, 0.4, 0.1])
    same = np.array([True, True, False, False])
    # 0.5 is below the threshold of 0.6, although on these pairs a lower one would be better. What is no number is never right.
    right = koch.right(val, same, np.array([0.7, 0.5, 0.5, np.nan]), np.array([True, True, False, False]))
    assert right.tolist() == [True, False, True, False]


def test_the_figure() -> None:
    person = np.repeat(np.arange(6), 4)
    perfect = np.eye(6, dtype=np.float32)[person]
    (figure,) = evaluate.koch_figures((perfect, perfect), (person, person), metrics.cosine, "x")
    assert (figure.name, figure.value) == ("accuracy@pairs=10000", 1.0) and figure.low is not None and figure.low < 1
    noise = np.random.default_rng(1).standard_normal((24, 64)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    (figure,) = evaluate.koch_figures((noise, noise), (person, person), metrics.cosine, "x")
    assert figure.value is not None and figure.low is not None and figure.low < figure.value < 0.75
    alone = np.arange(24)
    assert evaluate.koch_figures((noise, noise), (alone, person), metrics.cosine, "x") == []
