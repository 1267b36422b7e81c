"""The card's thresholds: bounds that hold, tables that never fall, cells that admit they do not know."""

import numpy as np
import pytest
from scipy.stats import binom  # type: ignore[import-untyped]  # comes with scikit-learn

from daemon.core.bundle import Calibration
from trainer.measure import calibrate


@pytest.mark.parametrize(("trials", "rate"), [(10, 0.3), (100, 0.1), (298, 0.01), (299, 0.01), (1339, 0.01), (1339, 0.001)])
def test_allowed_errors_is_clopper_pearson(trials: int, rate: float) -> None:
    possible = [errors for errors in range(trials + 1) if binom.cdf(errors, trials, rate) <= calibrate.RISK]
    assert calibrate.allowed_errors(trials, rate) == (max(possible) if possible else None)


def test_three_over_n() -> None:
    assert calibrate.allowed_errors(298, 0.01) is None
    assert calibrate.allowed_errors(299, 0.01) == 0
    assert calibrate.allowed_errors(0, 0.1) is None


@pytest.fixture(scope="module")
def table() -> Calibration:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((400, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return calibrate.of_vectors(vectors, "random vectors")


def test_the_table_never_falls(table: Calibration) -> None:
    for fpir in calibrate.FPIRS:
        column = [cell.threshold for cell in table.cells if cell.fpir == fpir and cell.threshold is not None]
        assert column == sorted(column)
    for gallery in calibrate.GALLERIES:
        row = [cell.threshold for cell in table.cells if cell.gallery == gallery and cell.threshold is not None]
        assert row == sorted(row)


def test_cells_without_enough_strangers_are_null(table: Calibration) -> None:
    assert table.identities == 400 and table.comparisons == 400 * 399 // 2
    for cell in table.cells:
        assert cell.strangers == max(0, 400 - cell.gallery)
        assert (cell.threshold is None) == (calibrate.allowed_errors(cell.strangers, cell.fpir) is None)
    assert table.threshold(500, 0.1) is None
    assert table.threshold(100, 0.1) is not None
    assert [point.threshold is None for point in table.fmr] == [False, False, False, False, True, True]


def test_the_bound_holds_for_new_strangers(table: Calibration) -> None:
    rng = np.random.default_rng(6)
    vectors = rng.standard_normal((5000, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    threshold = table.threshold(50, 0.1)
    assert threshold is not None
    fpir = np.mean((vectors[50:] @ vectors[:50].T).max(axis=1) >= threshold)
    assert 0.02 < fpir <= 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_strangers_whose_similarity_is_no_number_set_no_threshold(bad: float) -> None:
    vectors = np.eye(40, dtype=np.float32)
    vectors[7] = bad
    with np.errstate(invalid="ignore"), pytest.raises(calibrate.CalibrationError, match="of 40 crops are not finite"):
        calibrate.of_vectors(vectors, "broken")
    assert calibrate.fmr_point(np.full(400, bad), 1e-2).threshold is None


def test_more_crops_of_the_same_people_promise_nothing_stricter_but_vary_less() -> None:
    rng = np.random.default_rng(7)
    person = np.repeat(np.arange(60), 4)
    spread: dict[str, list[float]] = {"first": [], "any": []}
    for _ in range(8):
        vectors = rng.standard_normal((60, 16))[person] + 0.5 * rng.standard_normal((240, 16))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        similarity = vectors @ vectors.T
        one = np.arange(0, 240, 4)
        first = calibrate.cells(similarity[np.ix_(one, one)], 1)
        every = calibrate.cells(similarity, 1, person=person)
        assert [cell.threshold is None for cell in first] == [cell.threshold is None for cell in every]
        assert {cell.identities for cell in every} == {60}
        for name, table in (("first", first), ("any", every)):
            spread[name] += [cell.threshold for cell in table if (cell.gallery, cell.fpir) == (20, 0.1) and cell.threshold is not None]
    assert len(spread["any"]) == 8 and np.std(spread["any"]) < np.std(spread["first"])


def test_one_crop_of_each_gives_what_it_always_gave() -> None:
    vectors = np.random.default_rng(8).standard_normal((50, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert calibrate.cells(vectors @ vectors.T, 3) == calibrate.cells(vectors @ vectors.T, 3, person=np.arange(50))


def test_the_first_crops_of_everybody() -> None:
    person = np.array([2, 0, 2, 1, 0, 2, 2])
    assert calibrate.first_rows(person, 1).tolist() == np.sort(np.unique(person, return_index=True)[1]).tolist() == [0, 1, 3]
    assert calibrate.first_rows(person, 2).tolist() == [0, 1, 2, 3, 4]
