"""Crops of people: a folder per person, or a zip of such folders, and the part that each person belongs to.

Three parts are never mixed: *fit* people to learn from, *val* people to choose by, *calibration* people for thresholds. A split
file (`person,part,...`) assigns the people. Without one a hash of the person's name does, so that adding a person moves nobody else.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import cast
from unicodedata import normalize

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.counts import counted, persons
from trainer import terminal
from trainer.people import pixel_map, sources, tables
from trainer.people.errors import DataError
from trainer.people.names import one_line
from trainer.people.sources import PICTURES, Source

__all__ = ["PARTS", "PICTURES", "SIDE_PX", "Crops", "DataError", "load", "merged", "pairs", "read", "resized", "split"]

PARTS = ("fit", "val", "calibration")
SIDE_PX = 112
HELD_OUT = 0.2
"""The share of the people whom a hash of the name keeps for val and calibration."""


@dataclass(frozen=True, slots=True)
class Crops:
    """Aligned crops: `pixels` uint8 [n, side, side, channels], RGB or grey, `people` the names of the people, `person` int64 [n] the index
    of each crop's person, `names` as `person/file` [n]. `digest` is a sha256 over names and file contents.

    `pixels` is an array in memory, or `pixel_map.Rows` of a file, which has an array's indexing, length and shape."""

    pixels: NDArray[np.uint8]
    people: tuple[str, ...]
    person: NDArray[np.int64]
    names: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.names)

    def of(self, people: Sequence[str]) -> Crops:
        """Only the crops of these people, renumbered in the order given."""
        rank = {name: index for index, name in enumerate(people)}
        number = np.array([rank.get(name, -1) for name in self.people], np.int64)[self.person]
        return dataclasses.replace(self.at(np.flatnonzero(number >= 0)), people=tuple(people), person=number[number >= 0])

    def at(self, rows: NDArray[np.int64]) -> Crops:
        """Only these crops, of the same people."""
        names = tuple(self.names[row] for row in rows)
        pixels = cast(NDArray[np.uint8], self.pixels.only(rows)) if isinstance(self.pixels, pixel_map.Rows) else self.pixels[rows]
        return dataclasses.replace(self, pixels=pixels, person=self.person[rows], names=names)

    def with_images(self, least: int) -> Crops:
        """Only people with at least `least` crops."""
        counts = np.bincount(self.person, minlength=len(self.people))
        if (counts >= least).all():
            return self
        return self.of([name for name, count in zip(self.people, counts, strict=True) if count >= least])


def load(source: Path) -> Crops:
    """Read all face crops of a folder or zip into memory (37 KB each). Raises DataError, which names the first bad file."""
    return read(source, SIDE_PX, 3, resize=False)


def read(source: Path, side: int, channels: int, resize: bool, whole_path: bool = False, cache: Path | None = None) -> Crops:
    """Read the pictures of a folder or zip as [n, side, side, channels]; with `resize`, square pictures of another size are
    resized. With `cache` the pixels are not in memory but mapped from a file in that folder, which is made if need be. Raises DataError,
    which names the first bad file.

    A person is a folder, with all folders in it; with `whole_path` every folder that holds pictures is a class of its own, as drawings are
    sorted (ALPHABET/CHARACTER). What is passed over, and folders that are joined, are said on standard error.
    """
    with sources.opened(source) as found:
        if not found.names:
            raise DataError(f"{source} contains no pictures", "expected PERSON/picture.jpg: a folder per person, or a zip of such folders")
        shape = (len(found.names), side, side, channels)
        need = pixel_map.need_memory(shape) if cache is None else None
        if need is not None:
            raise DataError(
                f"{len(found.names):,} crops take {need / 1e9:.0f} GB, and less memory is free",
                "`fit` and `export` with --cache FOLDER read them from a file there instead",
            )

        def picture(index: int, data: bytes) -> NDArray[np.uint8]:
            return _crop(data, f"{one_line(found.names[index])} in {source}", side, channels, resize)

        digest, contents = hashlib.sha256(), []
        pixels = np.empty(shape if cache is None else (0, *shape[1:]), np.uint8)
        for index, name in enumerate(found.names):
            data = found.read(index)
            contents.append(hashlib.sha256(data).digest())
            digest.update(name.encode() + b"\0" + contents[-1])
            if cache is None:
                pixels[index] = picture(index, data)

        def again(index: int) -> NDArray[np.uint8]:
            data = found.read(index)
            if hashlib.sha256(data).digest() != contents[index]:
                raise DataError(f"{one_line(found.names[index])} in {source} changes while it is read", "wait until nobody writes there")
            return picture(index, data)

        if cache is not None:
            made = pixel_map.mapped(cache, digest.hexdigest(), shape, again)
            pixels = cast(NDArray[np.uint8], made)
    owners = [name.rsplit("/", 1)[0] for name in found.names] if whole_path else _persons(found.names)
    number = {name: index for index, name in enumerate(dict.fromkeys(owners))}
    _tell(source, found, len(number), whole_path)
    person = np.array([number[name] for name in owners], np.int64)
    return Crops(pixels, tuple(number), person, tuple(found.names), digest.hexdigest())


