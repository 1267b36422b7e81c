"""What a gate's detector and distance cost a model: alignment by the bundled cascade's box, and few pixels, compared with clean crops.

    python -m bench.alignment [--yunet YUNET.onnx] [--bundle FILE.onnx ...] [--on val|devtest] [--data FOLDER]

Whole pictures of people that no model learned from are aligned by landmarks (YuNet), by the cascade's box alone, and by the aligner's
landmarks of this box, and compared as sets of crops. The measured differences of box and landmarks (turn, scale, shift) are then applied to
the crops of `--on`, one drawn for each crop with a fixed seed: these crops are called `boxed`. For `48 px` the whole crop is reduced to
48 x 48 and enlarged again, which makes a face of about 42 px. DevTest is for released bundles, once each; everything is chosen on val.
"""

import argparse
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from daemon.core.bundle import Figure
from daemon.core.faces.align import CROP_PX, align, box_transform, similarity_transform
from daemon.core.values import Face
from daemon.edges.detector import Detector, open_detector
from daemon.edges.detector.aligner import open_aligner
from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.measure import allpairs, evaluate
from trainer.models.opened import onnx_embedder
from trainer.people import data
from trainer.people.data import Crops

ROOT = Path(__file__).resolve().parent.parent
SEED = 1
SMALL_PX = 48
NAMES = ("accuracy", "auc", "eer", "tar@1e-02", *(f"fnir@fpir={fpir},n={size}" for fpir in ("1e-01", "1e-02") for size in (10, 100, 200)))
PairList: TypeAlias = tuple[list[str], list[str], NDArray[np.bool_]]
MIDDLE = np.array([CROP_PX / 2 - 0.5, CROP_PX / 2 - 0.5])


@dataclass(frozen=True, slots=True)
class Twice:
    """The pictures in which both detectors find the face in the middle: crops uint8 [n, 112, 112, 3] by landmarks, by box and by aligner,
    the person of each [n], and the moves float64 [n, 2, 3] from the first crop to the second."""

    landmarks: NDArray[np.uint8]
    boxes: NDArray[np.uint8]
    placed: NDArray[np.uint8]
    person: NDArray[np.int64]
    moves: NDArray[np.float64]
    total: int
    found: int


def middle_face(image: NDArray[np.uint8], detector: Detector) -> Face | None:
    """The face that covers the middle of the picture, as in LFW's pictures."""
    x, y = image.shape[1] / 2, image.shape[0] / 2
    for face in detector.detect(image):
        box = face.box
        if box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height:
            return face
    return None


def align_twice(archive: Path, yunet: str) -> Twice:
    cascade, landmarks, aligner = open_detector("haar", aligner=None), open_detector(yunet, aligner=None), open_aligner()
    people: dict[str, int] = {}
    crops: list[tuple[NDArray[np.uint8], ...]] = []
    moves, person, total, found = [], [], 0, 0
    with zipfile.ZipFile(archive) as pictures:
        for name in sorted(n for n in pictures.namelist() if n.endswith(".jpg")):
            image = np.asarray(cv2.imdecode(np.frombuffer(pictures.read(name), np.uint8), cv2.IMREAD_COLOR), np.uint8)
            by_box, by_landmarks = middle_face(image, cascade), middle_face(image, landmarks)
            total += 1
            found += by_box is not None
            if by_box is None or by_landmarks is None or by_landmarks.landmarks is None:
                continue
            (placed,) = aligner.place(image, [by_box])
            crops.append(tuple(align(image, face) for face in (by_landmarks, by_box, placed)))
            first = np.vstack([similarity_transform(by_landmarks.landmarks), [0, 0, 1]])
            moves.append(box_transform(by_box.box) @ np.linalg.inv(first))
            person.append(people.setdefault(name.rsplit("/", 1)[0], len(people)))
    by = [np.stack(column) for column in zip(*crops, strict=True)]
    return Twice(by[0], by[1], by[2], np.array(person), np.array(moves), total, found)


