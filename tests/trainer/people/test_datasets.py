"""The parts of a data set, and that they are kept apart by code."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.drawings import mnist, omniglot
from tests.trainer import faces
from trainer.people import data, datasets
from trainer.people.data import Crops, DataError
from trainer.recipes import reading
from trainer.recipes.values import Data, Network, Recipe

DIGITS = Recipe(data=Data("digits", 28), network=Network(channels=1))
CHARACTERS = Recipe(data=Data("characters", 28, rotations=True), network=Network(channels=1))


def drawings(people: int, images: int, start: int = 0) -> Crops:
    rng = np.random.default_rng(start)
    pixels = rng.integers(0, 256, (people * images, 8, 8, 1)).astype(np.uint8)
    names = tuple(f"{start + index // images}/{index}" for index in range(people * images))
    return Crops(pixels, tuple(str(start + who) for who in range(people)), np.repeat(np.arange(people), images), names, "")


def test_parts_that_share_nobody_pass() -> None:
    datasets.apart({"fit": drawings(3, 2), "val": drawings(2, 2, 100)})


def test_a_person_on_both_sides_is_an_error() -> None:
    one = drawings(3, 2)
    with pytest.raises(DataError, match="0 is in fit and in val"):
        datasets.apart({"fit": one, "val": dataclasses.replace(drawings(3, 2, 100), people=one.people)})


def test_the_same_picture_under_two_names_is_an_error() -> None:
    one, two = drawings(3, 2), drawings(3, 2, 100)
    two.pixels[4] = one.pixels[1]
    with pytest.raises(DataError, match="102/4 of val is the same picture as 0/1 of fit"):
        datasets.apart({"fit": one, "val": two})


def test_a_share_of_the_people_to_learn_from_is_within_a_larger_share(tmp_path: Path) -> None:
    source = faces.folder(tmp_path / "crops", 40, 1)
    found = {share: datasets.parts(Recipe(data=Data(share=share)), source, None) for share in (0.25, 0.5, 1.0)}
    small, half, whole = (set(found[share]["fit"].people) for share in (0.25, 0.5, 1.0))
    assert small < half < whole and len(small) == round(len(whole) / 4) and len(half) == round(len(whole) / 2)
    assert all(found[share]["val"].people == found[1.0]["val"].people for share in found)
    assert len(found[0.5]["fit"]) == len(half)


def test_digits_leave_some_unseen(tmp_path: Path) -> None:
    parts = datasets.parts(DIGITS, mnist(tmp_path), None)
    assert {part: len(crops) for part, crops in parts.items()} == {"fit": 100, "val": 5000, "test": 30}
    some = dataclasses.replace(DIGITS, data=Data("digits", 28, classes=(0, 1, 2)))
    parts = datasets.parts(some, tmp_path / "mnist.npz", None)
    assert parts["fit"].people == parts["val"].people == ("0", "1", "2") and len(parts["fit"]) == 30
    assert len(parts["test"].people) == 10 and len(parts["test"]) == 30


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged"])
def test_what_is_not_mnist_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataError, match="MNIST"):
        datasets.parts(DIGITS, tmp_path / "mnist.npz", None)
    with pytest.raises(DataError, match="MNIST"):
        datasets.parts(DIGITS, tmp_path / "none.npz", None)


def test_too_small_an_mnist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not MNIST"):
        datasets.parts(DIGITS, mnist(tmp_path, train=50), None)


def test_characters_turned_are_other_characters(tmp_path: Path) -> None:
    parts = datasets.parts(CHARACTERS, omniglot(tmp_path), None)
    assert {part: len(crops.people) for part, crops in parts.items()} == {"fit": 38 * 4, "val": 2, "test": 3}
    fit = parts["fit"]
    assert fit.pixels.shape == (38 * 4 * 2, 28, 28, 1)
    upright, turned = fit.of([fit.people[0]]), fit.of([fit.people[38]])
    assert turned.people[0] == upright.people[0].replace("@0", "@90")
    assert (np.rot90(upright.pixels[0]) == turned.pixels[0]).all()
    # Paper is black: a drawing shifted out of the picture leaves no edge.
    assert upright.pixels.mean() < 128


def test_drawings_have_no_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split"):
        datasets.parts(CHARACTERS, omniglot(tmp_path), tmp_path / "split.csv")
    with pytest.raises(DataError, match="not Omniglot"):
        faces.folder(tmp_path / "people", 2, 1)
        datasets.parts(CHARACTERS, tmp_path / "people", None)


def test_held_alphabets_are_val_and_not_learned(tmp_path: Path) -> None:
    source = omniglot(tmp_path)
    held = dataclasses.replace(CHARACTERS, data=Data("characters", 28, held_alphabets=("Alphabet",)))
    parts = datasets.parts(held, source, None)
    assert len(parts["val"].people) == 40 and len(parts["fit"]) == 0
    assert parts["test"].people == datasets.parts(CHARACTERS, source, None)["test"].people
    wrong = dataclasses.replace(CHARACTERS, data=Data("characters", 28, held_alphabets=("Klingon",)))
    with pytest.raises(DataError, match="no background alphabet Klingon") as caught:
        datasets.parts(wrong, source, None)
    assert "Alphabet" in caught.value.hint


def test_characters_are_learned_beside_digits(tmp_path: Path) -> None:
    what = Data("digits", 28, classes=(0, 1, 2), beside=True)
    parts = datasets.parts(dataclasses.replace(DIGITS, data=what), mnist(tmp_path), None, beside=omniglot(tmp_path))
    alone = datasets.parts(dataclasses.replace(DIGITS, data=what), tmp_path / "mnist.npz", None)
    fit = parts["fit"]
    assert fit.people[:3] == ("0", "1", "2") and len(fit.people) == 3 + 38 and len(fit) == 30 + 38 * 2
    assert fit.digest != alone["fit"].digest and fit.pixels.shape == (len(fit), 28, 28, 1)
    assert np.array_equal(np.unique(fit.person), np.arange(41)) and fit.names[30].startswith(fit.people[fit.person[30]])
    assert all(parts[part].names == alone[part].names for part in ("val", "test"))


def test_a_character_beside_digits_is_as_large_and_thick_and_in_the_middle() -> None:
    pixels = np.zeros((3, 105, 105, 1), np.uint8)
    pixels[:, 5:45, 70:72] = 255  # a thin stroke in a corner, 40 pixels long
    crops = Crops(pixels, ("a",), np.zeros(3, np.int64), ("a/0", "a/1", "a/2"), "x")
    for drawing, pen in zip(datasets.as_digits(crops, 28).pixels[:, :, :, 0].astype(float), datasets.PENS, strict=True):
        rows = np.nonzero(drawing > 100)[0]
        assert 18 <= np.ptp(rows) + 1 <= 21
        assert abs(np.average(np.arange(28), weights=drawing.sum(axis=1)) - 13.5) < 0.5
        assert abs(np.average(np.arange(28), weights=drawing.sum(axis=0)) - 13.5) < 0.5
        assert drawing[14].sum() / 255 == pytest.approx(20 * (2 / 40 + pen), abs=0.9)


@pytest.mark.data
def test_the_real_sets_have_their_known_sizes(data_dir: Path) -> None:
    digits = datasets.parts(DIGITS, data_dir / "mnist" / "mnist.npz", None)
    assert {part: len(crops) for part, crops in digits.items()} == {"fit": 55_000, "val": 5_000, "test": 10_000}
    characters = datasets.parts(dataclasses.replace(CHARACTERS, data=Data("characters", 28)), data_dir / "omniglot" / "images.zip", None)
    assert {part: len(crops.people) for part, crops in characters.items()} == {"fit": 915, "val": 49, "test": 659}
    assert len(characters["test"]) == 13_180


@pytest.mark.data
def test_the_real_people_are_apart(data_dir: Path) -> None:
    """Also from the DevTest people, by name and by picture."""
    folder = data_dir / "faces"
    parts = datasets.parts(reading.parse(""), folder / "train.zip", folder / "split.csv")
    assert {part: len(crops.people) for part, crops in parts.items()} == {"fit": 2865, "val": 100, "calibration": 1339}
    test = data.load(folder / "devtest.zip")
    datasets.apart({**parts, "devtest": dataclasses.replace(test, people=tuple(f"lfw_{person}" for person in test.people))})
