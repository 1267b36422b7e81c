"""Losses and mining against plain loops; gradients that stay finite where distances vanish."""

import keras
import numpy as np
import pytest

from trainer import losses, mining

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def gradient(function: object, x: np.ndarray) -> np.ndarray:
    if keras.backend.backend() == "tensorflow":
        variable = tf.Variable(x)
        with tf.GradientTape() as tape:
            loss = function(variable)  # type: ignore[operator]
        return np.asarray(tape.gradient(loss, variable))
    import jax  # type: ignore[import-not-found]

    return np.asarray(jax.grad(function)(x))


def numpy_of(tensor: object) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_cosine_margin_is_cross_entropy_with_the_margin_taken_off() -> None:
    rng = np.random.default_rng(1)
    cosines = rng.uniform(-1, 1, (5, 7)).astype(np.float32)
    person = rng.integers(0, 7, 5)
    targets = np.stack([person, np.full(5, 0.3), np.full(5, 20.0)], axis=1).astype(np.float32)
    logits = 20 * (cosines - 0.3 * np.eye(7)[person])
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(5), person])
    assert float(numpy_of(losses.cosine_margin(targets, cosines))) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_of_nothing_is_nothing() -> None:
    cosines = np.random.default_rng(2).uniform(-1, 1, (4, 3)).astype(np.float32)
    targets = np.array([[0, 0, 8], [1, 0, 8], [2, 0, 8], [0, 0, 8]], np.float32)
    plain, smooth = losses.cosine_margin(targets, cosines), losses.cosine_margin(targets, cosines, 0.1)
    assert float(numpy_of(smooth)) != float(numpy_of(plain))


def test_distances() -> None:
    x = np.random.default_rng(3).standard_normal((6, 4)).astype(np.float32)
    expected = np.linalg.norm(x[:, None] - x[None], axis=2)
    assert np.allclose(numpy_of(losses.distances(x)), expected, atol=2e-3)


def test_batch_hard_against_loops() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((12, 4)).astype(np.float32)
    person = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4], np.int32)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2).astype(np.float32)
    positive, negative, usable = (numpy_of(part) for part in mining.batch_hard(apart, person))
    for anchor in range(12):
        own = [apart[anchor, other] for other in range(12) if other != anchor and person[other] == person[anchor]]
        others = [apart[anchor, other] for other in range(12) if person[other] != person[anchor]]
        assert usable[anchor] == bool(own)
        if own:
            assert positive[anchor] == pytest.approx(max(own)) and negative[anchor] == pytest.approx(min(others))
    loss = float(numpy_of(mining.batch_hard_loss(person[:, None].astype(np.float32), x)))
    terms = [np.log1p(np.exp(p - n)) for p, n, u in zip(positive, negative, usable, strict=True) if u]
    assert loss == pytest.approx(np.mean(terms), rel=1e-3)


@pytest.mark.parametrize("case", ["all the same", "one person", "everybody alone", "zero vectors"])
def test_gradients_stay_finite(case: str) -> None:
    x = np.ones((6, 4), np.float32) / 2
    person = np.array([0, 0, 1, 1, 2, 2], np.float32)
    if case == "one person":
        person[:] = 0
    elif case == "everybody alone":
        person = np.arange(6, dtype=np.float32)
    elif case == "zero vectors":
        x[:] = 0
    from trainer.networks import unit

    found = gradient(lambda v: mining.batch_hard_loss(person, unit(v)), x)
    assert np.isfinite(found).all()


def test_collapse_costs_log_two() -> None:
    person = np.array([0, 0, 1, 1], np.float32)
    assert float(numpy_of(mining.batch_hard_loss(person, np.ones((4, 3), np.float32)))) == pytest.approx(0.6931, abs=1e-4)


def test_hard_margin() -> None:
    found = numpy_of(losses.hard_margin(np.array([0.5, 0.2], np.float32), np.array([0.4, 0.9], np.float32), 0.2))
    assert np.allclose(found, [0.3, 0.0])
