"""Where the quality limits come from: how often a face is recognised, and a stranger taken for somebody, for each measure of quality.

    python -m bench.quality [--bundle FILE.onnx] [--data FOLDER] [--yunet YUNET.onnx] [--crops N] [--measure NAME]

Galleries have 100 val people with one crop each. The other val crops are rightful frames, and the calibration people are strangers. Each
frame is made worse step by step (smaller, softer, darker, brighter, shifted out of the picture), measured as at the gate, and searched for
by itself at the card's threshold. A limit is right if frames below it are of little use or dangerous, and if few undisturbed frames are
lost by it. Yaw and the detector's score cannot be made worse in a picture: for these, the undisturbed frames are sorted (by YuNet's score
on the crop).

For each limit the table shows its effect on all frames of that measure, disturbed or not: how many it sets aside, and, below it and from it
on, how many rightful frames are not recognised (FNIR) and how many strangers are taken for somebody (FPIR).
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from daemon.core.faces import quality
from daemon.core.faces.align import BOX_CENTRE, CROP_PER_BOX, CROP_PX
from daemon.core.values import Face, Image
from daemon.edges.detector import Detector, open_detector
from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.models.opened import onnx_embedder
from trainer.models.whole import Embed
from trainer.people import data, galleries

ROOT = Path(__file__).resolve().parent.parent
SEED = 11
GALLERY, FPIR = 100, 0.1
"""At an FPIR of one tenth there are enough false alarms to see whether a kind of frame has more of them."""
DRAWS = 10
BOX_PX = CROP_PX / CROP_PER_BOX
"""The side of the face's box in a crop."""
AROUND_PX = 56
NOISE = 4.0
"""The noise of a camera, in grey levels (standard deviation)."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


# ---- how a frame is made worse


def smaller(crop: Image, side_px: float) -> Image:
    """The crop that alignment makes of a face whose box is `side_px` pixels wide."""
    side = max(2, round(side_px * CROP_PER_BOX))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def softer(crop: Image, sigma_px: float) -> Image:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma_px), np.uint8)


def moved(crop: Image, length_px: float) -> Image:
    """Sideways motion while the shutter is open."""
    length = int(length_px)
    return np.asarray(cv2.blur(crop, (length, 1)), np.uint8)


def lit(crop: Image, gain: float) -> Image:
    """With this share of the light, and the camera's own noise, which stays the same."""
    noise = np.random.default_rng(round(float(crop.mean()) * 1000)).normal(0, NOISE, crop.shape)
    return np.asarray(np.clip(np.rint(crop * gain + (noise if gain < 1 else 0)), 0, 255), np.uint8)


def shifted(crop: Image, share: float) -> Image:
    """The face's box is shifted out to the left until this share of it is inside; the rest is black."""
    lost = round((1 - share) * BOX_PX)
    start = round(BOX_CENTRE[0] - BOX_PX / 2)
    cut = crop.copy()
    cut[:, : start + lost] = 0
    return cut


