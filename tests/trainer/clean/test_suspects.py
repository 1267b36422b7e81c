"""What is said before thresholds are made."""

import numpy as np

from tests.trainer.clean.crowd import crowd, unit
from trainer.clean import suspects
from trainer.measure import calibrate

NAMES = [f"p{number}" for number in range(60)]


def said(vectors: np.ndarray) -> str | None:
    return suspects.warning(vectors.astype(np.float32), NAMES, lambda similarity: calibrate.cells(similarity, 1))


def test_strangers_alone_are_not_spoken_of() -> None:
    assert sum(said(crowd([1] * 60, seed).vectors) is not None for seed in range(10)) <= 1


def test_three_doubles_among_sixty_are_told_with_what_they_do() -> None:
    vectors = crowd([1] * 60).vectors
    rng = np.random.default_rng(2)
    for number in range(3):
        vectors[57 + number] = unit(vectors[number] + 0.2 * unit(rng.normal(size=32)))
    text = said(vectors)
    assert text is not None and text.startswith("3 pairs of people look like one person") and "ostiary-train clean" in text
    table = {(cell.gallery, cell.fpir): cell.threshold for cell in calibrate.cells(np.asarray(vectors @ vectors.T, np.float64), 1)}
    rest = vectors[:57]
    less = {(cell.gallery, cell.fpir): cell.threshold for cell in calibrate.cells(np.asarray(rest @ rest.T, np.float64), 1)}
    assert f"N = 20 and FPIR 0.1 is {table[20, 0.1]:.3f} with them and {less[20, 0.1]:.3f} without them" in text


def test_too_few_people_and_damaged_vectors() -> None:
    assert suspects.warning(np.eye(8, dtype=np.float32)[:2], ["a", "b"], lambda similarity: calibrate.cells(similarity, 1)) is None
    assert said(np.full((60, 8), np.nan)) is None
