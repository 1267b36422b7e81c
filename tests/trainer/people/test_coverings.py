"""What is drawn over faces: it covers what it says, and the kinds to learn from are not those to test on."""

import numpy as np
import pytest

from trainer.people import coverings
from trainer.people.coverings import HARMLESS, HIDDEN, LEARNED, OPEN, UNSEEN

FACE = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)


@pytest.mark.parametrize("name", [*LEARNED, *UNSEEN, *HARMLESS])
def test_a_kind_draws_the_same_with_the_same_generator_and_stays_a_picture(name: str) -> None:
    kind = {**LEARNED, **UNSEEN, **HARMLESS}[name]
    for seed in range(20):
        one, two = (kind(np.random.default_rng(seed), FACE) for _ in range(2))
        assert np.array_equal(one.over(FACE), two.over(FACE))
        assert one.opacity.shape == (112, 112) and one.paint.shape == (112, 112, 3)
        assert np.isfinite(one.paint).all() and one.opacity.min() >= 0 and one.opacity.max() <= 1 + 1e-6
        assert one.over(FACE).shape == FACE.shape and one.over(FACE).dtype == np.uint8


@pytest.mark.parametrize("name", [*LEARNED, *UNSEEN])
def test_what_hides_a_face_hides_a_region_in_most_drawings(name: str) -> None:
    kind = {**LEARNED, **UNSEEN}[name]
    most = [kind(np.random.default_rng(seed), FACE).covered.max() for seed in range(60)]
    assert np.mean(np.array(most) >= HIDDEN) > (0.5 if name == "blob" else 0.8)


@pytest.mark.parametrize("name", ["high_cap", "beside", "small_thing"])
def test_what_hides_nothing_leaves_the_regions_open(name: str) -> None:
    most = [HARMLESS[name](np.random.default_rng(seed), FACE).covered.max() for seed in range(60)]
    assert np.mean(np.array(most) <= OPEN) > 0.9


def test_no_kind_is_in_two_families() -> None:
    names = [name for family in (LEARNED, UNSEEN, HARMLESS) for name in family]
    assert len(names) == len(set(names))
    assert np.array_equal(coverings.Layer(np.zeros((112, 112, 3), np.float32), np.zeros((112, 112), np.float32)).over(FACE), FACE)