# ---- the measures


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of a crop after `worsen` at a step (None: undisturbed), and the limits to examine. `low` says that a lower value is
    worse."""

    name: str
    steps: Sequence[float | None]
    worsen: Callable[[Image, float], Image] | None
    value: Callable[[Image, float | None], float]
    limits: Sequence[float]
    low: bool = True


def _found(crop: Image, detector: Detector) -> Face | None:
    wide = np.pad(crop[:, :, ::-1], ((AROUND_PX, AROUND_PX), (AROUND_PX, AROUND_PX), (0, 0)), mode="edge")
    faces = detector.detect(np.ascontiguousarray(wide))
    return faces[0] if faces else None


def measures(yunet: Path | None) -> Iterator[Measure]:
    sizes = (None, 60.0, 50.0, 40.0, 35.0, 30.0, 25.0, 20.0, 16.0)
    yield Measure("size (px)", sizes, smaller, lambda crop, step: step or BOX_PX, (20, 25, 30, 35, 40, 50, 60))
    blur = (None, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
    sharp = (0.01, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08)
    yield Measure("sharpness, out of focus", blur, softer, lambda crop, step: quality.sharpness(crop), sharp)
    yield Measure("sharpness, moving", (None, 5.0, 9.0, 13.0, 17.0, 23.0), moved, lambda crop, step: quality.sharpness(crop), sharp)
    dark = (None, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.06)
    yield Measure("brightness, dark", dark, lit, lambda crop, step: quality.brightness(crop), (8, 15, 20, 25, 30, 40, 60))
    bright = (None, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0)
    yield Measure("brightness, bright", bright, lit, lambda crop, step: quality.brightness(crop), (200, 210, 220, 230, 240, 250), low=False)
    shares = (None, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
    yield Measure("inside", shares, shifted, lambda crop, step: 1.0 if step is None else step, (0.65, 0.75, 0.825, 0.875, 0.925, 0.975))
    if yunet is None:
        return
    detector = open_detector(str(yunet), 20)

    def yaw(crop: Image, step: float | None) -> float:
        face = _found(crop, detector)
        return float("nan") if face is None else min(quality.yaw(face), 9.0)

    def score(crop: Image, step: float | None) -> float:
        face = _found(crop, detector)
        return float("nan") if face is None else face.score

    yield Measure("yaw", (None,), None, yaw, (0.1, 0.2, 0.3, 0.45, 0.6, 0.8), low=False)
    yield Measure("detector's score", (None,), None, score, (0.75, 0.8, 0.85, 0.9, 0.93))


# ---- errors


@dataclass(frozen=True, slots=True)
class Shown:
    """Frames of one measure: the measured value of each, and whether it went wrong in each draw (NaN if it took no part)."""

    step: Floats
    value: Floats
    wrong: Floats


def searched(embed: Embed, known: NDArray[np.float32], person: NDArray[np.int64], threshold: float, made: Pixels) -> Floats:
    """Whether each rightful frame is not recognised [frames, draws]; NaN if its person is not enrolled, or if the frame itself is
    enrolled."""
    vectors = embed(made)
    wrong = np.full((len(vectors), DRAWS), np.nan)
    for column, draw in enumerate(_draws(person)):
        similarity = vectors[draw.probes] @ known[draw.entries].T
        right = (similarity.argmax(axis=1) == draw.owner) & (similarity.max(axis=1) >= threshold)
        wrong[draw.probes, column] = ~right
    return wrong


def alarmed(embed: Embed, known: NDArray[np.float32], person: NDArray[np.int64], threshold: float, made: Pixels) -> Floats:
    """Whether each stranger's frame is taken for somebody [frames, draws]."""
    vectors = embed(made)
    return np.stack([(vectors @ known[d.entries].T).max(axis=1) >= threshold for d in _draws(person)], axis=1).astype(np.float64)


