"""Margin softmax, multi-similarity and circle loss against numpy, written from the papers' formulas with loops; and their gradients."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from tests.fixtures.tensors import gradient, numpy_of
from trainer.learn import mining
from trainer.models import losses
from trainer.models.networks import unit

PERSON = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3], np.int32)
"""Three people with several pictures, and one with a single one, who has no positive pair."""
ALPHA, BETA, BASE, EPSILON = 2.0, 50.0, 0.5, 0.1
MARGIN, GAMMA = 0.4, 80.0


def vectors(seed: int, spread: float = 0.8) -> np.ndarray:
    """Unit vectors float64 [9, 6], people apart as `spread` says: overlapping, as early in training."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, 6))[PERSON] + spread * rng.standard_normal((9, 6))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def arcface(cosines: np.ndarray, person: np.ndarray, margin: float, scale: float) -> float:
    """Deng et al. 2019, formula 3: -log(e^{s cos(t_y + m)} / (e^{s cos(t_y + m)} + sum_{j != y} e^{s cos t_j}))."""
    costs = []
    for row, who in zip(cosines, person, strict=True):
        angle = math.acos(row[who])
        own = math.cos(angle + margin) if angle + margin <= math.pi else row[who] - margin * math.sin(math.pi - margin)
        exponents = [scale * (own if j == who else cosine) for j, cosine in enumerate(row)]
        top = max(exponents)
        costs.append(top + math.log(sum(math.exp(e - top) for e in exponents)) - scale * own)
    return sum(costs) / len(costs)


def multi_similarity(x: np.ndarray, kept: list[tuple[list[int], list[int]]] | None = None) -> float:
    """Wang et al. 2019, formula 15 over the pairs of formulas 11 and 12 (or over those given)."""
    s, total = x @ x.T, 0.0
    for i, (own, other) in enumerate(kept if kept is not None else mined(x)):
        total += math.log(1 + sum(math.exp(-ALPHA * (s[i, k] - BASE)) for k in own)) / ALPHA
        total += math.log(1 + sum(math.exp(BETA * (s[i, k] - BASE)) for k in other)) / BETA
    return total / len(x)


def mined(x: np.ndarray) -> list[tuple[list[int], list[int]]]:
    s, kept = x @ x.T, []
    for i in range(len(x)):
        own = [k for k in range(len(x)) if k != i and PERSON[k] == PERSON[i]]
        other = [k for k in range(len(x)) if PERSON[k] != PERSON[i]]
        hardest_own, hardest_other = min((s[i, k] for k in own), default=math.inf), max((s[i, k] for k in other), default=-math.inf)
        kept.append(([k for k in own if s[i, k] - EPSILON < hardest_other], [k for k in other if s[i, k] + EPSILON > hardest_own]))
    return kept


def circle(x: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Sun et al. 2020, formula 6, per anchor; `weights`: the similarities that its factors alpha are taken from, if not these."""
    s = x @ x.T
    by = s if weights is None else weights
    costs = []
    for i in range(len(x)):
        own = [k for k in range(len(x)) if k != i and PERSON[k] == PERSON[i]]
        other = [k for k in range(len(x)) if PERSON[k] != PERSON[i]]
        if not own or not other:
            continue
        far = sum(math.exp(GAMMA * max(by[i, k] + MARGIN, 0) * (s[i, k] - MARGIN)) for k in other)
        near = sum(math.exp(-GAMMA * max(1 + MARGIN - by[i, k], 0) * (s[i, k] - (1 - MARGIN))) for k in own)
        costs.append(math.log(1 + far * near))
    return sum(costs) / len(costs)


def softmax_targets(person: np.ndarray, margin: float, scale: float) -> np.ndarray:
    return np.stack([person, np.full(len(person), margin), np.full(len(person), scale)], axis=1).astype(np.float32)


def angular(cosines: Any, margin: float = 0.5, scale: float = 30.0) -> Any:
    return losses.angular_margin(softmax_targets(PERSON, margin, scale), cosines)


def batch_multi_similarity(x: Any) -> Any:
    cosines = keras.ops.matmul(x, keras.ops.transpose(x))
    return losses.multi_similarity(cosines, *mining.multi_similarity(cosines, PERSON, EPSILON), ALPHA, BETA, BASE)


def batch_circle(x: Any) -> Any:
    return losses.circle(keras.ops.matmul(x, keras.ops.transpose(x)), *mining.sides(PERSON), MARGIN, GAMMA)


def slope_of(function: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences in float64."""
    found = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        more, less = x.copy(), x.copy()
        more[place] += step
        less[place] -= step
        found[place] = (function(more) - function(less)) / (2 * step)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5])
