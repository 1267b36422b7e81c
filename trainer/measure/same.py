"""Whether two pictures show the same person, the question of Siamese networks, answered with a bundle and its own threshold.

Distances are squared Euclidean distances between unit vectors, as in FaceNet (Schroff et al. 2015): d² = 2 - 2·similarity. It is 0 for the
same picture, about 2 for two people who have nothing in common, and 4 at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from daemon.core.bundle import Card
from daemon.core.counts import counted, persons
from daemon.core.faces.align import CROP_PX
from daemon.core.faults import Fault
from daemon.edges.detector import Detector, open_detector
from trainer.models.opened import onnx_embedder
from trainer.people.data import PICTURES
from trainer.people.prepare import crop_of

COLUMNS = 5
"""A wider table cannot be read. The people left out are the farthest from all pictures."""


class SameError(Fault):
    """The pictures cannot be compared; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Two pictures compared: `distance` d², `similarity` (cosine), the similarity `threshold` from which two pictures count as the same
    person, and whether these do (`same`)."""

    distance: float
    similarity: float
    threshold: float
    same: bool


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """Pictures compared with one reference picture per person: `distances` d² float64 [pictures, people]; the distance `limit` up to which
    a picture passes; and `nearest`: for every picture the nearest person, or None if that person is farther than the limit."""

    people: tuple[str, ...]
    distances: NDArray[np.float64]
    limit: float
    nearest: tuple[str | None, ...]


def same(model: Path, a: Path, b: Path, detector: str = "haar", fmr: float = 1e-3) -> Answer:
    """Compare two pictures, each an aligned 112x112 crop or a photo of one face, and print the answer.

    `fmr` is the share of pairs of two people that may be called the same, one of the card's. Raises SameError, BundleError, DetectorError.
    """
    embed, card = onnx_embedder(model)
    threshold = _threshold(card, fmr)
    first, second = embed(_crops((a, b), detector)).astype(np.float64)
    similarity = float(first @ second)
    answer = Answer(_squared(similarity), similarity, threshold, similarity >= threshold)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"distance d² {answer.distance:.4f}, threshold {_squared(threshold):.4f}", markup=False)
    console.print(f"similarity  {similarity:.4f}, threshold {threshold:.4f}", markup=False)
    verdict = "show the same person" if answer.same else "cannot be called the same person"
    console.print(f"{a.name} and {b.name} {verdict}; {_rate(fmr)} pairs of two different people passes this threshold.", markup=False)
    return answer


def references(model: Path, pictures: Sequence[Path], folder: Path, detector: str = "haar", fmr: float = 1e-3) -> References:
    """Compare every picture with one reference picture per person, and print the table of distances.

    `folder` holds a picture per person, named after the person, or a folder per person, whose first picture by name is used.
    `fmr` is the rate of one comparison. Raises SameError, BundleError, DetectorError.
    """
    if not pictures:
        raise SameError("no pictures to compare", "give one picture or more")
    embed, card = onnx_embedder(model)
    limit = _squared(_threshold(card, fmr))
    console = Console(soft_wrap=True, highlight=False)
    owned = _owned(folder)
    for person, own in owned.items():
        if len(own) > 1:
            console.print(f"{person}: {own[0].name}, the first of {len(own)} pictures, is the reference", markup=False)
    people = tuple(owned)
    vectors = embed(_crops((*(own[0] for own in owned.values()), *pictures), detector)).astype(np.float64)
    distances = np.maximum(0.0, 2 - 2 * vectors[len(people) :] @ vectors[: len(people)].T)
    nearest = tuple(people[int(row.argmin())] if row.min() <= limit else None for row in distances)
    found = References(people, distances, limit, nearest)
    console.print(_table(found, [picture.name for picture in pictures]), soft_wrap=False)
    console.print(
        f"Smaller is more alike. A distance up to {limit:.4f} passes; so does {_rate(fmr)} pairs of two different people. "
        f"Somebody who is none of these {persons(len(people))} has {counted(len(people), 'chance')}.",
        markup=False,
    )
    return found


def _threshold(card: Card, fmr: float) -> float:
    points = card.calibration.fmr
    point = next((point for point in points if math.isclose(point.fmr, fmr, rel_tol=1e-6)), None)
    if point is None:
        known = ", ".join(f"{point.fmr:g}" for point in points if point.threshold is not None)
        raise SameError(
            f"the card has no threshold for FMR {fmr:g}",
            f"use one that it has: {known}" if known else "calibrate with more people: the card has no thresholds",
        )
    if point.threshold is None:
        raise SameError(
            f"the card's {point.comparisons} comparisons are too few for FMR {fmr:g}",
            "use a higher FMR, or calibrate with more people",
        )
    return point.threshold


def _crops(pictures: Sequence[Path], detector: str) -> NDArray[np.uint8]:
    """Aligned crops uint8 [n, 112, 112, 3] RGB. Pictures that are not crops are detected and aligned. Raises SameError, which names the
    file."""
    machine: Detector | None = None
    crops: list[NDArray[np.uint8]] = []
    for path in pictures:
        image = _picture(path)
        if image.shape[:2] == (CROP_PX, CROP_PX):
            crops.append(image[:, :, ::-1])
            continue
        machine = machine or open_detector(detector)
        crop = crop_of(path, machine)
        if isinstance(crop, str):
            raise SameError(f"{path}: {crop}", f"give a photo of one clear face, or an aligned {CROP_PX}x{CROP_PX} crop")
        crops.append(crop)
    return np.stack(crops)


def _picture(path: Path) -> NDArray[np.uint8]:
    try:
        content = np.fromfile(path, np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    except (OSError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) else "too large, or damaged"
        raise SameError(f"{path} cannot be read: {reason}", "give a JPEG or PNG picture") from error
    if image is None:
        raise SameError(f"{path} is not a picture", "give a JPEG or PNG picture")
    return np.asarray(image, np.uint8)


def _owned(folder: Path) -> dict[str, list[Path]]:
    """The pictures of every person in a folder, by name. Raises SameError."""
    if not folder.is_dir():
        raise SameError(f"{folder} is not a folder", "give a folder with a reference picture per person, named after the person")
    owned: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        person = entry.name if entry.is_dir() else entry.stem
        own = sorted(entry.iterdir()) if entry.is_dir() else [entry]
        own = [path for path in own if path.suffix.lower() in PICTURES and path.is_file()]
        if own and person in owned:
            raise SameError(f"{folder} has {person} twice: {owned[person][0].name} and {entry.name}", "keep one of them")
        if own:
            owned[person] = own
    if not owned:
        raise SameError(f"{folder} contains no pictures", "give a folder with a reference picture per person, named after the person")
    return owned


def _table(found: References, names: Sequence[str]) -> Table:
    """Pictures by people, the nearest of each picture in bold and marked."""
    closest = np.argsort(found.distances.min(axis=0), kind="stable")[:COLUMNS]
    shown = sorted(int(index) for index in closest)
    left_out = len(found.people) - len(shown)
    title = "squared distances to the references" + (f"; {persons(left_out)} farther away left out" if left_out else "")
    table = Table(title=title)
    for heading in ("picture", *(escape(found.people[index]) for index in shown), "nearest"):
        # A name that is cut off with an ellipsis could be anybody's.
        table.add_column(heading, overflow="fold")
    for name, row, who in zip(names, found.distances, found.nearest, strict=True):
        best = int(row.argmin())
        cells = [f"[bold]{row[index]:.3f} *[/bold]" if index == best else f"{row[index]:.3f}" for index in shown]
        table.add_row(escape(name), *cells, f"{escape(found.people[best])} {row[best]:.3f}: {'passes' if who is not None else 'too far'}")
    return table


def _squared(similarity: float) -> float:
    return max(0.0, 2 - 2 * similarity)


def _rate(fmr: float) -> str:
    return f"one in {1 / fmr:,.0f}"
