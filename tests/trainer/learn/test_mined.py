"""The triplets that are shown are those that a mining gives the loss."""

import numpy as np
import pytest

from trainer.learn import mined, mining
from trainer.recipes import reading
from trainer.recipes.stages import Triplets
from trainer.recipes.values import Recipe


def recipe(**keys: object) -> Recipe:
    return Recipe(stages=(Triplets(**{"people": 4, "images": 3, "margin": 0.2, "soft": False, **keys}),))  # type: ignore[arg-type]


def vectors(count: int = 12) -> np.ndarray:
    raw = np.random.default_rng(3).standard_normal((count, 8)).astype(np.float32)
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("name", list(mining.MININGS))
@pytest.mark.parametrize("squared", [False, True])
def test_places_have_the_distances_of_the_mining(name: str, squared: bool) -> None:
    found = mined.way(recipe(mining=name, squared=squared))
    assert found is not None and found[0] == 0
    person, given = np.repeat(np.arange(4), 3), vectors()
    chosen = mined.triplets(found[1], given, person, 0.5, np.random.default_rng(1))
    apart = np.linalg.norm(given[:, None] - given[None], axis=2).astype(np.float32)
    apart = apart**2 if squared else apart
    positive, negative, usable = (np.asarray(one) for one in mining.MININGS[name](apart, person.astype(np.int32), 0.2, np.float32(0.5)))
    told = sorted(zip(positive[usable > 0].tolist(), negative[usable > 0].tolist(), strict=True))
    assert len(chosen) == len(told) > 0
    assert sorted((one.near, one.far) for one in chosen) == [pytest.approx(pair, abs=1e-3) for pair in told]
    for one in chosen:
        assert person[one.anchor] == person[one.positive] != person[one.negative] and one.anchor != one.positive
        assert (one.near, one.far) == pytest.approx((apart[one.anchor, one.positive], apart[one.anchor, one.negative]), abs=1e-3)
        assert one.kind == mined.kind(one.near, one.far, 0.2)


@pytest.mark.parametrize(("name", "count"), [("random", 4), ("article", 5)])
def test_triplets_that_are_drawn_in_rows(name: str, count: int) -> None:
    found = mined.way(recipe(mining=name, candidates=20, hard=3, random=2))
    assert found is not None
    person = np.repeat(np.arange(4), 5)
    rows = found[1].rows(person, 0)
    chosen = mined.triplets(found[1], vectors(20)[rows], person[rows], 0, np.random.default_rng(1))
    assert len(chosen) == count
    assert all(one.anchor % 3 == 0 and (one.positive, one.negative) == (one.anchor + 1, one.anchor + 2) for one in chosen)
    if name == "article":
        places = np.arange(0, 60, 3)
        every = [float(np.linalg.norm(vectors(20)[rows][at] - vectors(20)[rows][at + 1])) for at in places]
        assert max(every) >= max(one.near for one in chosen)


def test_kinds() -> None:
    assert [mined.kind(0.5, far, 0.2) for far in (0.4, 0.5, 0.6, 0.7, 0.8)] == ["hard", "hard", "semi-hard", "semi-hard", "easy"]
    assert mined.kind(0.5, float("nan"), 0.2) == mined.kind(float("nan"), 0.5, 0.2) == "hard"


def test_which_recipes_have_triplets() -> None:
    of = {name: mined.way(reading.read(reading.find(name))) for name in ("faces", "omniglot-triplet", "omniglot-siamese", "mnist-article")}
    assert of["omniglot-siamese"] is None
    names = {name: (found[0], found[1].mining) for name, found in of.items() if found is not None}
    assert names == {"faces": (1, "batch-hard"), "omniglot-triplet": (0, "batch-hard"), "mnist-article": (0, "article")}
