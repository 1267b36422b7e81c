"""The open-set measure against counting, and intervals by people."""

import numpy as np
import pytest

from daemon.core.bundle import Figure
from trainer.measure import allpairs, evaluate, metrics, oneshot
from trainer.measure.metrics import Floats
from trainer.people import data, galleries


def _people(count: int, crops: int, noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(count), crops)
    vectors = rng.standard_normal((count, 8))[person] + noise * rng.standard_normal((count * crops, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person


def _rounded(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.round(a @ b.T, 1))


def test_search_counts_by_hand() -> None:
    similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.5], [0.3, 0.2]])
    owner = np.array([0, 1, 1, 0])
    found = evaluate.search(similarity, owner, 0.55)
    # The first two are right, the third is taken for the other person, the fourth is below the threshold.
    assert found.fnir == 0.5 and found.misidentified == 0.25


def test_a_tie_with_another_person_is_no_recognition() -> None:
    found = evaluate.search(np.array([[0.9, 0.9], [0.9, 0.9], [0.4, 0.4]]), np.array([0, 1, 0]), 0.5)
    assert found.fnir == 1.0 and found.misidentified == pytest.approx(2 / 3)


@pytest.mark.parametrize("similarity", [metrics.cosine, _rounded])
def test_open_set_agrees_with_counting(similarity: metrics.Similarity) -> None:
    """A twin in plain loops, with the same draws."""
    vectors, person = _people(70, 3, 0.6)
    figures = {figure.name: figure.value for figure in evaluate.open_set_figures(vectors, person, "x", similarity=similarity)}
    alike = similarity(vectors, vectors)
    missed, mistaken = [], []
    rng = np.random.default_rng((1, 10))
    for _ in range(galleries.DRAWS):
        enrolled = rng.choice(70, 10, replace=False)
        order = {who: rng.permutation(np.flatnonzero(person == who)) for who in enrolled}
        gallery = {who: own[0] for who, own in order.items()}
        strangers = [rng.choice(np.flatnonzero(person == who)) for who in range(70) if who not in gallery]
        nearest = sorted(max(alike[one, entry] for entry in gallery.values()) for one in strangers)[::-1]
        # Six of the sixty strangers may pass; the seventh may not, nor who is level with him.
        searches = miss = mistake = 0
        for who, own in order.items():
            for probe in own[1:]:
                searches += 1
                others = max(alike[probe, entry] for name, entry in gallery.items() if name != who)
                mine = alike[probe, gallery[who]]
                miss += not (mine > others and mine > nearest[6])
                mistake += others >= mine and others > nearest[6]
        missed.append(miss / searches)
        mistaken.append(mistake / searches)
    assert figures["fnir@fpir=1e-01,n=10"] == pytest.approx(np.mean(missed), abs=1e-5)
    assert figures["misidentified@fpir=1e-01,n=10"] == pytest.approx(np.mean(mistaken), abs=1e-5)
    assert 0 < np.mean(mistaken) < np.mean(missed) < 1


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
    for name in ("auc", "eer"):
        low, value, high = figures[name].low, figures[name].value, figures[name].high
        assert low is not None and value is not None and high is not None and low <= value <= high and low < high
    assert [name for name in figures if name.startswith("tar@")] == [f"tar@1e-0{power}" for power in range(1, 7)]
    assert figures["tar@1e-01"].value is not None and figures["tar@1e-03"].value is None
    squared = evaluate.measure_pairs(vectors, crops, (a, b, np.arange(80) < 40), lambda a, b: (a @ b.T) ** 2)
    assert squared.similarity == pytest.approx(measured.similarity**2, abs=1e-5)
    with pytest.raises(data.DataError, match="nobody/0"):
        evaluate.measure_pairs(vectors, crops, (["nobody/0"], [names[0]], np.array([True])))


def test_bootstrap_draws_people_not_pairs() -> None:
    # One person gives 50 pairs: resampling pairs would call that 50 independent trials.
    a = np.array([0] * 50 + [1])
    weights = evaluate.person_weights(a, a)
    assert np.array_equal(weights[:, 0], weights[:, 49])
    assert set(weights[:, 0]) <= {0.0, 1.0, 2.0}


def test_curve_intervals_agree_with_drawing_pairs_again() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 12, 60), rng.integers(0, 12, 60)
    a[:25] = b[:25]
    similarity = np.round(rng.normal((a == b) * 0.6, 0.5), 1)
    pairs = evaluate.Pairs(similarity, a == b, evaluate.person_weights(a, b))
    expected = []
    for weight in pairs.weights[: evaluate.CURVES].astype(int):
        again, same = np.repeat(similarity, weight), np.repeat(pairs.same, weight)
        expected.append((metrics.auc(again[same], again[~same]), metrics.eer(again[same], again[~same])))
    for found, values in zip(evaluate.curve_intervals(pairs), np.transpose(expected), strict=True):
        assert found == pytest.approx((np.quantile(values, 0.025), np.quantile(values, 0.975)))