def _crop(data: bytes, name: str, side: int, channels: int, resize: bool) -> NDArray[np.uint8]:
    """A picture uint8 [side, side, channels], RGB or grey."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE) if data else None
    except cv2.error as error:
        raise DataError(f"{name} is too large or damaged", "remove it, or make crops with `ostiary-train prepare`") from error
    if image is None:
        raise DataError(f"{name} is not a picture", "remove it, or make crops with `ostiary-train prepare`")
    pixels = np.asarray(image, np.uint8)
    if resize and pixels.shape[0] == pixels.shape[1]:
        pixels = resized(pixels[None], side)[0]
    if pixels.shape[:2] != (side, side):
        raise DataError(
            f"{name} has {pixels.shape[1]}x{pixels.shape[0]} pixels and is not an aligned {side}x{side} crop",
            "make crops from photos with `ostiary-train prepare`",
        )
    return pixels[:, :, ::-1] if channels == 3 else pixels[:, :, None]


def _persons(names: Sequence[str]) -> list[str]:
    """The person of each picture: the first folder of its path that not all pictures have in common (a zip often holds one folder, and
    that one the people)."""
    folders = [name.split("/")[:-1] for name in names]
    common = takewhile(lambda pair: pair[0] == pair[1], zip(min(folders), max(folders), strict=False))
    depth = 1 + len([*common])
    return ["/".join(folder[:depth]) for folder in folders]


def _tell(source: Path, found: Source, people: int, whole_path: bool) -> None:
    told = []
    if found.leftovers:
        told.append(f"{counted(found.leftovers, 'picture')} that an operating system left there passed over")
    if found.loose:
        told.append(f"{counted(found.loose, 'picture')} in no person's folder passed over")
    folders = len({name.rsplit("/", 1)[0] for name in found.names})
    if not whole_path and folders > people:
        told.append(f"{persons(people)} in {counted(folders, 'folder')}: folders in a person's folder are that person's too")
    if told:
        terminal.say(f"{source}: {'; '.join(told)}", stderr=True)


def resized(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize square pictures uint8 [n, any, any] or [n, any, any, 3] to `side`; each pixel is the mean of the area it covers."""
    if pictures.shape[1] == side:
        return pictures
    return np.stack([np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for picture in pictures])


def split(people: Sequence[str], table: Path | None, held_out: float = HELD_OUT) -> dict[str, list[str]]:
    """Assign people to parts: {part: people}, by a table or by a hash of the name; `held_out` is the share of those who are not for fit.
    Raises DataError if somebody is in two parts, or in none."""
    where = _read_split(table) if table is not None else {}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in people:
        part = _hashed_part(name, held_out) if table is None else where.get(normalize("NFC", name))
        if part is None:
            raise DataError(f"{one_line(name)} is not in {table}", "give every person a part: fit, val or calibration")
        parts[part].append(name)
    return parts


def merged(crops: Crops, table: Path) -> Crops:
    """The same crops, with two names merged into one person where a table `a,b` says so: b becomes a. Raises DataError."""
    same = {row["b"]: row["a"] for row in tables.rows(table, ("a", "b"))}
    unknown = [name for pair in same.items() for name in pair if name not in crops.people]
    if unknown:
        raise DataError(f"{unknown[0]} in {table} is not a person of these crops", "give the table that belongs to these crops")
    names = [same.get(name, name) for name in crops.people]
    people = tuple(dict.fromkeys(names))
    number = np.array([people.index(name) for name in names], np.int64)
    return Crops(crops.pixels, people, number[crops.person], crops.names, crops.digest)


def pairs(table: Path) -> tuple[list[str], list[str], NDArray[np.bool_]]:
    """Read a pair protocol `a,b,same`: crop names, crop names, bool [n]. Raises DataError."""
    rows = tables.rows(table, ("a", "b", "same"))
    wrong = [row["same"] for row in rows if row["same"] not in ("0", "1")]
    if wrong:
        raise DataError(f"{table}: the value of same is {wrong[0]!r}", "write 1 for the same person and 0 for two people")
    same = np.array([row["same"] == "1" for row in rows])
    if same.all() or not same.any():
        raise DataError(f"{table} has only one kind of pairs", "add the other kind: rates need pairs of one person and pairs of two people")
    return [row["a"] for row in rows], [row["b"] for row in rows], same


def _read_split(table: Path) -> dict[str, str]:
    where: dict[str, str] = {}
    for row in tables.rows(table, ("person", "part")):
        person, part = row["person"], row["part"]
        if part not in PARTS:
            raise DataError(f"{table}: {person} has the part {part!r}", f"the parts are {', '.join(PARTS)}")
        if (before := where.setdefault(normalize("NFC", person), part)) != part:
            raise DataError(f"{table}: {person} is in {before} and in {part}", "give each person one part only")
    return where


def _hashed_part(person: str, held_out: float) -> str:
    """Half of those held out are for val, half for calibration. Who is held out stays so when the share grows."""
    place = hashlib.sha256(person.encode()).digest()[0]
    return "fit" if place < round(256 * (1 - held_out)) else "val" if place < round(256 * (1 - held_out / 2)) else "calibration"
