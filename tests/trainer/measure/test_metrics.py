"""Error rates against scikit-learn and against counting."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import det_curve, roc_auc_score, roc_curve

from trainer.measure import metrics

# Few different values, so that ties are common.
similarities = st.lists(st.integers(-4, 4).map(lambda value: value / 4), min_size=1, max_size=30).map(np.array)


@settings(max_examples=60)
@given(similarities, similarities)
def test_roc_and_auc_agree_with_scikit_learn(genuine: np.ndarray, impostor: np.ndarray) -> None:
    labels = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    scores = np.r_[genuine, impostor]
    fmr, tar, threshold = metrics.roc(genuine, impostor)
    expected = roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(fmr, expected[0]) and np.allclose(tar, expected[1]) and np.array_equal(threshold, expected[2])
    assert metrics.auc(genuine, impostor) == pytest.approx(roc_auc_score(labels, scores))


@settings(max_examples=100)
@given(similarities, similarities, st.sampled_from([1.0, 0.5, 0.3, 0.1, 0.05]))
def test_a_threshold_never_exceeds_its_target_and_is_the_lowest(genuine: np.ndarray, impostor: np.ndarray, target: float) -> None:
    point = metrics.at_fmr(genuine, impostor, target)
    if len(impostor) * target < 1:
        assert point.threshold is None
        return
    assert point.threshold is not None
    assert point.fmr == np.mean(impostor >= point.threshold) <= target + 1e-12
    assert point.tar == np.mean(genuine >= point.threshold)
    lower = impostor[impostor < point.threshold]
    if len(lower):
        assert np.mean(impostor >= lower.max()) > target


@settings(max_examples=60)
@given(similarities, similarities)
def test_fmr_and_fnmr_agree_with_scikit_learn(genuine: np.ndarray, impostor: np.ndarray) -> None:
    expected = det_curve(np.r_[np.ones(len(genuine)), np.zeros(len(impostor))], np.r_[genuine, impostor])
    fmr, tar, threshold = metrics.roc(genuine, impostor)
    ours = np.array([fmr, 1 - tar, threshold])
    # There the ends where one of the rates stays zero are cut off, and the rest is turned round.
    shown = (ours[2] >= expected[2].min()) & (ours[2] <= expected[2].max())
    assert np.allclose(ours[:, shown][:, ::-1], np.array(expected))
    assert (ours[0][0], ours[1][0], ours[0][-1], ours[1][-1]) == (0, 1, 1, 0)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_ranks_agree_with_counting(probes: int, gallery: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, owner = rng.integers(0, 4, (probes, gallery)) / 4, rng.integers(0, gallery, probes)
    better = [sum(row >= row[own]) - 1 for row, own in zip(similarity, owner, strict=True)]
    assert metrics.ranks(similarity, owner).tolist() == [count + 1 for count in better]


def test_ties_and_nan_count_against_us_in_a_search() -> None:
    similarity = np.array([[0.5, 0.5, 0.1], [0.9, 0.5, 0.1], [np.nan, 0.5, 0.1], [0.9, np.nan, 0.1]])
    assert metrics.ranks(similarity, np.zeros(4, np.int64)).tolist() == [2, 1, 3, 2]


BAD = (np.nan, np.inf, -np.inf)


def test_what_is_no_number_is_never_perfect() -> None:
    """A genuine similarity that is not finite is never accepted, an impostor one always."""
    for bad in BAD:
        broken, fine = np.full(2000, bad), np.linspace(0.0, 0.5, 2000)
        for genuine, impostor in ((broken, broken), (broken, fine), (fine + 1, broken)):
            assert metrics.auc(genuine, impostor) == 0.0 and metrics.eer(genuine, impostor) == 1.0
            assert metrics.at_fmr(genuine, impostor, 1e-3).tar == 0.0
        assert metrics.ranks(np.full((3, 4), bad), np.arange(3)).tolist() == [4, 4, 4]
    few = np.r_[np.full(2, np.nan), np.linspace(0.0, 0.5, 1998)]
    point = metrics.at_fmr(np.ones(10), few, 5e-4)
    assert (point.threshold, point.fmr, point.tar) == (np.inf, 1e-3, 0.0)
    assert metrics.at_fmr(np.ones(10), few, 1e-3).tar == 1.0


@settings(max_examples=60)
@given(similarities, similarities, st.integers(0, 9), st.integers(0, 9))
def test_nan_is_as_bad_as_the_worst_number(genuine: np.ndarray, impostor: np.ndarray, lost: int, taken: int) -> None:
    """The figures are those of a genuine similarity below, and an impostor one above all others."""
    nan = np.r_[genuine, np.full(lost, np.nan)], np.r_[impostor, np.full(taken, np.nan)]
    worst = np.r_[genuine, np.full(lost, -9.0)], np.r_[impostor, np.full(taken, 9.0)]
    assert metrics.auc(*nan) == pytest.approx(metrics.auc(*worst)) and metrics.eer(*nan) == pytest.approx(metrics.eer(*worst))
    for target in (0.5, 0.1):
        ours, theirs = metrics.at_fmr(*nan, target), metrics.at_fmr(*worst, target)
        assert ours.tar == theirs.tar or (np.isnan(ours.tar) and np.isnan(theirs.tar))


def test_nan_pairs_are_judged_wrong_in_every_fold() -> None:
    same = np.arange(200) < 100
    similarity = np.where(same, 0.7, 0.2)
    similarity[[3, 50, 120, 199]] = np.nan
    assert np.flatnonzero(~metrics.ten_fold_right(similarity, same)).tolist() == [3, 50, 120, 199]
    assert not metrics.ten_fold_right(np.full(200, np.nan), same).any()


def test_distance() -> None:
    # At right angles unit vectors are √2 apart, opposite ones 2; rounding above 1 is no distance.
    found = metrics.distance(np.array([1.0, 1.0 + 1e-7, 0.0, -1.0]))
    assert found.tolist() == [0.0, 0.0, pytest.approx(2**0.5), 2.0]


def test_fnmr_is_what_tar_leaves() -> None:
    point = metrics.at_fmr(np.array([0.9, 0.2]), np.linspace(0, 0.8, 10), 0.1)
    assert (point.tar, point.fnmr) == (0.5, 0.5)


def test_not_resolvable_is_said() -> None:
    point = metrics.at_fmr(np.ones(5), np.zeros(999), 1e-3)
    assert point.threshold is None and math.isnan(point.tar)
    assert metrics.at_fmr(np.ones(5), np.zeros(1000), 1e-3).threshold is not None


def test_float32_ties_stay_out() -> None:
    impostor = np.full(1000, 0.3, np.float32)
    point = metrics.at_fmr(np.array([0.3, 0.4], np.float32), impostor, 0.1)
    assert point.fmr == 0.0 and point.tar == 0.5


def test_eer() -> None:
    assert metrics.eer(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 0.0
    assert metrics.eer(np.array([0.1, 0.2]), np.array([0.8, 0.9])) == 1.0
    rng = np.random.default_rng(1)
    genuine, impostor = rng.normal(1, 1, 20000), rng.normal(-1, 1, 20000)
    # Two unit normals two apart cross at Φ(-1).
    assert metrics.eer(genuine, impostor) == pytest.approx(0.1587, abs=0.005)


def test_ten_fold_accuracy() -> None:
    same = np.arange(200) < 100
    assert metrics.ten_fold_right(np.where(same, 0.7, 0.2), same).all()
    # Nine folds say 0.5; the tenth is judged by that, however it looks itself.
    similarity = np.where(same, 0.7, 0.2)
    similarity[90:100] = 0.1
    right = metrics.ten_fold_right(similarity, same)
    assert not right[90:100].any() and right[:90].all()


def test_ten_fold_threshold_is_the_best_of_the_others() -> None:
    rng = np.random.default_rng(3)
    same = rng.random(60) < 0.5
    similarity = np.round(rng.normal(same * 0.5, 0.4), 1)
    cut = metrics.best_threshold(similarity, same)
    best = max(np.mean((similarity >= t) == same) for t in [-9.0, *similarity, 9.0])
    assert np.mean((similarity >= cut) == same) == best


def test_wilson() -> None:
    low, high = metrics.wilson(0, 100)
    assert low == 0.0 and high == pytest.approx(0.0370, abs=1e-4)
    assert metrics.wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert metrics.wilson(0, 0) == (0.0, 1.0)


def test_all_pairs() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    genuine, impostor = metrics.all_pairs(vectors, np.array([7, 7, 8, 8]))
    assert sorted(genuine) == [0.0, 1.0]
    assert len(impostor) == 4
    # Another similarity than the cosine, for instance a learned one.
    genuine, impostor = metrics.all_pairs(vectors, np.array([7, 7, 8, 8]), lambda a, b: -np.abs(a[:, None] - b[None]).sum(axis=2))
    assert sorted(genuine) == [-2.0, 0.0] and set(impostor) == {-2.0}