def test_no_error_seen_is_not_no_error() -> None:
    same = np.arange(150) < 50
    pairs = evaluate.Pairs(np.where(same, 0.9, 0.1), same, np.ones((1000, 150)))
    figures = {figure.name: figure for figure in evaluate.pair_figures(pairs, "x")}
    fnmr, fmr = metrics.wilson(0, 50)[1], metrics.wilson(0, 100)[1]
    assert (figures["eer"].value, figures["eer"].low) == (0, 0) and figures["eer"].high == pytest.approx(fnmr, abs=1e-5)
    assert figures["auc"].low == pytest.approx((1 - fnmr) * (1 - fmr), abs=1e-5) and figures["auc"].high == 1
    # Level with the best impostor is an error.
    assert evaluate.curve_intervals(evaluate.Pairs(np.full(150, 0.9), same, np.ones((1000, 150))))[0] == (0.5, 0.5)


def test_rank_figures_agree_with_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "DRAWS", 3)
    monkeypatch.setattr(evaluate, "BLOCK", 7)
    vectors, person = _people(30, 3, 0.8)
    # Number 30 has a single crop: neither enrolled nor searched for.
    vectors, person = np.concatenate([vectors, vectors[:1]]), np.append(person, 30)
    figures = evaluate.rank_figures(vectors, person, "x", _rounded)
    assert [figure.name for figure in figures] == ["rank-1,n=30", "rank-5,n=30"]
    alike, rng = _rounded(vectors, vectors), np.random.default_rng(1)
    shares = []
    for _ in range(3):
        order = [rng.permutation(np.flatnonzero(person == who)) for who in range(30)]
        ahead = [sum(alike[probe, other[0]] >= alike[probe, own[0]] for other in order) - 1 for own in order for probe in own[1:]]
        shares.append([np.mean([count < rank for count in ahead]) for rank in (1, 5)])
    assert [figure.value for figure in figures] == pytest.approx(np.mean(shares, axis=0), abs=1e-5)
    assert figures[0].low == pytest.approx(np.quantile(np.array(shares)[:, 0], 0.025), abs=1e-5)
    assert evaluate.rank_figures(vectors[:4], np.array([0, 0, 1, 2]), "x") == []


def test_a_perfect_answer_has_an_interval() -> None:
    person = np.repeat(np.arange(3), 2)
    (figure,) = evaluate.rank_figures(np.eye(3, dtype=np.float32)[person], person, "x")  # the first five of three are everybody
    assert (figure.name, figure.value, figure.high) == ("rank-1,n=3", 1.0, 1.0)
    assert figure.low == pytest.approx(metrics.wilson(3, 3)[0], abs=1e-5)


def test_other_figures() -> None:
    vectors, person = _people(20, 4, 0.6)
    figures = {figure.name: figure for figure in evaluate.all_pair_figures(allpairs.measure(vectors, person), "x")}
    genuine, impostor = metrics.all_pairs(vectors, person)
    assert list(figures) == ["auc", "eer", *(f"tar@1e-0{power}" for power in range(1, 7))]
    assert figures["auc"].value == pytest.approx(metrics.auc(genuine, impostor), abs=1e-6) and figures["auc"].low is None
    assert figures["tar@1e-02"].value == pytest.approx(metrics.at_fmr(genuine, impostor, 1e-2).tar, abs=1e-5)
    assert figures["tar@1e-06"].value is None
    apart = {figure.name: figure.value for figure in evaluate.distance_figures(vectors, person, "x")}
    assert apart["distance:same"] == pytest.approx(np.sqrt(2 - 2 * genuine).mean(), abs=1e-4)
    assert apart["distance:other"] == pytest.approx(np.sqrt(2 - 2 * impostor).mean(), abs=1e-4)
    assert evaluate.distance_figures(vectors[:1], person[:1], "x")[0].value is None
    score = oneshot.Score(368, 400, *metrics.wilson(368, 400), (0,) * 20)
    assert evaluate.one_shot_figures(score, "x") == [Figure("one-shot-20-way", 0.92, 0.88924, 0.94276, "x")]


def test_figures_survive_json() -> None:
    figures = [Figure("accuracy", 0.9, 0.8, 0.95, "x"), Figure("tar@1e-03", None, None, None, "x")]
    assert evaluate.from_json(evaluate.to_json(figures)) == figures
    with pytest.raises(data.DataError, match="cannot be read"):
        evaluate.from_json(b"[{}]")


def test_answers_that_are_no_numbers_are_errors_of_both_kinds() -> None:
    """The owner's answer is NaN, or another's: neither finds the right person, and both count as somebody wrong."""
    found = evaluate.search(np.array([[np.nan, 0.1], [0.9, np.nan]]), np.array([0, 0]), 0.5)
    assert (found.fnir, found.misidentified) == (1.0, 1.0)
    same = np.arange(40) < 20
    pairs = evaluate.Pairs(np.full(40, np.nan), same, evaluate.person_weights(np.arange(40), np.arange(40) + ~same))
    figures = {figure.name: figure.value for figure in evaluate.pair_figures(pairs, "x")}
    assert (figures["accuracy"], figures["auc"], figures["eer"], figures["tar@1e-01"]) == (0.0, 0.0, 1.0, 0.0)