def moved(crops: NDArray[np.uint8], moves: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Each crop as another alignment would have cut it out, with a move drawn from the measured ones."""
    chosen = moves[np.random.default_rng(SEED).integers(0, len(moves), len(crops))]
    warped = (
        cv2.warpAffine(crop, move, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for crop, move in zip(crops, chosen, strict=True)
    )
    return np.stack([np.asarray(crop, np.uint8) for crop in warped])


def small(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each crop reduced to few pixels and enlarged again."""
    shrunk = (cv2.resize(crop, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA) for crop in crops)
    return np.stack([np.asarray(cv2.resize(crop, (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR), np.uint8) for crop in shrunk])


def geometry(moves: NDArray[np.float64]) -> Table:
    """How the cascade's crops differ from those by landmarks."""
    scale, turn = np.hypot(moves[:, 0, 0], moves[:, 1, 0]), np.degrees(np.arctan2(moves[:, 1, 0], moves[:, 0, 0]))
    shift = moves[:, :, :2] @ MIDDLE + moves[:, :, 2] - MIDDLE
    table = Table("box against landmarks, pixels of the crop", "5 %", "median", "95 %")
    for name, values in (("scale", scale), ("turn, degrees", turn), ("shift right", shift[:, 0]), ("shift down", shift[:, 1])):
        table.add_row(name, *(f"{value:.2f}" for value in np.quantile(values, (0.05, 0.5, 0.95))))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--yunet", help="default: models/yunet.onnx in the data folder")
    parser.add_argument("--bundle", type=Path, action="append")
    parser.add_argument("--on", choices=("val", "devtest"), default="val")
    arguments = parser.parse_args()
    faces = arguments.data / "faces"
    if not (faces / "train.zip").is_file():
        raise SystemExit(f"there are no faces in {arguments.data}; set OSTIARY_DATA to the data folder")
    console = Console(highlight=False)
    twice = align_twice(arguments.data / "frames/lfw_raw.zip", arguments.yunet or str(arguments.data / "models/yunet.onnx"))
    console.print(f"the cascade finds {twice.found} of {twice.total} faces; both find {len(twice.moves)}")
    console.print(geometry(twice.moves))
    crops, pairs = people(faces, arguments.on)
    conditions = {"clean": crops.pixels, "48 px": small(crops.pixels), "boxed": moved(crops.pixels, twice.moves)}
    conditions["boxed, 48 px"] = small(conditions["boxed"])
    whole = Table("whole pictures, all pairs", "aligned by", "AUC", "EER", "TAR@1e-2", "TAR@1e-3")
    tables = []
    for bundle in arguments.bundle or [DEFAULT_BUNDLE]:
        embed, _ = onnx_embedder(bundle)
        for kind, pictures in (("landmarks", twice.landmarks), ("box", twice.boxes), ("aligner", twice.placed)):
            measured = allpairs.measure(embed(pictures), twice.person, fmrs=(1e-2, 1e-3))
            strict = (f"{point.tar:.1%}" for point in measured.operating)
            whole.add_row(bundle.name, kind, f"{measured.auc:.4f}", f"{measured.eer:.1%}", *strict)
        tables.append(
            compared(f"{bundle.name} on {arguments.on}", {kind: measure(embed(seen), crops, pairs) for kind, seen in conditions.items()})
        )
    console.print(whole, *tables)


def people(faces: Path, on: str) -> tuple[Crops, PairList | None]:
    """The crops to measure on, and their pair list, if there is one."""
    if on == "val":
        crops = data.load(faces / "train.zip")
        return crops.of(data.split(crops.people, faces / "split.csv")["val"]), None
    crops = data.merged(data.load(faces / "devtest.zip"), faces / "devtest_same_people.csv")
    return crops, data.pairs(faces / "devtest_pairs.csv")


def measure(vectors: NDArray[np.float32], crops: Crops, pairs: PairList | None) -> dict[str, Figure]:
    """Figures by name, of the pair list or of all pairs, and of open-set search."""
    if pairs is not None:
        figures = evaluate.pair_figures(evaluate.measure_pairs(vectors, crops, pairs), "")
    else:
        figures = evaluate.all_pair_figures(allpairs.measure(vectors, crops.person), "")
    return {figure.name: figure for figure in [*figures, *evaluate.open_set_figures(vectors, crops.person, "")]}


def compared(title: str, figures: dict[str, dict[str, Figure]]) -> Table:
    """A row for each figure, a column for each condition."""
    table = Table(title, *figures)
    for name in (n for n in NAMES if any(n in measured for measured in figures.values())):
        table.add_row(name, *(_cell(measured.get(name)) for measured in figures.values()))
    return table


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "-"
    if figure.name == "auc":
        return f"{figure.value:.4f}"
    interval = f" ({figure.low:.1%} to {figure.high:.1%})" if figure.name == "accuracy" else ""
    return f"{figure.value:.1%}{interval}"


if __name__ == "__main__":
    main()
