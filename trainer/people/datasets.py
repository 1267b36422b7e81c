"""The parts of a data set: people to learn from, to choose by, to calibrate and to test on; and the check that no part overlaps another.

People come as a folder or zip with a split. Two sets of drawings have fixed parts: MNIST's digits, whose ten classes are in every part (a
closed set, which says nothing about unseen classes; `data.classes` leaves some of them unseen), and Omniglot's characters.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from trainer.people import data, decisions
from trainer.people.augment import Picture
from trainer.people.data import Crops, DataError
from trainer.recipes.values import Data, Recipe

HINT = "find such pictures with `ostiary-train clean`, and decide about them with --decisions"
VAL_DIGITS = 5_000
DRAWN_PX = 105  # the side of Omniglot's drawings
BOX = 20 / 28  # how much of a picture the ink of an MNIST digit spans
PENS = (0.03, 0.07, 0.11)  # what is added to the thickness of a stroke, as a share of the character's size
VAL_CHARACTERS = 20  # one in this many background characters is for choosing, not for learning


def parts(
    recipe: Recipe, source: Path, split: Path | None, *, decided: Path | None = None, cache: Path | None = None, beside: Path | None = None
) -> dict[str, Crops]:
    """{part: crops} of a data set, after the decisions of a file. People have the parts fit, val and calibration; drawings have fit, val
    and test. `cache`: as for `data.read`. `beside`: Omniglot, whose background characters are learned too. Raises DataError, also if a
    person or a picture is in two parts, or a picture is under two people."""
    what = recipe.data
    if what.kind == "people":
        crops = data.read(source, what.side, recipe.network.channels, resize=False, cache=cache)
        found = by_part(crops, split, decided, what.held_out)
        if what.share < 1:
            found["fit"] = found["fit"].of(some(found["fit"].people, what.share))
    elif cache is not None:
        raise DataError(f"{what.kind} take no cache", "leave out --cache, because they fit into memory")
    elif split is not None:
        raise DataError(f"{what.kind} take no split", "leave out --split, because their parts are fixed")
    elif decided is not None:
        raise DataError(f"{what.kind} take no decisions", "leave out --decisions: they are about people")
    else:
        found = digits(source, what) if what.kind == "digits" else characters(source, what)
    if what.kind != "digits":  # a closed set: its classes are in every part
        apart(found, one_name=what.kind == "people")
    if beside is not None:
        found["fit"] = joined(found["fit"], as_digits(characters(beside, dataclasses.replace(what, side=DRAWN_PX))["fit"], what.side))
    return found


def by_part(crops: Crops, split: Path | None, decided: Path | None = None, held_out: float = data.HELD_OUT) -> dict[str, Crops]:
    """{part: crops} after the decisions of a file; `held_out` as for `data.split`. A merged person is in the part of the name that stays.
    Raises DataError."""
    part_of = {person: part for part, people in data.split(crops.people, split, held_out).items() for person in people}
    after = decisions.applied(crops, decided)
    return {part: after.crops.of([who for who in after.crops.people if part_of[after.origin[who]] == part]) for part in data.PARTS}


def some(people: Sequence[str], share: float) -> list[str]:
    """This share of the people, at least two: those whose names have the smallest hashes, so that a larger share contains a smaller one."""
    ranked = sorted(people, key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen = set(ranked[: max(2, round(share * len(people)))])
    return [name for name in people if name in chosen]


def apart(found: Mapping[str, Crops], one_name: bool = False) -> None:
    """Raises DataError if two parts share a person or a picture; with `one_name` also if a picture is under two people of a part: two
    people who look exactly alike would set the thresholds."""
    owner: dict[str, str] = {}
    seen: dict[bytes, tuple[str, str, int]] = {}
    for part, crops in found.items():
        for person in crops.people:
            if owner.setdefault(person, part) != part:
                raise DataError(f"{person} is in {owner[person]} and in {part}", "give each person one part only")
        for name, who, mark in zip(crops.names, crops.person.tolist(), marks(crops), strict=True):
            before, first, first_who = seen.setdefault(mark.tobytes(), (part, name, who))
            if before != part:
                raise DataError(f"{name} of {part} is the same picture as {first} of {before}", HINT)
            if one_name and first_who != who:
                raise DataError(f"{name} is the same picture as {first}", HINT)


def one_name(crops: Crops) -> None:
    """Raises DataError if the same picture is under two people."""
    apart({"the crops": crops}, one_name=True)


def marks(crops: Crops) -> NDArray[np.uint64]:
    """64 bits of each picture's content: the same picture has the same mark under any name."""
    digests = b"".join(hashlib.blake2b(picture.tobytes(), digest_size=8).digest() for picture in crops.pixels)
    return np.frombuffer(digests, np.uint64)


def digest_of(found: Mapping[str, Crops]) -> str:
    """Who is in which part: a run goes on with these very parts only."""
    who = [f"{part}|{person}" for part, crops in found.items() for person in crops.people]
    return hashlib.sha256("\n".join(who).encode("utf-8", "surrogateescape")).hexdigest()


def digits(source: Path, what: Data) -> dict[str, Crops]:
    """MNIST from mnist.npz, or the word `mnist` for keras.datasets (downloads). The last 5,000 training pictures are val. Fit and val
    have only the digits of `what.classes`; test has all. Raises DataError."""
    arrays = _mnist(source)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    train, label, test, truth = arrays
    learned = list(what.classes or range(10))
    whole = {"train": _digits(train, label, "train", digest), "test": _digits(test, truth, "test", digest)}
    fit, val = (whole["train"].at(np.arange(len(train))[rows]) for rows in (slice(-VAL_DIGITS), slice(-VAL_DIGITS, None)))
    names = [str(digit) for digit in learned]
    return {"fit": fit.of(names), "val": val.of(names), "test": whole["test"]}


