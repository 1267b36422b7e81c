"""Mining against plain loops, what wrong labels do to it, and that it runs in compiled steps and on JAX."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from tests.fixtures.tensors import gradient, numpy_of
from trainer.learn import mining
from trainer.models import losses
from trainer.models.networks import unit

MARGIN = 0.3
PEOPLE: dict[str, list[int]] = {
    "people of one to four": [0, 3, 2, 0, 1, 2, 2, 4, 1, 2, 0, 4],
    "P x K": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "two people": [0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1],
    "one person": [7] * 12,
    "everybody alone": list(range(12)),
}
Found = dict[tuple[int, ...], tuple[float, float]]


def batch(case: str, seed: int, duplicates: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Distances [12, 12] on a coarse grid, so that ties happen, and persons [12]."""
    x = np.random.default_rng(seed).standard_normal((12, 3))
    if duplicates:
        x[6:] = x[:6]
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    if duplicates:
        apart = np.round(apart * 8) / 8
    return apart.astype(np.float32), np.array(PEOPLE[case], np.int32)


def by_loops(name: str, apart: np.ndarray, person: np.ndarray, difficulty: float) -> Found:
    """The usable triplets of a mining by their place in its answer: (d(a,p), d(a,n)), found the slow way."""
    found: Found = {}
    n = len(person)
    for a in range(n):
        own = [p for p in range(n) if p != a and person[p] == person[a]]
        foreign = sorted((float(apart[a, k]), k) for k in range(n) if person[k] != person[a])
        if not own or not foreign:
            continue
        if name == "batch-hard":
            found[(a,)] = (max(float(apart[a, p]) for p in own), foreign[0][0])
        for p in own:
            positive = float(apart[a, p])
            if name == "batch-all":
                found.update({(a, p, k): (positive, negative) for negative, k in foreign})
            elif name == "semi-hard":
                farther = [negative for negative, _ in foreign if negative > positive]
                if farther and farther[0] <= np.float32(positive) + np.float32(MARGIN):
                    found[a, p] = (positive, farther[0])
            elif name == "hard" and foreign[0][0] < positive:
                found[a, p] = (positive, foreign[0][0])
            elif name == "rising":
                found[a, p] = (positive, foreign[math.floor((1 - difficulty) * len(foreign) / 2)][0])
    return found


def mined(name: str, apart: Any, person: Any, difficulty: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positive, negative, usable = mining.MININGS[name](apart, person, MARGIN, difficulty)
    return numpy_of(positive), numpy_of(negative), numpy_of(usable)


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("case", sorted(PEOPLE))
@pytest.mark.parametrize("name", sorted(mining.MININGS))
def test_minings_against_loops(name: str, case: str, duplicates: bool) -> None:
    for seed, difficulty in enumerate([0.0, 0.25, 0.5, 1.0]):
        apart, person = batch(case, seed, duplicates)
        positive, negative, usable = mined(name, apart, person, difficulty)
        assert positive.shape == negative.shape == usable.shape and set(np.unique(usable)) <= {0.0, 1.0}
        expected = by_loops(name, apart, person, difficulty)
        assert {tuple(map(int, place)) for place in np.argwhere(usable)} == set(expected)
        for place, (p, n) in expected.items():
            assert positive[place] == np.float32(p) and negative[place] == np.float32(n)
        assert not positive[usable == 0].any() and not negative[usable == 0].any()


def test_the_loops_find_something_for_every_mining() -> None:
    for name in mining.MININGS:
        assert by_loops(name, *batch("people of one to four", 1), 0.5), name


def test_rising_goes_from_the_median_to_the_nearest() -> None:
    person = np.array([0, 0, 1, 2, 3, 4, 5], np.int32)
    apart = np.broadcast_to(np.array([0, 0, 5, 1, 4, 2, 3], np.float32), (7, 7)).copy()
    ranks = [mined("rising", apart, person, difficulty)[1][0, 1] for difficulty in (-1.0, 0.0, 0.5, 1.0, 2.0)]
    assert ranks == [3, 3, 2, 1, 1]


def cost(name: str, person: Any, squared: bool, soft: bool, embeddings: Any) -> Any:
    found = mining.MININGS[name](losses.distances(unit(embeddings), squared), person, MARGIN, keras.ops.convert_to_tensor(0.5))
    return losses.triplet(*found, margin=MARGIN, soft=soft, reduce="mean")


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("case", ["all the same", "one person", "everybody alone", "zero vectors", "pictures twice"])
@pytest.mark.parametrize("name", sorted(mining.MININGS))
def test_gradients_stay_finite(name: str, case: str, squared: bool) -> None:
    x = np.ones((6, 4), np.float32) / 2
    person = np.array([0, 0, 1, 1, 2, 2], np.int32)
    if case == "one person":
        person[:] = 0
    elif case == "everybody alone":
        person = np.arange(6, dtype=np.int32)
    elif case == "zero vectors":
        x[:] = 0
    elif case == "pictures twice":
        x = np.repeat(np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32), 2, axis=0)
    for soft in (False, True):
        assert np.isfinite(numpy_of(cost(name, person, squared, soft, x))).all()
        assert np.isfinite(gradient(partial(cost, name, person, squared, soft), x)).all()


