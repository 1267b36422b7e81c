"""Made-up people for tests that need no data: each is a pattern, each picture of it moved, lit and grained a little differently."""

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np

from daemon.core.bundle import golden_crop
from trainer.people import data
from trainer.people.data import Crops


def picture(person: int, number: int) -> np.ndarray:
    """uint8 [112, 112, 3] RGB; the same numbers give the same picture."""
    rng = np.random.default_rng((person, number))
    base = golden_crop(1000 + person).astype(np.float32)
    moved = cv2.warpAffine(
        base, np.array([[1, 0, rng.uniform(-3, 3)], [0, 1, rng.uniform(-3, 3)]]), (112, 112), borderMode=cv2.BORDER_REPLICATE
    )
    lit = moved * rng.uniform(0.8, 1.2) + rng.normal(0, 6, moved.shape)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def folder(where: Path, people: int, images: int, first: int = 0) -> Path:
    """A folder per made-up person, PNG crops."""
    for person in range(first, first + people):
        own = where / f"person{person:02d}"
        own.mkdir(parents=True)
        for number in range(images):
            cv2.imwrite(str(own / f"{number}.png"), picture(person, number)[:, :, ::-1])
    return where


def split_of(folder: Path, people: list[str]) -> Path:
    """Half of the people to learn from, a quarter each to choose by and to calibrate on."""
    parts = ["fit", "val", "fit", "calibration"]
    table = folder / "split.csv"
    table.write_text("person,part\n" + "".join(f"{who},{parts[number % 4]}\n" for number, who in enumerate(people)))
    return table


def real(data_dir: Path, part: str, where: Path, count: int | None = None) -> Crops:
    """The crops of the first `count` people of a part of the test data, without those of all others."""
    with (data_dir / "faces/split.csv").open(encoding="utf-8", newline="") as table:
        of = {row["person"]: row["part"] for row in csv.DictReader(table)}
    chosen = set(sorted((who for who in of if of[who] == part), key=lambda who: f"{who}/")[:count])
    with zipfile.ZipFile(data_dir / "faces/train.zip") as source, zipfile.ZipFile(where / f"{part}.zip", "w") as few:
        for name in source.namelist():
            if name.split("/")[0] in chosen:
                few.writestr(name, source.read(name))
    return data.load(where / f"{part}.zip")


def parts_of(people: dict[str, Path]) -> tuple[Crops, Crops]:
    crops = data.load(people["crops"])
    parts = data.split(crops.people, people["split"])
    return crops.of(parts["fit"]), crops.of(parts["val"])


RECIPE = """
name = "tiny"
validations = 10
[network]
size = 32
stem = 8
widths = [16, 24]
blocks = [1, 1]
head = 32
embedding = 16
dropout = 0.0
compute = "float32"
[[stages]]
kind = "identify"
epochs = 10
batch = 16
min_images = 2
rate = 0.01
warm_epochs = 1
ramp_epochs = 2
margin = 0.1
ema = 0.9
[[stages]]
kind = "triplets"
epochs = 2
people = 4
images = 3
min_images = 3
rate = 0.0005
"""

# The same network, without stages.
SHORT = RECIPE.split("[[stages]]")[0].replace("validations = 10", "validations = 3")