def test_arcface_is_the_papers(seed: int, margin: float) -> None:
    cosines = np.random.default_rng(seed).uniform(-0.99, 0.99, (9, 4)).astype(np.float32)
    cosines[0, 0] = -0.97  # angle + margin beyond pi
    exact = cosines.astype(np.float64)
    assert float(numpy_of(angular(cosines, margin))) == pytest.approx(arcface(exact, PERSON, margin, 30.0), rel=1e-6)
    expected = slope_of(lambda c: arcface(c, PERSON, margin, 30.0), exact)
    assert np.allclose(gradient(partial(angular, margin=margin), cosines), expected, rtol=1e-4, atol=2e-5)


def test_arcface_stays_finite_where_angles_vanish() -> None:
    """At angle zero, at pi, and where rounding puts a cosine beyond one; no step is larger than the scale allows."""
    for value in (1.0, 1.0 + 1e-6, 1.01, 1 - 6e-8, -1.0, -1.0 - 1e-6, -1.01):
        cosines = np.zeros((9, 4), np.float32)
        cosines[np.arange(9), PERSON] = value
        assert np.isfinite(numpy_of(angular(cosines)))
        slope = gradient(angular, cosines)
        assert np.isfinite(slope).all() and np.abs(slope).max() <= 30
    # Through a unit vector beside its own centre, the gradient stays as small as the angle's is.
    centres = np.eye(4, 6, dtype=np.float32)
    for distance in (0.0, 1e-8, 1e-4, 3e-3):
        x = centres[PERSON] + np.float32(distance) * np.random.default_rng(1).standard_normal((9, 6)).astype(np.float32)
        slope = gradient(lambda v: angular(keras.ops.matmul(unit(v), centres.T), scale=5.0), x)
        assert np.isfinite(slope).all() and np.abs(slope).max() < 1


def test_arcface_costs_more_the_larger_the_angle() -> None:
    angles = np.linspace(0, math.pi, 200)
    own = np.cos(angles).astype(np.float32)[:, None]
    cosines = np.concatenate([own, np.zeros_like(own)], axis=1)
    targets = softmax_targets(np.zeros(1), 0.5, 10.0)
    costs = [float(numpy_of(losses.angular_margin(targets, row[None]))) for row in cosines]
    assert (np.diff(costs) > 0).all()


def test_sub_centres_take_the_nearest() -> None:
    cosines = np.random.default_rng(4).uniform(-1, 1, (5, 12)).astype(np.float32)
    found = numpy_of(losses.nearest_centre(cosines, 3))
    assert found.shape == (5, 4)
    for i in range(5):
        for person in range(4):
            assert found[i, person] == max(cosines[i, 3 * person + centre] for centre in range(3))
    slope = gradient(lambda c: keras.ops.sum(losses.nearest_centre(c, 3)), cosines)
    assert (slope.reshape(5, 4, 3).sum(axis=2) == 1).all() and set(np.unique(slope)) == {0.0, 1.0}


