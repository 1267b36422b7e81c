"""Crops of people: a folder per person, or a zip of such folders, and the part that each person belongs to.

Three parts are never mixed: *fit* people to learn from, *val* people to choose by, *calibration* people for thresholds. A split
file (`person,part,...`) assigns the people. Without one a hash of the person's name does, so that adding a person moves nobody else.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault
from trainer.people import pixel_map

PARTS = ("fit", "val", "calibration")
SIDE_PX = 112
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class DataError(Fault):
    """The data cannot be used; `message` and `hint` are one line each."""


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


def read(source: Path, side: int, channels: int, resize: bool, cache: Path | None = None) -> Crops:
    """Read the pictures of a folder or zip as [n, side, side, channels]; with `resize`, square pictures of another size are
    resized. With `cache` the pixels are not in memory but mapped from a file in that folder, which is made if need be. Raises DataError,
    which names the first bad file."""
    files = sorted(_files(source), key=lambda item: item[0])
    if not files:
        raise DataError(f"{source} contains no pictures", "expected PERSON/picture.jpg: a folder per person, or a zip of such folders")
    shape = (len(files), side, side, channels)
    need = pixel_map.need_memory(shape) if cache is None else None
    if need is not None:
        raise DataError(
            f"{len(files):,} crops take {need / 1e9:.0f} GB, and less memory is free",
            "`fit` and `export` with --cache FOLDER read them from a file there instead",
        )
    mode = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE

    def picture(index: int) -> NDArray[np.uint8]:
        name, data = files[index]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if data else None
        if image is None:
            raise DataError(f"{name} in {source} is not a picture", "remove it, or make crops with `ostiary-train prepare`")
        if resize and image.shape[0] == image.shape[1]:
            image = resized(np.asarray(image[None], np.uint8), side)[0]
        if image.shape[:2] != (side, side):
            raise DataError(
                f"{name} has {image.shape[1]}x{image.shape[0]} pixels and is not an aligned {side}x{side} crop",
                "make crops from photos with `ostiary-train prepare`",
            )
        return np.asarray(image[:, :, ::-1] if channels == 3 else image[:, :, None], np.uint8)

    digest = hashlib.sha256()
    people: dict[str, int] = {}
    person = np.empty(len(files), np.int64)
    for index, (name, data) in enumerate(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        person[index] = people.setdefault(name.rsplit("/", 1)[0], len(people))
    if cache is not None:
        pixels = cast(NDArray[np.uint8], pixel_map.mapped(cache, digest.hexdigest(), shape, picture))
    else:
        pixels = np.empty(shape, np.uint8)
        for index in range(len(files)):
            pixels[index] = picture(index)
    return Crops(pixels, tuple(people), person, tuple(name for name, _ in files), digest.hexdigest())


def resized(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize square pictures uint8 [n, any, any] or [n, any, any, 3] to `side`; each pixel is the mean of the area it covers."""
    if pictures.shape[1] == side:
        return pictures
    return np.stack([np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for picture in pictures])


def split(people: Sequence[str], table: Path | None) -> dict[str, list[str]]:
    """Assign people to parts: {part: people}. Raises DataError if somebody is in two parts, or in none."""
    where = _read_split(table) if table is not None else {name: _hashed_part(name) for name in people}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in people:
        part = where.get(name)
        if part is None:
            raise DataError(f"{name} is not in {table}", "give every person a part: fit, val or calibration")
        parts[part].append(name)
    return parts


def merged(crops: Crops, table: Path) -> Crops:
    """The same crops, with two names merged into one person where a table `a,b` says so: b becomes a. Raises DataError."""
    same = {row["b"]: row["a"] for row in _rows(table, ("a", "b"))}
    unknown = [name for pair in same.items() for name in pair if name not in crops.people]
    if unknown:
        raise DataError(f"{unknown[0]} in {table} is not a person of these crops", "give the table that belongs to these crops")
    names = [same.get(name, name) for name in crops.people]
    people = tuple(dict.fromkeys(names))
    number = np.array([people.index(name) for name in names], np.int64)
    return Crops(crops.pixels, people, number[crops.person], crops.names, crops.digest)


def pairs(table: Path) -> tuple[list[str], list[str], NDArray[np.bool_]]:
    """Read a pair protocol `a,b,same`: crop names, crop names, bool [n]. Raises DataError."""
    rows = _rows(table, ("a", "b", "same"))
    wrong = [row["same"] for row in rows if row["same"] not in ("0", "1")]
    if wrong:
        raise DataError(f"{table}: the value of same is {wrong[0]!r}", "write 1 for the same person and 0 for two people")
    same = np.array([row["same"] == "1" for row in rows])
    if same.all() or not same.any():
        raise DataError(f"{table} has only one kind of pairs", "add the other kind: rates need pairs of one person and pairs of two people")
    return [row["a"] for row in rows], [row["b"] for row in rows], same


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """(`person/file`, content) of every picture; deeper folders count as part of the person's name."""
    try:
        if source.is_dir():
            for path in source.rglob("*"):
                if path.suffix.lower() in PICTURES and path.parent != source and path.is_file():
                    yield path.relative_to(source).as_posix(), path.read_bytes()
        elif source.is_file():
            with zipfile.ZipFile(source) as archive:
                for info in archive.infolist():
                    name = PurePosixPath(info.filename)
                    if not info.is_dir() and name.suffix.lower() in PICTURES and len(name.parts) > 1:
                        yield name.as_posix(), archive.read(info)
        else:
            raise DataError(f"{source} does not exist", "give a folder with a folder per person, or a zip of such folders")
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {source}: {error}", "give a folder with a folder per person, or a zip of such folders") from error


def _rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise DataError(f"{table} lacks one of the columns {', '.join(columns)}", "name the columns in the first line")
            return [dict(row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table}: {error}", f"expected a CSV file with the columns {', '.join(columns)}") from error


def _read_split(table: Path) -> dict[str, str]:
    where: dict[str, str] = {}
    for row in _rows(table, ("person", "part")):
        person, part = row["person"], row["part"]
        if part not in PARTS:
            raise DataError(f"{table}: {person} has the part {part!r}", f"the parts are {', '.join(PARTS)}")
        if where.setdefault(person, part) != part:
            raise DataError(f"{table}: {person} is in {where[person]} and in {part}", "give each person one part only")
    return where


def _hashed_part(person: str) -> str:
    """80 % fit, 10 % val, 10 % calibration, by a hash of the name."""
    place = hashlib.sha256(person.encode()).digest()[0]
    return "fit" if place < 205 else "val" if place < 230 else "calibration"