def _draws(person: NDArray[np.int64]) -> Iterator[galleries.Draw]:
    return (draw for draw, _ in zip(galleries.drawn(person, GALLERY, SEED), range(DRAWS), strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--yunet", type=Path, default=None, help="for yaw and score (default: the one in the data folder)")
    parser.add_argument("--crops", type=int, default=600, help="number of frames of enrolled people, and of strangers (default 600)")
    parser.add_argument("--measure", default="", help="only measures whose name begins with this")
    arguments = parser.parse_args()
    faces = arguments.data / "faces"
    if not (faces / "train.zip").is_file():
        raise SystemExit(f"there are no faces in {arguments.data}; set OSTIARY_DATA to the data folder")
    yunet = arguments.yunet or arguments.data / "models/yunet.onnx"
    embed, card = onnx_embedder(arguments.bundle)
    threshold = card.calibration.threshold(GALLERY, FPIR)
    if threshold is None:
        raise SystemExit(f"the card of {arguments.bundle} has no threshold for {GALLERY} people")
    crops = data.load(faces / "train.zip")
    parts = data.split(crops.people, faces / "split.csv")
    console = Console(highlight=False, width=150)
    console.print(f"{DRAWS} galleries of {GALLERY} val people; threshold {threshold:.3f} of {arguments.bundle.name}")
    for measure in measures(yunet if yunet.is_file() else None):
        if not measure.name.startswith(arguments.measure):
            continue
        val, strangers = crops.of(parts["val"]), crops.of(parts["calibration"])
        if measure.worsen is not None:
            val = _thinned(val, arguments.crops)
            strangers = strangers.at(np.random.default_rng(SEED).permutation(len(strangers))[: arguments.crops])
        known = embed(val.pixels)
        rightful = _shown(measure, val.pixels, partial(searched, embed, known, val.person, threshold))
        false = _shown(measure, strangers.pixels, partial(alarmed, embed, known, val.person, threshold))
        console.print(by_step(measure, rightful, false))
        console.print(by_limit(measure, rightful, false))


def _thinned(crops: data.Crops, count: int) -> data.Crops:
    """About `count` crops, as many as possible of each person, and at least two."""
    rng = np.random.default_rng(SEED)
    each = max(2, count // len(crops.people))
    rows = [rng.permutation(np.flatnonzero(crops.person == who))[:each] for who in range(len(crops.people))]
    return crops.at(np.sort(np.concatenate(rows)))


def _shown(measure: Measure, pixels: Pixels, judge: Callable[[Pixels], Floats]) -> Shown:
    steps, values, wrong = [], [], []
    for step in measure.steps:
        made = pixels if step is None or measure.worsen is None else np.stack([measure.worsen(crop, step) for crop in pixels])
        steps += [np.nan if step is None else step] * len(made)
        values += [measure.value(crop, step) for crop in made]
        wrong.append(judge(made))
    return Shown(np.array(steps), np.array(values), np.concatenate(wrong))


def by_step(measure: Measure, rightful: Shown, false: Shown) -> Table:
    """The effect of each step of disturbance."""
    table = Table("step", "measured, median", "FNIR", "FPIR", title=measure.name, title_justify="left")
    for step in measure.steps:
        one, other = (np.isnan(s.step) if step is None else s.step == step for s in (rightful, false))
        table.add_row(
            "as it is" if step is None else f"{step:g}",
            f"{np.nanmedian(rightful.value[one]):.3g}",
            _rate(rightful.wrong[one]),
            _rate(false.wrong[other]),
        )
    return table


def by_limit(measure: Measure, rightful: Shown, false: Shown) -> Table:
    """What each limit would set aside, and the errors of the frames below it and just above it."""
    table = Table(
        "limit", "set aside, undisturbed", "set aside, all", "FNIR of those", "FNIR up to the next limit", "FNIR of the rest",
        "FPIR of those", "FPIR of the rest", title=f"{measure.name}: limits", title_justify="left",
    )  # fmt: skip
    limits = sorted(measure.limits, reverse=not measure.low)
    for limit, following in zip(limits, [*limits[1:], np.inf if measure.low else -np.inf], strict=True):

        def poor(shown: Shown, at: float = limit) -> NDArray[np.bool_]:
            # A frame without a measured value cannot be judged, so it is set aside.
            return ~(shown.value >= at) if measure.low else ~(shown.value <= at)

        beyond = poor(rightful, following) & ~poor(rightful)
        undisturbed = np.isnan(rightful.step)
        table.add_row(
            f"{limit:g}",
            f"{poor(rightful)[undisturbed].mean():.1%}",
            f"{poor(rightful).mean():.1%}",
            _rate(rightful.wrong[poor(rightful)]),
            _rate(rightful.wrong[beyond]),
            _rate(rightful.wrong[~poor(rightful)]),
            _rate(false.wrong[poor(false)]),
            _rate(false.wrong[~poor(false)]),
        )
    return table


def _rate(wrong: Floats) -> str:
    """The mean over frames and draws, with the number of frames."""
    frames = int((~np.isnan(wrong)).any(axis=1).sum())
    return f"{np.nanmean(wrong):.1%} ({frames})" if frames else "-"


if __name__ == "__main__":
    main()