@pytest.mark.parametrize("name", sorted(mining.MININGS))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((9, 3)).astype(np.float32)
    person = np.repeat(np.arange(3, dtype=np.int32), 3)
    direction = rng.standard_normal(x.shape).astype(np.float32)
    step = 5e-4
    before, after = (mined(name, numpy_of(losses.distances(unit(x + sign * step * direction))), person)[2] for sign in (1, -1))
    assert np.array_equal(before, after), "the loss jumps where a triplet comes or goes: take another seed"
    ends = [float(numpy_of(cost(name, person, False, True, x + sign * step * direction))) for sign in (1, -1)]
    along = float((gradient(partial(cost, name, person, False, True), x) * direction).sum())
    assert abs(along) > 1e-3
    assert along == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02, abs=1e-3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX has no dynamic batch size; its own test follows")
@pytest.mark.parametrize("name", sorted(mining.MININGS))
def test_compiled_with_any_batch_size(name: str) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int32)])  # type: ignore[untyped-decorator]
    def step(x: Any, person: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = cost(name, person, False, True, x)
        return loss, tape.gradient(loss, x)

    for n in (4, 10):
        x = np.random.default_rng(n).standard_normal((n, 4)).astype(np.float32)
        person = np.arange(n, dtype=np.int32) // 2
        loss, slope = step(tf.constant(x), tf.constant(person))
        assert float(loss) == pytest.approx(float(numpy_of(cost(name, person, False, True, x))), rel=1e-5)
        assert np.allclose(slope, gradient(partial(cost, name, person, False, True), x), atol=1e-5)


JAX = """
import json, sys
import jax, numpy as np
from trainer.learn import mining
from trainer.models import losses
x, person = np.array(json.loads(sys.argv[1]), np.float32), np.array(json.loads(sys.argv[2]), np.int32)
answer = {}
for name, mine in mining.MININGS.items():
    def cost(v, difficulty, mine=mine):
        return losses.triplet(*mine(losses.distances(v), person, 0.3, difficulty), margin=0.3, soft=True, reduce="mean")
    loss, slope = jax.jit(jax.value_and_grad(cost))(x, 0.5)
    answer[name] = [float(loss), np.asarray(slope).tolist()]
loss, slope = jax.value_and_grad(lambda v: losses.row_distances(v[:6], v[6:]).sum())(x)
answer["pairs"] = [float(loss), np.asarray(slope).tolist()]
print(json.dumps(answer))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_jax_gives_the_same_losses_and_gradients() -> None:
    rng = np.random.default_rng(12)
    x = rng.standard_normal((12, 4)).astype(np.float32)
    x[6:8] = x[:2]
    person = np.array(PEOPLE["people of one to four"], np.int32)
    given = [json.dumps(x.tolist()), json.dumps(person.tolist())]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", JAX, *given], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    loss, slope = answer.pop("pairs")
    # TensorFlow's root forgives what makes NaN of JAX's: the gradient between two equal rows.
    assert math.isfinite(loss) and np.isfinite(slope).all() and not np.any(slope[:2]) and np.any(slope[2:6])
    assert set(answer) == set(mining.MININGS)
    for name, mine in mining.MININGS.items():

        def cost(v: Any, mine: mining.Mining = mine) -> Any:
            return losses.triplet(*mine(losses.distances(v), person, 0.3, 0.5), margin=0.3, soft=True, reduce="mean")

        loss, slope = answer[name]
        assert loss == pytest.approx(float(numpy_of(cost(x))), rel=1e-4), name
        assert np.isfinite(slope).all() and np.allclose(slope, gradient(cost, x), atol=1e-4), name


def test_rows_are_anchor_positive_negative() -> None:
    x = np.array([[0, 0], [3, 4], [0, 1], [1, 1], [1, 1], [1, 3]], np.float32)
    positive, negative, usable = (numpy_of(part) for part in mining.rows(x))
    assert np.allclose(positive, [5, 0]) and np.allclose(negative, [1, 2]) and np.allclose(usable, [1, 1])
    positive, negative, _ = (numpy_of(part) for part in mining.rows(x, squared=True))
    assert np.allclose(positive, [25, 0]) and np.allclose(negative, [1, 4])


def test_article_takes_the_hardest_and_as_many_others() -> None:
    positive, negative = np.random.default_rng(13).uniform(0, 2, (2, 200))
    chosen = mining.article(positive, negative, np.random.default_rng(1))
    hardest = sorted(range(200), key=lambda t: positive[t] - negative[t], reverse=True)
    assert chosen[:16].tolist() == hardest[:16]
    assert len(set(chosen.tolist())) == 32
    others = [set(mining.article(positive, negative, np.random.default_rng(seed))[16:].tolist()) for seed in range(200)]
    assert set.union(*others) == set(hardest[16:]) and others[0] != others[1]
    with pytest.raises(ValueError, match="31 candidate triplets"):
        mining.article(positive[:31], negative[:31], np.random.default_rng(1))


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("case", sorted(PEOPLE))
def test_shares_against_loops(case: str, duplicates: bool) -> None:
    apart, person = batch(case, 3, duplicates)
    margin = 0.25
    kinds = {"easy": 0, "semi-hard": 0, "hard": 0}
    for positive, negative in by_loops("batch-all", apart, person, 0).values():
        kinds["hard" if negative <= positive else "easy" if positive + margin < negative else "semi-hard"] += 1
    found = mining.shares(apart, person, margin)
    total = max(1, sum(kinds.values()))
    assert [found.easy, found.semi_hard, found.hard] == pytest.approx([count / total for count in kinds.values()])


def clusters(wrong: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of 16 people with 8 crops each on the unit sphere, who they are, and who they are said to be."""
    rng = np.random.default_rng(14)
    true = np.repeat(np.arange(16), 8)
    x = rng.standard_normal((16, 16))[true] + 0.45 * rng.standard_normal((128, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    said = true.copy()
    mislabelled = rng.choice(128, round(wrong * 128), replace=False)
    said[mislabelled] = (true[mislabelled] + rng.integers(1, 16, len(mislabelled))) % 16
    return np.linalg.norm(x[:, None] - x[None], axis=2).astype(np.float32), true, said.astype(np.int32)


def wrongly_labelled(name: str, apart: np.ndarray, true: np.ndarray, said: np.ndarray) -> float:
    """Share of a mining's usable triplets whose positive is really another person, or whose negative is the anchor's own."""
    positive, negative, usable = mined(name, apart, said)
    wrong = []
    for place in np.argwhere(usable):
        a = int(place[0])
        p = int(np.flatnonzero(apart[a] == positive[tuple(place)])[0])
        k = int(np.flatnonzero(apart[a] == negative[tuple(place)])[0])
        wrong.append(true[p] != true[a] or true[k] == true[a])
    return float(np.mean(wrong)) if wrong else 0.0


def test_wrong_labels_hurt_hard_mining_most() -> None:
    assert wrongly_labelled("batch-hard", *clusters(0)) == wrongly_labelled("hard", *clusters(0)) == 0
    for share, times in ((0.05, 5.0), (0.2, 2.0)):
        apart, true, said = clusters(share)
        same = said[:, None] == said[None]
        own = same & ~np.eye(128, dtype=bool)
        drawn = own[:, :, None] & ~same[:, None, :]
        kin = true[:, None] == true[None]
        random = float((~kin[:, :, None] | kin[:, None, :])[drawn].mean())
        picked = {name: wrongly_labelled(name, apart, true, said) for name in ("batch-hard", "semi-hard", "hard")}
        assert picked["batch-hard"] > times * random
        assert picked["semi-hard"] < picked["hard"]