def _digits(pixels: NDArray[np.uint8], label: NDArray[np.int64], part: str, digest: str) -> Crops:
    names = tuple(f"{digit}/{part}{index:05d}" for index, digit in enumerate(label))
    return Crops(pixels[:, :, :, None], tuple("0123456789"), label, names, digest)


def _mnist(source: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    try:
        if str(source) == "mnist":
            (train, label), (test, truth) = keras.datasets.mnist.load_data()
        else:
            with source.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                train, label, test, truth = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    except Exception as error:  # a download, a zip file and an array file fail in different ways
        reason = " ".join(str(error).split())
        raise DataError(
            f"cannot read MNIST from {source}: {reason}", "give mnist.npz, or the word `mnist` if it can be downloaded"
        ) from error
    fine = train.ndim == test.ndim == 3 and train.shape[1:] == test.shape[1:] == (28, 28)
    if not fine or len(train) != len(label) or len(test) != len(truth) or len(train) <= VAL_DIGITS:
        raise DataError(f"{source} is not MNIST", "expected x_train, y_train, x_test, y_test with pictures of 28x28")
    return train.astype(np.uint8), label.astype(np.int64), test.astype(np.uint8), truth.astype(np.int64)


def characters(source: Path, what: Data) -> dict[str, Crops]:
    """Omniglot from its folder or zip. Characters of images_background are fit (one in twenty is val), those of images_evaluation are test.
    The ink is white on black. Raises DataError."""
    crops = data.read(source, what.side, 1, resize=True, whole_path=True)
    crops = Crops(255 - crops.pixels, crops.people, crops.person, crops.names, crops.digest)
    background = [person for person in crops.people if "images_background" in person]
    evaluation = [person for person in crops.people if "images_evaluation" in person]
    if not background or len(background) + len(evaluation) != len(crops.people):
        raise DataError(f"{source} is not Omniglot", "expected images_background/ALPHABET/CHARACTER/drawing.png and images_evaluation/...")
    held = _held(background, what.held_alphabets) if what.held_alphabets else background[::VAL_CHARACTERS]
    apart = set(held)
    fit = crops.of([person for person in background if person not in apart])
    return {"fit": turned(fit) if what.rotations else fit, "val": crops.of(held), "test": crops.of(evaluation)}


def alphabet(character: str) -> str:
    """The name of the alphabet of one of Omniglot's characters, whose own name is .../ALPHABET/CHARACTER."""
    return PurePosixPath(character).parent.name


def _held(background: Sequence[str], alphabets: Sequence[str]) -> list[str]:
    """The background characters of these alphabets. Raises DataError."""
    known = dict.fromkeys(alphabet(person) for person in background)
    unknown = [name for name in alphabets if name not in known]
    if unknown:
        raise DataError(f"data.held_alphabets: there is no background alphabet {unknown[0]}", f"the alphabets are {', '.join(known)}")
    return [person for person in background if alphabet(person) in alphabets]


def as_digits(crops: Crops, side: int) -> Crops:
    """Characters as MNIST has its digits: the ink in a box of 20/28 of `side`, its centre of mass in the middle, and as thick. The pen is
    one of three by turns, as people's are."""
    drawn = [_as_digit(drawing[:, :, 0], side, PENS[index % len(PENS)]) for index, drawing in enumerate(crops.pixels)]
    return dataclasses.replace(crops, pixels=np.stack(drawn)[:, :, :, None])


def _as_digit(drawing: Picture, side: int, pen: float) -> Picture:
    box = max(cv2.boundingRect(drawing)[2:])
    if not box:
        return np.zeros((side, side), np.uint8)  # without ink
    more = round(pen * box)
    thick = cv2.dilate(np.pad(drawing, more), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (more + 1, more + 1)))
    step = BOX * side / (box + more)
    # A pixel of the small picture is the mean of many, as MNIST's are of the scans.
    soft = cv2.GaussianBlur(thick, (0, 0), 0.4 / step)
    ink = cv2.moments(soft)
    middle = ink["m10"] / ink["m00"], ink["m01"] / ink["m00"]
    matrix = np.array([[step, 0, (side - 1) / 2 - step * middle[0]], [0, step, (side - 1) / 2 - step * middle[1]]])
    return np.asarray(cv2.warpAffine(soft, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def joined(one: Crops, other: Crops) -> Crops:
    """The people of both, those of `one` first. No name may be in both."""
    digest = hashlib.sha256(f"{one.digest} {other.digest}".encode()).hexdigest()
    person = np.concatenate([one.person, other.person + len(one.people)])
    return Crops(np.concatenate([one.pixels, other.pixels]), one.people + other.people, person, one.names + other.names, digest)


def turned(crops: Crops) -> Crops:
    """Four times the people: a character turned by 0, 90, 180 and 270 degrees counts as four."""
    pixels = np.concatenate([np.rot90(crops.pixels, turn, axes=(1, 2)) for turn in range(4)])
    people = tuple(f"{person}@{90 * turn}" for turn in range(4) for person in crops.people)
    person = np.concatenate([crops.person + turn * len(crops.people) for turn in range(4)])
    names = tuple(f"{name}@{90 * turn}" for turn in range(4) for name in crops.names)
    return Crops(pixels, people, person, names, crops.digest)
