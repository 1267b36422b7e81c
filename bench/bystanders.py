"""Which face of several is the photo's own? What each rule refuses, and how often it takes a bystander.

    python -m bench.bystanders [--yunet YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER] [--scenes N] [--seeds N]

Whole LFW pictures carry the name of one person. A face that is taken is wrong if another face of the picture is nearer to the person's
other crops, and reaches the bundle's threshold (FMR 1e-3) with one of them. In LFW the person is always in the middle, so pictures of two
people are composed too: the person's picture, and beside it a part of somebody else's, seen through a frame as a photographer would hold
it. There it is known whose face was taken. The last row of rules is what `ostiary-train prepare` does.

`behind`: somebody farther away, 0.3 to 0.7 times as large, anywhere. `beside`: 0.7 to 1 times as large, while the person is near the
middle. `together`: 0.8 to 1.25 times as large, and the middle is between the two, so that nobody can tell whose picture it is.
"""

from __future__ import annotations

import argparse
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from daemon.core.faces.align import align
from daemon.core.values import Face, Image
from daemon.edges.detector import Detector, open_detector
from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.models.opened import onnx_embedder
from trainer.models.whole import Embed
from trainer.people.prepare.face import main_face

ROOT = Path(__file__).resolve().parent.parent
FMR = 1e-3
FRAME_PX = (360, 270)
"""The width and height of a composed picture."""

Rule = Callable[[Sequence[Face], tuple[int, int]], Face | None]


def only(faces: Sequence[Face], shape: tuple[int, int]) -> Face | None:
    return faces[0] if len(faces) == 1 else None


def larger_than(share: float) -> Rule:
    """The largest, if every other face has less than this share of its area."""

    def rule(faces: Sequence[Face], shape: tuple[int, int]) -> Face | None:
        return faces[0] if all(face.box.area < share * faces[0].box.area for face in faces[1:]) else None

    return rule


def central(faces: Sequence[Face], shape: tuple[int, int]) -> Face | None:
    return min(faces, key=lambda face: np.hypot(face.box.centre[0] - shape[1] / 2, face.box.centre[1] - shape[0] / 2))


def both(faces: Sequence[Face], shape: tuple[int, int]) -> Face | None:
    found = main_face(faces, shape)
    return found if found is faces[0] and found is central(faces, shape) else None


RULES: dict[str, Rule] = {
    "the only face (`--faces one`)": only,
    "the largest, others < 1/4 (enrolment)": larger_than(0.25),
    "the largest, others < 1/2": larger_than(0.5),
    "the largest": larger_than(np.inf),
    "the most central": central,
    "weight 1.5 times the next": partial(main_face, clearly=1.5),
    "weight 2 times the next": partial(main_face, clearly=2.0),
    "weight 3 times, and largest and most central": both,
    "weight 3 times the next (`--faces main`)": main_face,
}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture BGR of `person`. `centre`: where the middle of the person's own face is, if it was composed, and `reach` how far away a
    face is still the same, in pixels."""

    person: str
    file: str
    image: Image
    centre: tuple[float, float] | None = None
    reach: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser("bench.bystanders")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--yunet", type=Path, help="default: models/yunet.onnx in the data folder")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--scenes", type=int, default=200, help="composed pictures of each kind and seed (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="sets of composed pictures (default: %(default)s)")
    options = parser.parse_args()
    if not (options.data / "frames/lfw_raw.zip").is_file():
        raise SystemExit(f"there are no whole pictures in {options.data}; set OSTIARY_DATA to the data folder")
    console, (embed, card) = Console(highlight=False, width=170), onnx_embedder(options.bundle)
    (threshold,) = [point.threshold for point in card.calibration.fmr if point.fmr == FMR]
    assert threshold is not None, "the bundle has no threshold"
    whole = pictures(options.data / "frames/lfw_raw.zip")
    for name, kind in {"YuNet": str(options.yunet or options.data / "models/yunet.onnx"), "Haar": "haar"}.items():
        detector = open_detector(kind)
        faces = [detector.detect(one.image) for one in whole]
        alone = [Subject(one, found[0]) for one, found in zip(whole, faces, strict=True) if len(found) == 1]
        wrong = compared(whole, faces, references(options.data / "faces/devtest.zip", whole), embed, threshold)
        several = sum(len(found) > 1 for found in faces)
        title = f"{name}: {len(whole)} whole LFW pictures, {several} with several faces; {options.seeds} x {options.scenes} of each scene"
        heads = (f"{kind}: {what} %" for kind in SCENES for what in ("refused", "wrong"))
        table = Table(Column("taken is", no_wrap=True), "LFW: refused", "wrong", *heads)
        table.title, table.title_justify = title, "left"
        sets = {kind: [scenes(alone, kind, options.scenes, seed, detector) for seed in range(options.seeds)] for kind in SCENES}
        for rule, choose in RULES.items():
            picked = [choose(found, one.image.shape[:2]) if found else None for one, found in zip(whole, faces, strict=True)]
            refused = sum(face is None and len(found) > 0 for face, found in zip(picked, faces, strict=True))
            mistaken = sum(bad(one, face) for one, face in zip(wrong, picked, strict=True))
            row = [f"{refused} ({100 * refused / len(whole):.0f} %)", str(mistaken)]
            for kind in SCENES:
                row += spread([judged(choose, one) for one in sets[kind]])
            table.add_row(rule, *row)
        console.print(table)


def pictures(archive: Path) -> list[Picture]:
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".jpg"))
        return [Picture(Path(name).parent.name, Path(name).name, decoded(opened.read(name))) for name in names]


def decoded(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


# ---- whole pictures: whose face it is, by its vector


def references(archive: Path, whole: Sequence[Picture]) -> dict[str, dict[str, Image]]:
    """{person: {file: crop RGB}} of everybody in these pictures."""
    wanted = {one.person for one in whole}
    found: dict[str, dict[str, Image]] = {}
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            person, _, file = name.partition("/")
            if person in wanted and file.endswith(".jpg"):
                found.setdefault(person, {})[file] = np.ascontiguousarray(decoded(opened.read(name))[:, :, ::-1])
    return found


def compared(
    whole: Sequence[Picture], faces: Sequence[list[Face]], crops: dict[str, dict[str, Image]], embed: Embed, threshold: float
) -> list[list[Face]]:
    """For each picture the faces that would be wrong: another one is nearer to a crop of the person, and reaches the threshold."""
    wrong: list[list[Face]] = []
    for one, found in zip(whole, faces, strict=True):
        others = [crop for file, crop in crops.get(one.person, {}).items() if file != one.file]
        if len(found) < 2 or not others:
            wrong.append([])
            continue
        alike = (embed(np.stack([align(one.image, face) for face in found])) @ embed(np.stack(others)).T).max(1)
        best = float(alike.max())
        wrong.append([face for face, similarity in zip(found, alike, strict=True) if best >= threshold and similarity < best])
    return wrong


def bad(wrong: Sequence[Face], face: Face | None) -> bool:
    return any(face is other for other in wrong)


# ---- composed pictures: whose face it is, by where it is


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A picture with one face."""

    picture: Picture
    face: Face