@pytest.mark.parametrize("seed", range(4))
def test_multi_similarity_is_the_papers(seed: int) -> None:
    x = vectors(seed)
    kept = mined(x)
    assert 0 < sum(len(own) + len(other) for own, other in kept) < 8 * 9 - 8, "the mining must leave some pairs out"
    cosines = (x @ x.T).astype(np.float32)
    own, other = (numpy_of(pairs) for pairs in mining.multi_similarity(cosines, PERSON, EPSILON))
    assert [(np.flatnonzero(a).tolist(), np.flatnonzero(b).tolist()) for a, b in zip(own, other, strict=True)] == kept
    given = x.astype(np.float32)
    assert float(numpy_of(batch_multi_similarity(given))) == pytest.approx(multi_similarity(x), rel=2e-6)
    expected = slope_of(lambda v: multi_similarity(v, kept), x)
    assert np.allclose(gradient(batch_multi_similarity, given), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_circle_is_the_papers(seed: int) -> None:
    x = vectors(seed)
    given = x.astype(np.float32)
    assert float(numpy_of(batch_circle(given))) == pytest.approx(circle(x), rel=2e-6)
    fixed = x @ x.T  # no gradient flows through the factors
    expected = slope_of(lambda v: circle(v, fixed), x)
    assert np.allclose(gradient(batch_circle, given), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", [batch_multi_similarity, batch_circle], ids=["multi-similarity", "circle"])
def test_pair_losses_stay_finite_at_the_ends(loss: Callable[[Any], Any]) -> None:
    same, opposite = np.ones((9, 6), np.float32) / math.sqrt(6), np.eye(4, 6, dtype=np.float32)[PERSON]
    opposite[1], opposite[4] = -opposite[0], -opposite[3]
    for x in (same, opposite, opposite * np.float32(1.001), np.zeros((9, 6), np.float32)):
        assert np.isfinite(numpy_of(loss(x)))
        assert np.isfinite(gradient(loss, x)).all()


@pytest.mark.parametrize("person", [np.zeros(9, np.int32), np.arange(9, dtype=np.int32)], ids=["one person", "everybody alone"])
def test_without_pairs_nothing_is_learned(person: np.ndarray) -> None:
    x = vectors(1).astype(np.float32)

    def both(v: Any) -> Any:
        cosines = keras.ops.matmul(v, keras.ops.transpose(v))
        pairs = mining.multi_similarity(cosines, person, EPSILON)
        return losses.multi_similarity(cosines, *pairs, ALPHA, BETA, BASE) + losses.circle(cosines, *mining.sides(person), MARGIN, GAMMA)

    assert float(numpy_of(both(x))) == 0 and not gradient(both, x).any()


JAX = """
import json, sys
import jax, numpy as np
from tests.trainer.models import test_pair_losses as here
x, cosines = (np.array(json.loads(text), np.float32) for text in sys.argv[1:])
given = {"angular": (here.angular, cosines), "multi-similarity": (here.batch_multi_similarity, x), "circle": (here.batch_circle, x)}
answer = {name: [np.asarray(part).tolist() for part in jax.jit(jax.value_and_grad(loss))(at)] for name, (loss, at) in given.items()}
print(json.dumps(answer))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_jax_gives_the_same_losses_and_gradients() -> None:
    x = vectors(2).astype(np.float32)
    cosines = np.random.default_rng(5).uniform(-1, 1, (9, 4)).astype(np.float32)
    cosines[0, 0], cosines[3, 1] = 1.0, -1.0
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    given = [json.dumps(array.tolist()) for array in (x, cosines)]
    done = subprocess.run([sys.executable, "-c", JAX, *given], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    for name, loss, at in (("angular", angular, cosines), ("multi-similarity", batch_multi_similarity, x), ("circle", batch_circle, x)):
        value, slope = answer[name]
        assert value == pytest.approx(float(numpy_of(loss(at))), rel=1e-5), name
        assert np.isfinite(slope).all() and np.allclose(slope, gradient(loss, at), rtol=1e-4, atol=1e-4), name
