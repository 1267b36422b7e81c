"""Losses against plain loops; gradients that stay finite where distances vanish."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tests.fixtures.tensors import gradient, numpy_of
from trainer.models import losses

if keras.backend.backend() == "tensorflow":
    pass


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
    x[4] = x[1]
    square = numpy_of(losses.distances(x, squared=True))
    plain = numpy_of(losses.distances(x))
    for a in range(6):
        for b in range(6):
            expected = sum((float(p) - float(q)) ** 2 for p, q in zip(x[a], x[b], strict=True))
            assert square[a, b] == pytest.approx(expected, abs=1e-5)
            assert plain[a, b] == pytest.approx(math.sqrt(expected), abs=1e-4)
    assert plain[1, 4] == 0 and not plain.diagonal().any()


def test_row_distances() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 5, 3)).astype(np.float32)
    b[2] = a[2]
    for row in range(5):
        expected = sum((float(p) - float(q)) ** 2 for p, q in zip(a[row], b[row], strict=True))
        assert numpy_of(losses.row_distances(a, b, squared=True))[row] == pytest.approx(expected, rel=1e-5)
        assert numpy_of(losses.row_distances(a, b))[row] == pytest.approx(math.sqrt(expected), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_picture_beside_its_copy_pushes_nothing(scale: float) -> None:
    x = np.random.default_rng(6).standard_normal((8, 64)).astype(np.float32) * scale
    x[4:] = x[:4]
    copies = np.kron(1 - np.eye(2), np.eye(4)).astype(np.float32)
    assert not gradient(lambda v: keras.ops.sum(losses.distances(v) * copies), x).any()
    assert not gradient(lambda v: keras.ops.sum(losses.row_distances(v, x)), x).any()


def test_the_gradient_of_a_distance_is_a_unit_vector() -> None:
    a = np.array([[3.0, 0.0], [0.0, 0.0]], np.float32)
    b = np.array([[0.0, 4.0], [1e-6, 0.0]], np.float32)
    assert np.allclose(gradient(lambda v: keras.ops.sum(losses.row_distances(v, b)), a), [[0.6, -0.8], [-1.0, 0.0]], atol=1e-4)


def test_hard_margin() -> None:
    found = numpy_of(losses.hard_margin(np.array([0.5, 0.2], np.float32), np.array([0.4, 0.9], np.float32), 0.2))
    assert np.allclose(found, [0.3, 0.0])


@pytest.mark.parametrize("shape", [(9,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("reduce", ["mean", "nonzero", "sum"])
def test_triplet_against_loops(shape: tuple[int, ...], soft: bool, reduce: losses.Reduce) -> None:
    rng = np.random.default_rng(7)
    positive, negative = rng.uniform(0, 2, (2, *shape)).astype(np.float32)
    usable = (rng.uniform(size=shape) < 0.7).astype(np.float32)
    costs = []
    for p, n, u in zip(positive.ravel(), negative.ravel(), usable.ravel(), strict=True):
        if u:
            costs.append(math.log1p(math.exp(p - n)) if soft else max(0.0, p - n + 0.2))
    if reduce == "nonzero":
        costs = [cost for cost in costs if cost > 0]
    expected = sum(costs) if reduce == "sum" else sum(costs) / len(costs)
    assert float(numpy_of(losses.triplet(positive, negative, usable, 0.2, soft, reduce))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("reduce", ["mean", "nonzero", "sum"])
def test_no_usable_triplet_costs_nothing(soft: bool, reduce: losses.Reduce) -> None:
    zero = np.zeros(4, np.float32)
    assert float(numpy_of(losses.triplet(zero, zero, zero, 0.2, soft, reduce))) == 0
    assert not gradient(lambda v: losses.triplet(v, zero, zero, 0.2, soft, reduce), zero).any()


def test_unknown_reduce_and_form_are_refused() -> None:
    one = np.ones((1, 2), np.float32)
    with pytest.raises(AssertionError):
        losses.triplet(one, one, one, 0.2, False, "median")  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        losses.verification(one, one, one[0, :1], "l3", 1.0)  # type: ignore[arg-type]


def test_contrastive_against_loops() -> None:
    distance = np.array([0.0, 0.3, 1.2, 0.0, 0.3, 1.2], np.float32)
    same = np.array([1, 1, 1, 0, 0, 0], np.int32)
    expected = [0.0, 0.045, 0.72, 0.5, 0.245, 0.0]
    assert np.allclose(numpy_of(losses.contrastive(distance, same, 1.0)), expected)


def test_same_logits_against_loops() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((2, 4, 3)).astype(np.float32)
    weights = rng.standard_normal(3).astype(np.float32)
    expected = [sum(w * abs(p - q) for w, p, q in zip(weights, a[row], b[row], strict=True)) + 0.5 for row in range(4)]
    assert np.allclose(numpy_of(losses.same_logits(a, b, weights, 0.5)), expected, atol=1e-5)


def test_binary_cross_entropy_is_exact_near_and_far() -> None:
    logits = np.array([0.0, 2.0, -2.0, 20.0, 500.0, -500.0, 500.0], np.float32)
    same = np.array([1, 1, 0, 1, 1, 1, 0], np.float32)
    expected = []
    for x, y in zip(logits, same, strict=True):
        signed = float(x) if y else -float(x)
        expected.append(math.log1p(math.exp(-signed)) if signed > -100 else -signed)
    assert numpy_of(losses.binary_cross_entropy(logits, same)) == pytest.approx(expected, rel=1e-5, abs=1e-30)
    assert np.isfinite(gradient(lambda v: keras.ops.sum(losses.binary_cross_entropy(v, same)), logits)).all()


@pytest.mark.parametrize("form", ["l2", "l1", "cosine"])
def test_verification_against_loops(form: losses.Form) -> None:
    rng = np.random.default_rng(9)
    a, b = rng.standard_normal((2, 8, 3)).astype(np.float32) / 2
    b[3] = a[3]
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.float32)
    found = numpy_of(losses.verification(a, b, same, form, 1.5, weight=2.0, bias=-0.5))
    for row in range(8):
        one, two, y = a[row].astype(float), b[row].astype(float), bool(same[row])
        if form == "l2":
            d = math.sqrt(sum((one - two) ** 2))
            expected = d * d / 2 if y else max(0.0, 1.5 - d) ** 2 / 2
        elif form == "l1":
            d = sum(abs(one - two))
            expected = d if y else max(0.0, 1.5 - d)
        else:
            cosine = one @ two / math.sqrt((one @ one) * (two @ two))
            expected = (y - 1 / (1 + math.exp(-(2 * cosine - 0.5)))) ** 2 / 2
        assert found[row] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_distillation_sees_directions_only() -> None:
    student = np.array([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-1.0, 0.0]], np.float32)
    teacher = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [5.0, 0.0]], np.float32)
    assert np.allclose(numpy_of(losses.distillation(student, teacher)), [0.0, 1.0, 1 - math.sqrt(0.5), 2.0], atol=1e-6)


PAIR_LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "contrastive": lambda a, b, same: losses.contrastive(losses.row_distances(a, b), same, 1.0),
    "same": lambda a, b, same: losses.binary_cross_entropy(losses.same_logits(a, b, 1.0, 0.0), same),
    "l2": lambda a, b, same: losses.verification(a, b, same, "l2", 1.0),
    "l1": lambda a, b, same: losses.verification(a, b, same, "l1", 1.0),
    "cosine": lambda a, b, same: losses.verification(a, b, same, "cosine", 1.0),
    "distillation": lambda a, b, same: losses.distillation(a, b),
}


@pytest.mark.parametrize("name", sorted(PAIR_LOSSES))
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_pairs_of_identical_pictures_stay_finite(name: str, value: float) -> None:
    x = np.full((4, 3), value, np.float32)
    same = np.array([1, 1, 0, 0], np.float32)
    assert np.isfinite(numpy_of(PAIR_LOSSES[name](x, x, same))).all()
    assert np.isfinite(gradient(lambda v: keras.ops.sum(PAIR_LOSSES[name](v, x, same)), x)).all()


def test_people_apart_cost_what_they_are_alike() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(6, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    person = np.array([0, 0, 1, 2, 2, 3])
    pairs = [(i, j) for i in range(6) for j in range(6) if person[i] != person[j]]
    by_hand = np.mean([np.log1p(np.exp(losses.APART_SLOPE * (vectors[i] @ vectors[j] - 0.3))) for i, j in pairs])
    assert float(losses.apart(vectors, person, 0.3)) == pytest.approx(by_hand, rel=1e-4)
    # What all of them share, as one camera gives them, costs.
    shared = vectors + np.float32(2)
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    assert float(losses.apart(shared, person, 0.3)) > 5 * by_hand
    assert float(losses.apart(vectors[:2], person[:2], 0.3)) == 0.0
