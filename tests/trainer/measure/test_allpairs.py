"""All pairs in slices against all pairs at once."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from trainer.measure import allpairs, metrics
from trainer.measure.metrics import Floats


def _clustered(count: int, people: int, noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    person = rng.integers(0, people, count)
    vectors = rng.standard_normal((people, 10))[person] + noise * rng.standard_normal((count, 10))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person


def _rounded(a: Floats, b: Floats) -> Floats:
    # Whatever order the sums are made in, and many ties; both zeros occur.
    return np.asarray(np.round(a @ b.T, 2), np.float32)


@pytest.fixture(params=["one slice", "many slices", "crowded bins"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    size = {"one slice": 8_000_000, "many slices": 5000, "crowded bins": 40}[request.param]
    monkeypatch.setattr(allpairs, "SLICE", size)
    monkeypatch.setattr(allpairs, "PIECE", max(7, size // 9))
    monkeypatch.setattr(allpairs, "BLOCK", 3001)
    yield


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("noise", [0.05, 0.7, 5.0])
def test_counts_are_those_of_all_pairs_at_once(noise: float) -> None:
    vectors, person = _clustered(240, 9, noise)
    fmrs = (1.0, 0.5, 1e-1, 1e-2, 1e-3, 1e-6)
    found = allpairs.measure(vectors, person, _rounded, fmrs)
    genuine, impostor = metrics.all_pairs(vectors, person, _rounded)
    assert (found.pairs, found.genuine, found.impostor) == (240 * 239 // 2, len(genuine), len(impostor))
    assert found.operating[:5] == tuple(metrics.at_fmr(genuine, impostor, fmr) for fmr in fmrs[:5])
    assert found.operating[5].threshold is None
    assert found.eer == metrics.eer(genuine, impostor)
    assert found.auc == pytest.approx(metrics.auc(genuine, impostor), abs=1e-12)
    scores, labels = np.r_[genuine, impostor], np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    assert found.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    for fmr, tar, threshold in found.curve:
        assert fmr == np.mean(impostor >= np.float32(threshold)) and tar == np.mean(genuine >= np.float32(threshold))
    assert (np.diff(found.curve, axis=0)[:, :2] >= 0).all() and found.curve[-1, 0] == 1


def test_without_ties_on_plain_cosine() -> None:
    vectors, person = _clustered(300, 12, 0.7)
    found = allpairs.measure(vectors, person)
    # The same rows in the same order, so that both round alike.
    order = np.argsort(person, kind="stable")
    genuine, impostor = metrics.all_pairs(vectors[order], person[order])
    assert found.operating[:4] == tuple(metrics.at_fmr(genuine, impostor, fmr) for fmr in metrics.FMRS[:4])
    assert [point.threshold for point in found.operating[4:]] == [None, None]
    assert found.eer == metrics.eer(genuine, impostor)


@pytest.mark.usefixtures("cut")
def test_all_the_same_similarity() -> None:
    found = allpairs.measure(np.ones((30, 1), np.float32), np.repeat(np.arange(10), 3), fmrs=(0.5, 1.0))
    # Nobody can be let in without everybody.
    assert found.auc == 0.5 and found.eer == 0.5
    assert (found.operating[0].fmr, found.operating[0].tar) == (0, 0)
    assert (found.operating[1].fmr, found.operating[1].tar) == (1, 1)


def test_order_does_not_matter_and_some_people_may_be_left_out() -> None:
    vectors, person = _clustered(200, 10, 0.7)
    mixed = np.random.default_rng(2).permutation(200)
    assert allpairs.measure(vectors[mixed], person[mixed], _rounded).auc == allpairs.measure(vectors, person, _rounded).auc
    some = np.isin(person, (7, 8, 9))
    genuine, impostor = metrics.all_pairs(vectors[some], person[some], _rounded)
    assert allpairs.measure(vectors[some], person[some], _rounded).auc == pytest.approx(metrics.auc(genuine, impostor))


def test_keys_keep_the_order_of_floats() -> None:
    values = np.array([-np.inf, -2.5, -1e-40, -0.0, 0.0, 1e-40, 0.3, np.nextafter(np.float32(0.3), np.float32(1)), np.inf], np.float32)
    keys = allpairs._keys(values)
    assert (np.diff(keys.astype(np.int64)) > 0).sum() == 7 and keys[3] == keys[4]
    assert np.array_equal(allpairs._values(keys), values)


@pytest.mark.parametrize("collapsed", [False, True])
def test_memory_does_not_grow_with_the_pairs(collapsed: bool) -> None:
    vectors, person = _clustered(3000, 10, 0.7)
    if collapsed:
        # One similarity of all pairs cannot be cut into slices.
        vectors = np.ones((3000, 1), np.float32)
    measured = []
    for count in (1500, 3000):
        tracemalloc.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(allpairs, "SLICE", 200_000)
            patch.setattr(allpairs, "PIECE", 1 << 14)
            patch.setattr(allpairs, "BLOCK", 1 << 15)
            allpairs.measure(vectors[:count], person[:count])
        measured.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Four times the pairs: 18 MB of similarities, were they kept.
    assert measured[1] < 1.2 * measured[0] < 9e6


def test_faults() -> None:
    vectors, person = _clustered(20, 4, 0.5)
    with pytest.raises(allpairs.PairsError, match="no genuine pair"):
        allpairs.measure(vectors, np.arange(20))
    with pytest.raises(allpairs.PairsError, match="no impostor pair"):
        allpairs.measure(vectors, np.zeros(20, np.int64))
    vectors[3, 2] = np.nan
    with pytest.raises(allpairs.PairsError, match="not finite"):
        allpairs.measure(vectors, person)
    rng = np.random.default_rng(1)
    with pytest.raises(allpairs.PairsError, match="other similarities in the second pass"):
        allpairs.measure(np.ones((20, 2)), person, lambda a, b: rng.random((len(a), len(b))), ())


def test_a_similarity_that_changes_is_noticed_in_a_crowded_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allpairs, "SLICE", 10)
    calls = iter([1.0, 0.5])
    with pytest.raises(allpairs.PairsError, match="other similarities in the second pass"):
        allpairs.measure(np.ones((20, 2)), np.repeat(np.arange(10), 2), lambda a, b: np.full((len(a), len(b)), next(calls)))


def test_distances() -> None:
    vectors, person = _clustered(150, 6, 0.7)
    apart = np.linalg.norm(vectors[:, None].astype(np.float64) - vectors[None], axis=-1)
    same = person[:, None] == person[None]
    upper = np.triu(np.ones_like(same), 1)
    found = allpairs.distances(vectors, person)
    assert found.same == pytest.approx(apart[same & upper].mean(), rel=1e-5)
    assert found.other == pytest.approx(apart[~same & upper].mean(), rel=1e-5)
    table = allpairs.distance_table(vectors, person)
    for a in range(6):
        for b in range(6):
            pairs = (person[:, None] == a) & (person[None] == b) & ~np.eye(150, dtype=bool)
            assert table[a, b] == pytest.approx(apart[pairs].mean(), rel=1e-5)
    lonely = allpairs.distance_table(np.eye(2, dtype=np.float32), np.array([4, 9]))
    assert np.isnan(lonely[0, 0]) and lonely[0, 1] == pytest.approx(2**0.5)
    # Vectors a little short would be some way from themselves.
    short = allpairs.distance_table(0.9 * np.eye(4, dtype=np.float32), np.array([1, 1, 2, 2]))
    assert short == pytest.approx(np.full((2, 2), 2**0.5))
