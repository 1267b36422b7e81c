"""What a number of people allows is said before the work, and is exactly what the work then gives."""

import numpy as np
import pytest

from daemon.core import reach
from daemon.core.bundle import Calibration, Cell, FmrPoint
from trainer.measure import allowance, calibrate, metrics


def vectors(people: int) -> np.ndarray:
    found = np.random.default_rng(people).standard_normal((people, 16)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("people", [2, 8, 29, 30, 31, 60, 99, 100, 299, 300, 301, 319, 340, 1000])
def test_it_is_what_calibrating_then_gives(people: int) -> None:
    table = calibrate.of_vectors(vectors(people), "made up")
    given = {(cell.gallery, cell.fpir) for cell in table.cells if cell.threshold is not None}
    assert allowance.resolvable(people) == given
    assert allowance.strictest_fmr(people) == table.strictest_fmr
    assert table.reach == {fpir: max(gallery for gallery, of in given if of == fpir) for _, fpir in given}


@pytest.mark.parametrize("fpir", calibrate.FPIRS)
def test_the_first_threshold_takes_so_many_people(fpir: float) -> None:
    people = allowance.people_for(fpir)
    assert (1, fpir) in allowance.resolvable(people) and (1, fpir) not in allowance.resolvable(people - 1)


def test_it_is_said_in_a_line() -> None:
    assert allowance.of_calibration(8) == (
        "8 calibration people: no threshold can be had (the first one takes 30 people); a gate with this bundle stays closed"
    )
    sixty = allowance.of_calibration(60)
    assert sixty.startswith("60 calibration people: thresholds at FPIR 10 % for up to 20 templates; for claims down to FMR 1 %; ")
    assert "takes 300 people" in sixty and "stays closed unless decision.target_fpir is 0.1" in sixty and "nobody is verified" in sixty
    many = allowance.of_calibration(1339)
    assert "10 %, 3 % and 1 % for up to 1,000 templates, 0.3 % for up to 200 templates" in many and "closed" not in many
    assert "1 % for up to 1 template;" in allowance.of_calibration(300)


@pytest.mark.parametrize("people", [3, 12, 40])
def test_what_val_people_can_show(people: int) -> None:
    person = np.repeat(np.arange(people), 3)
    line = allowance.of_val(person)
    genuine, impostor = metrics.all_pairs(np.repeat(vectors(people), 3, axis=0), person)
    shown = [fmr for fmr in metrics.FMRS if metrics.at_fmr(genuine, impostor, fmr).threshold is not None]
    assert f"TAR at FMR down to {reach.percent(min(shown))}" in line
    assert ("none at 0.1 %, which takes 1,000 pairs" in line) == (len(impostor) < 1000 and 1e-2 in shown)
    assert ("open-set searches among up to 10" in line) == (people >= 10)


@pytest.mark.parametrize(("person", "says"), [([], "one person"), ([0, 1, 2], "one person"), ([0, 0], "two people")])
def test_val_people_who_can_show_nothing(person: list[int], says: str) -> None:
    assert f"no figure can be had, because there are no pairs of {says}" in allowance.of_val(np.array(person, np.int64))


def test_a_card_without_any_threshold_reaches_nothing() -> None:
    table = Calibration((Cell(1, 0.1, None, 7, 8),), (FmrPoint(0.1, None, 28),), 8, 28)
    assert table.reach == {} and table.strictest_fmr is None
    assert "stays closed" in reach.told(8, "", table.reach, table.strictest_fmr)


def test_a_gate_is_judged_by_its_own_targets() -> None:
    few = {0.1: 20}
    assert "asks for FPIR 1 % and stays closed unless decision.target_fpir is 0.1" in reach.told(60, "calibration", few, 1e-3)
    assert "stays closed" not in reach.told(60, "calibration", few, 1e-3, targets=(0.1, 1e-3))
    assert "claims ask for FMR 0.01 %" in reach.told(60, "calibration", few, 1e-3, targets=(0.1, 1e-4))
