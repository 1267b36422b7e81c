"""Sequences as a camera gives them, made of real pictures when a bench runs: an office, people who sway in front of it, a sensor's noise,
and JPEG as network cameras send it. Nothing of it is kept: the pictures belong to the data folder."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from daemon.core.values import Image

ROOT = Path(__file__).resolve().parent.parent
FPS = 30
SIZES = ((640, 480), (1280, 720), (1920, 1080))
NOISE, QUALITY = 2.0, 90
GRID = {1: (1, 1, 0.19), 5: (3, 2, 0.14), 20: (6, 4, 0.10)}
"""For that many faces: columns, rows, and the side of a face's box as a share of the picture's height."""
ROOM = 1.1
"""How much a cut-out person shows on each side of the face's centre, in sides of the face's box."""


def data_folder() -> Path:
    """The folder with faces, clips and models. Ends the bench where there is none."""
    folder = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data")
    if not (folder / "frames/lfw_raw.zip").is_file():
        raise SystemExit(f"there is no test data in {folder}; set OSTIARY_DATA to the data folder")
    return folder


@dataclass(frozen=True, slots=True)
class Portrait:
    """A whole picture of one person, as a JPEG file and decoded; the only face in it, as YuNet finds it in the original."""

    person: str
    photo: bytes
    image: Image
    box: tuple[float, float, float, float]
    landmarks: np.ndarray

    @property
    def side(self) -> float:
        return float(np.sqrt(self.box[2] * self.box[3]))

    @property
    def centre(self) -> tuple[float, float]:
        return self.box[0] + self.box[2] / 2, self.box[1] + self.box[3] / 2


@cache
def portraits(everyone: bool = False) -> tuple[Portrait, ...]:
    """The pictures that show exactly one face: one for each person, or all of them."""
    data = data_folder()
    finder = cv2.FaceDetectorYN.create(str(data / "models/yunet.onnx"), "", (250, 250), 0.8, 0.3)
    found: list[Portrait] = []
    with zipfile.ZipFile(data / "frames/lfw_raw.zip") as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".jpg"):
                continue
            person = name.split("/")[-2]
            if not everyone and found and found[-1].person == person:
                continue
            photo = archive.read(name)
            image = np.asarray(cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR), np.uint8)
            finder.setInputSize((image.shape[1], image.shape[0]))
            rows = finder.detect(image)[1]
            if rows is not None and len(rows) == 1:
                x, y, width, height = map(float, rows[0, :4])
                found.append(Portrait(person, photo, image, (x, y, width, height), rows[0, 4:14].reshape(5, 2)))
    return tuple(found)


@cache
def office(width: int, height: int, number: int = 0) -> Image:
    """A background without a face: the frame of that number of a recording whose people are seen from behind. Frame 0 is an empty room."""
    video = cv2.VideoCapture(str(data_folder() / "clips/no-face.mp4"))
    video.set(cv2.CAP_PROP_POS_FRAMES, number)
    there, image = video.read()
    video.release()
    if not there:
        raise SystemExit("clips/no-face.mp4 cannot be read")
    scale = max(width / image.shape[1], height / image.shape[0])
    image = cv2.resize(image, None, fx=scale + 1e-3, fy=scale + 1e-3, interpolation=cv2.INTER_CUBIC)
    return np.asarray(image[:height, :width], np.uint8)


def paste(canvas: Image, portrait: Portrait, centre: tuple[float, float], side: float) -> np.ndarray:
    """Put a person into a picture: the face's box has that side and centre, the edges are soft. Returns where the picture went, [2, 3]."""
    scale = side / portrait.side
    matrix = np.array([[scale, 0, centre[0] - scale * portrait.centre[0]], [0, scale, centre[1] - scale * portrait.centre[1]]])
    half = ROOM * side
    height, width = canvas.shape[:2]
    x, y = max(0, round(centre[0] - half)), max(0, round(centre[1] - half))
    right, bottom = min(width, round(centre[0] + half)), min(height, round(centre[1] + half))
    if right <= x or bottom <= y:
        return matrix
    local = matrix - [[0, 0, x], [0, 0, y]]
    source = portrait.image
    if scale < 0.5:  # so that a small face has no pixels left out
        source = np.asarray(cv2.resize(source, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA), np.uint8)
        k = portrait.image.shape[1] / source.shape[1]
        local = local @ np.array([[k, 0, k / 2 - 0.5], [0, k, k / 2 - 0.5], [0, 0, 1]])
    size = (right - x, bottom - y)
    person = cv2.warpAffine(source, local, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ramps = [np.clip(np.minimum(np.arange(n) + 1, n - np.arange(n)) / max(1, 0.12 * half), 0, 1) for n in size]
    soft = (ramps[1][:, None] * ramps[0][None])[..., None].astype(np.float32)
    canvas[y:bottom, x:right] = (person * soft + canvas[y:bottom, x:right] * (1 - soft)).astype(np.uint8)
    return matrix


@dataclass(frozen=True, slots=True)
class Sequence:
    """A recorded sequence. `people` are those who stand in it."""

    width: int
    height: int
    people: tuple[str, ...]
    jpegs: tuple[bytes, ...]

    def images(self) -> Iterator[Image]:
        for jpeg in self.jpegs:
            yield decoded(jpeg)


def decoded(jpeg: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _noise(width: int, height: int, random: np.random.Generator) -> np.ndarray:
    """A field of a sensor's noise, larger than a picture: each frame shows another part of it."""
    return np.clip(np.rint(random.normal(0, NOISE, (height + 97, width + 97, 3))), -127, 127).astype(np.int16)


def filmed(pictures: Iterator[Image], width: int, height: int, random: np.random.Generator) -> tuple[bytes, ...]:
    """What a camera sends of these pictures: with noise, as JPEG."""
    noise, jpegs = _noise(width, height, random), []
    for picture in pictures:
        x, y = random.integers(0, 97, 2)
        seen = np.clip(picture + noise[y : y + height, x : x + width], 0, 255).astype(np.uint8)
        jpegs.append(cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    return tuple(jpegs)


def sequence(width: int, height: int, people: tuple[Portrait, ...], seconds: float = 3.0, seed: int = 1) -> Sequence:
    """People who stand in an office and sway a little, 0, 1, 5 or 20 of them."""
    random = np.random.default_rng(seed)
    background, count = office(width, height), round(seconds * FPS)
    columns, rows, share = GRID[len(people)] if people else (1, 1, 0.0)
    cells = random.permutation(columns * rows)[: len(people)]
    periods, phases = random.uniform(1.5, 4.0, (len(people), 3)), random.uniform(0, 2 * np.pi, (len(people), 3))

    def pictures() -> Iterator[Image]:
        for number in range(count):
            canvas = background.copy()
            for person, cell, period, phase in zip(people, cells, periods, phases, strict=True):
                sway = np.sin(2 * np.pi * number / FPS / period + phase)
                side = share * height * (1 + 0.03 * sway[2])
                x = (cell % columns + 0.5) * width / columns + 0.10 * side * sway[0]
                y = (cell // columns + 0.5) * height / rows + 0.05 * side * sway[1]
                paste(canvas, person, (x, y), side)
            yield canvas

    return Sequence(width, height, tuple(p.person for p in people), filmed(pictures(), width, height, random))


def nearing(number: int, count: int, height: int) -> float:
    """The side of the face of somebody who walks up to the camera, in a frame of so many."""
    return height * (0.06 + 0.16 * min(1.0, number / (0.6 * count))) * (1 + 0.01 * float(np.sin(number / 4)))


def approach(width: int, height: int, person: Portrait | None, seconds: float, seed: int = 1) -> tuple[bytes, ...]:
    """One person who walks up to the camera and stands there until the last frame; an empty office without one."""
    random = np.random.default_rng(seed)
    background, count, place = office(width, height), round(seconds * FPS), random.uniform(0.4, 0.6)

    def pictures() -> Iterator[Image]:
        for number in range(count):
            canvas = background.copy()
            if person is not None:
                centre = width * (place + 0.01 * np.sin(number / 7)), height * (0.42 + 0.006 * np.sin(number / 3))
                paste(canvas, person, centre, nearing(number, count, height))
            yield canvas

    return filmed(pictures(), width, height, random)
