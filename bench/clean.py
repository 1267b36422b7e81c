"""What `ostiary-train clean` finds of doubles and wrong labels that were planted among the crops of the test data.

    python -m bench.clean --data ../shared/data/faces --vectors found/

`--vectors` is a folder that `ostiary-train clean $D/train.zip` wrote, or a new one; the vectors of all crops are kept there.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.__main__ import DEFAULT_BUNDLE
from trainer.clean import findings, pairs, suspects, vectors
from trainer.clean.findings import Finding
from trainer.measure import calibrate
from trainer.models.opened import onnx_embedder
from trainer.models.whole import Embed
from trainer.people import data, datasets
from trainer.people.data import Crops

PEOPLE, DOUBLES = 60, 3
SWAPPED = 0.02


def main() -> None:
    """Both experiments, with several seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.zip and split.csv")
    parser.add_argument("--vectors", type=Path, required=True, help="folder for the vectors")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    embed, _ = onnx_embedder(DEFAULT_BUNDLE)
    crops = data.load(options.data / "train.zip")
    options.vectors.mkdir(parents=True, exist_ok=True)
    made = vectors.of_crops(crops, datasets.marks(crops), DEFAULT_BUNDLE, embed, options.vectors)
    parts = data.split(crops.people, options.data / "split.csv")
    for kind in ("copy", "other photo"):
        rows = [doubles(crops, made, parts["calibration" if kind == "copy" else "fit"], kind, embed, seed) for seed in range(options.seeds)]
        table = np.array(rows, np.float64)
        told = [f"{np.median(column):.3f} ({column.min():.3f}-{column.max():.3f})" for column in table[:, :2].T]
        listed, proposed, listed_wrong, proposed_wrong, warned, warned_wrong = table[:, 2:].sum(axis=0).astype(int)
        _say(
            f"three doubles ({kind}) among {PEOPLE} people, {options.seeds} seeds: threshold at N = 20, FPIR 0.1 {told[0]} with, {told[1]} "
            f"without; of {DOUBLES * options.seeds} doubles listed {listed}, proposed {proposed}, warned of {warned}; of strangers' pairs "
            f"listed {listed_wrong}, proposed {proposed_wrong}, warned of {warned_wrong}"
        )
    for seed in range(options.seeds):
        _say(f"labels, seed {seed}: {labels(crops, made, parts['val'], seed)}")


def doubles(crops: Crops, made: NDArray[np.float32], people: Sequence[str], kind: str, embed: Embed, seed: int) -> list[float]:
    """PEOPLE people with a crop each, the last DOUBLES of them the first ones again: [threshold with and without them, doubles listed and
    proposed, strangers listed and proposed, doubles and strangers warned of]."""
    rng = np.random.default_rng(seed)
    own = crops.of(people)
    counts = np.bincount(own.person, minlength=len(people))
    chosen = rng.permutation(np.flatnonzero(counts >= (1 if kind == "copy" else 3)))[: PEOPLE - DOUBLES]
    place = {name: row for row, name in enumerate(crops.names)}
    rows = [[place[own.names[at]] for at in rng.permutation(np.flatnonzero(own.person == who))[:2]] for who in chosen]
    at = np.array([row[0] for row in rows] + [rows[number][0 if kind == "copy" else 1] for number in range(DOUBLES)])
    pixels, vector = crops.pixels[at], made[at]
    if kind == "copy":
        pixels[-DOUBLES:] = [_changed(picture) for picture in pixels[-DOUBLES:]]
        vector[-DOUBLES:] = embed(pixels[-DOUBLES:])
    names = [f"p{number}" for number in range(PEOPLE)]
    few = Crops(pixels, tuple(names), np.arange(PEOPLE), tuple(f"{name}/0" for name in names), "")
    found = [
        item for item in findings.find(few, vector, datasets.marks(few), None).findings if item.kind in ("near-identical", "two names")
    ]
    truth = {frozenset((f"p{number}", f"p{PEOPLE - DOUBLES + number}")) for number in range(DOUBLES)}
    listed, proposed = ({_pair(item) for item in found if item.proposed or every} for every in (True, False))
    warned = {
        frozenset((names[pair.a], names[pair.b]))
        for pair in pairs.of_people(vector, np.arange(PEOPLE), PEOPLE).pairs
        if pair.false_share <= pairs.SURE
    }
    assert bool(warned) == (suspects.warning(vector, names, lambda similarity: calibrate.cells(similarity, 1)) is not None)
    right, wrong = (
        [float(len(which & truth)) for which in (listed, proposed)],
        [float(len(which - truth)) for which in (listed, proposed)],
    )
    return [_threshold(vector), _threshold(vector[:-DOUBLES]), *right, *wrong, float(len(warned & truth)), float(len(warned - truth))]


def labels(crops: Crops, made: NDArray[np.float32], people: Sequence[str], seed: int) -> str:
    """Swap the labels of some crops among these people, and put two people under one name: what is listed and proposed of them, and of
    others that are not so without it."""
    rng = np.random.default_rng(seed)
    own = crops.of(people)
    place = {name: row for row, name in enumerate(crops.names)}
    vector = made[[place[name] for name in own.names]]
    own = dataclasses.replace(own, names=tuple(str(row) for row in range(len(own))))
    before = [_rows(own, vector, every) for every in (True, False)]
    label = own.person.copy()
    some = rng.choice(len(own), round(SWAPPED * len(own)), replace=False)
    label[some] = np.roll(label[some], 1)
    swapped = {int(row) for row in some if label[row] != own.person[row]}
    one, other = rng.choice(len(people), 2, replace=False)
    label[label == other] = one
    merged = {row for row in range(len(own)) if label[row] == one and row not in swapped}
    of_other = {row for row in merged if own.person[row] == other}
    smaller = min(of_other, merged - of_other, key=len)
    after = [_rows(dataclasses.replace(own, person=label), vector, every) for every in (True, False)]
    text = []
    for name, found, known in zip(("listed", "proposed"), after, before, strict=True):
        fresh = len(found - swapped - merged - known)
        text.append(
            f"{name} {len(found & swapped)} of {len(swapped)} swapped, {len(found & smaller)} of {len(smaller)} merged, {fresh} others"
        )
    return "; ".join(text)


def _rows(crops: Crops, vector: NDArray[np.float32], every: bool) -> set[int]:
    found = findings.find(crops, vector, np.arange(len(crops)).astype(np.uint64), None).findings
    return {int(item.a) for item in found if item.kind in ("outlier", "two people") and (item.proposed or every)}


def _pair(item: Finding) -> frozenset[str]:
    return frozenset(name.split("/")[0] for name in (item.a, item.b))


def _threshold(vector: NDArray[np.float32]) -> float:
    table = calibrate.cells(np.asarray(vector @ vector.T, np.float64), 1, galleries=(20,), fpirs=(0.1,))
    assert table[0].threshold is not None
    return table[0].threshold


def _changed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same photo as another program keeps it: a little turned and enlarged, and compressed."""
    matrix = cv2.getRotationMatrix2D((56, 56), 2, 1.02)
    turned = cv2.warpAffine(picture, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR), np.uint8)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