@dataclass(frozen=True, slots=True)
class Scene:
    """`scale`: how large the other face is beside the person's own. `aim`: where the frame's middle is, from the person's face to the
    other's. `aim_off`: the standard deviation of the aim, in widths of the frame."""

    scale: tuple[float, float]
    aim: float
    aim_off: float


SCENES = {"behind": Scene((0.3, 0.7), 0.0, 0.12), "beside": Scene((0.7, 1.0), 0.15, 0.08), "together": Scene((0.8, 1.25), 0.5, 0.05)}

Composed = tuple[list[Face], Picture]


def scenes(alone: Sequence[Subject], kind: str, count: int, seed: int, detector: Detector) -> list[Composed]:
    """Composed pictures in which the detector finds several faces."""
    rng = np.random.default_rng([seed, len(kind), 5])
    found: list[Composed] = []
    for _ in range(20 * count):
        if len(found) == count:
            break
        one, other = (alone[index] for index in rng.choice(len(alone), 2, replace=False))
        if one.picture.person == other.picture.person:
            continue
        made = composed(one, other, SCENES[kind], rng)
        faces = detector.detect(made.image)
        if len(faces) > 1 and any(own(made, face) for face in faces):
            found.append((faces, made))
    return found


def composed(one: Subject, other: Subject, scene: Scene, rng: np.random.Generator) -> Picture:
    """The person's picture and a part of the other's beside it, seen through a frame."""
    width, height = FRAME_PX
    size = rng.uniform(55, 110)  # of the person's own face
    canvas = np.full((3 * height, 3 * width, 3), rng.integers(60, 180, 3), np.uint8)
    x, y = 1.5 * width, 1.5 * height
    ratio = rng.uniform(*scene.scale)
    apart = (size * (0.75 + 0.75 * ratio) + rng.uniform(0, 40)) * rng.choice([-1, 1])
    x2, y2 = x + apart, y + rng.normal(0, 0.25 * size)
    pasted(canvas, other, ratio * size, (x2, y2), 1.15)
    pasted(canvas, one, size, (x, y), 1.35)
    aim = x + scene.aim * apart + rng.normal(0, scene.aim_off) * width, y + rng.normal(0, scene.aim_off) * height
    left, top = round(aim[0] - width / 2), round(aim[1] - height / 2)
    image = np.ascontiguousarray(canvas[top : top + height, left : left + width])
    return Picture(one.picture.person, one.picture.file, image, (x - left, y - top), 0.4 * size)


def pasted(canvas: NDArray[np.uint8], who: Subject, size: float, at: tuple[float, float], room: float) -> None:
    """Put a head, with `room` face sizes on each side of its middle, on the canvas with its face `size` px wide at this place."""
    box, image = who.face.box, who.picture.image
    scale = size / box.side
    (cx, cy), half = box.centre, room * box.side
    left, right = max(0, round(cx - half)), min(image.shape[1], round(cx + half))
    top, bottom = max(0, round(cy - half)), min(image.shape[0], round(cy + half))
    small = cv2.resize(image[top:bottom, left:right], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y = round(at[0] - (cx - left) * scale), round(at[1] - (cy - top) * scale)
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small


def own(picture: Picture, face: Face) -> bool:
    assert picture.centre is not None
    return bool(np.hypot(face.box.centre[0] - picture.centre[0], face.box.centre[1] - picture.centre[1]) <= picture.reach)


def judged(rule: Rule, found: Sequence[Composed]) -> tuple[float, float]:
    """The shares refused and wrong."""
    picked = [(rule(faces, picture.image.shape[:2]), picture) for faces, picture in found]
    refused = [face is None for face, _ in picked]
    wrong = [face is not None and not own(picture, face) for face, picture in picked]
    return float(np.mean(refused)), float(np.mean(wrong))


def spread(shares: Sequence[tuple[float, float]]) -> list[str]:
    """The mean of each in percent, with the smallest and the largest of the sets."""
    return [f"{100 * np.mean(one):.1f} ({100 * min(one):.1f}–{100 * max(one):.1f})" for one in zip(*shares, strict=True)]


if __name__ == "__main__":
    main()
