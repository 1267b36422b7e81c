"""The open-set measure against counting, and intervals by people."""

import numpy as np
import pytest

from daemon.edges.model import Figure
from trainer import data, evaluate


def test_search_counts_by_hand() -> None:
    similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.5], [0.3, 0.2]])
    owner = np.array([0, 1, 1, 0])
    found = evaluate.search(similarity, owner, 0.55)
    # The first two are right, the third is taken for the other person, the fourth is below the threshold.
    assert found.fnir == 0.5 and found.misidentified == 0.25


def test_open_set_on_a_perfect_and_on_a_blind_model() -> None:
    person = np.repeat(np.arange(60), 2)
    perfect = np.eye(60, dtype=np.float32)[person]
    by_name = {figure.name: figure for figure in evaluate.open_set_figures(perfect, person, "x")}
    assert by_name["fnir@fpir=1e-01,n=10"].value == 0.0
    assert by_name["misidentified@fpir=1e-01,n=10"].value == 0.0
    assert by_name["fnir@fpir=1e-03,n=10"].value is None  # 50 strangers cannot show one in a thousand
    assert not any("n=100" in name for name in by_name)
    blind = np.full((120, 4), 0.5, np.float32)
    assert {f.name: f for f in evaluate.open_set_figures(blind, person, "x")}["fnir@fpir=1e-01,n=10"].value == 1.0


def test_pair_figures() -> None:
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(40), 3)
    centres = rng.standard_normal((40, 32))
    vectors = centres[person] + 0.5 * rng.standard_normal((120, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = tuple(f"p{who}/{index}" for index, who in enumerate(person))
    crops = data.Crops(np.empty((120, 0, 0, 3), np.uint8), tuple(f"p{who}" for who in range(40)), person, names, "")
    a = [names[3 * who] for who in range(40)] * 2
    b = [names[3 * who + 1] for who in range(40)] + [names[(3 * who + 3) % 120] for who in range(40)]
    measured = evaluate.measure_pairs(vectors, crops, (a, b, np.arange(80) < 40))
    figures = {f.name: f for f in evaluate.pair_figures(measured, "x")}
    accuracy = figures["accuracy"]
    assert accuracy.value is not None and accuracy.low is not None and accuracy.high is not None
    assert 0.9 <= accuracy.low <= accuracy.value <= accuracy.high <= 1
    assert figures["tar@1e-03"].value is None
    with pytest.raises(data.DataError, match="nobody/0"):
        evaluate.measure_pairs(vectors, crops, (["nobody/0"], [names[0]], np.array([True])))


def test_bootstrap_draws_people_not_pairs() -> None:
    # One person gives 50 pairs: resampling pairs would call that 50 independent trials.
    a = np.array([0] * 50 + [1])
    weights = evaluate.person_weights(a, a)
    assert np.array_equal(weights[:, 0], weights[:, 49])
    assert set(weights[:, 0]) <= {0.0, 1.0, 2.0}


def test_figures_survive_json() -> None:
    figures = [Figure("accuracy", 0.9, 0.8, 0.95, "x"), Figure("tar@1e-03", None, None, None, "x")]
    assert evaluate.from_json(evaluate.to_json(figures)) == figures
    with pytest.raises(data.DataError, match="cannot be read"):
        evaluate.from_json(b"[{}]")
