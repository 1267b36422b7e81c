"""Photos to aligned crops, with the daemon's own detector and alignment, so that the model learns from what the gate will show it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from daemon.core.counts import counted
from daemon.core.faces import visibility
from daemon.core.faces.align import align
from daemon.core.faces.quality import MIN_INSIDE, inside
from daemon.core.faces.visibility import Sees
from daemon.core.faults import Fault
from daemon.core.values import Quality
from daemon.edges.detector import Detector, open_detector
from daemon.edges.visibility import open_visibility
from trainer.people.data import PICTURES

REFUSED = {Quality.NOT_UPRIGHT: "the face is not upright", Quality.COVERED: "the face is covered"}


class PrepareError(Fault):
    """The photos cannot be prepared; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A photo that gives no crop, and why."""

    photo: Path
    reason: str


def prepare(photos: Path, crops: Path, detector: str = "haar") -> list[Refused]:
    """Write a crop (PNG, 112x112) of every photo with exactly one face, which must be whole, upright and not covered. Returns and prints
    the refused photos.

    The folder `crops` appears at the end, complete. If PrepareError is raised, nothing is written.
    """
    console = Console()
    found = sorted(_photos(photos))
    if crops.exists() and (not crops.is_dir() or any(crops.iterdir())):
        raise PrepareError(f"{crops} exists and is not an empty folder", "give a new folder for the crops")
    if not found:
        raise PrepareError(f"{photos} contains no photos", "expected PERSON/photo.jpg: a folder per person")
    machine, sees = open_detector(detector), open_visibility()
    unfinished = crops.with_name(f".{crops.name}.{os.getpid()}")
    refused: list[Refused] = []
    try:
        for photo in track(found, "prepare", console=console):
            crop = crop_of(photo, machine, sees)
            if isinstance(crop, str):
                refused.append(Refused(photo, crop))
                continue
            target = unfinished / photo.relative_to(photos).parent / f"{photo.name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(cv2.imencode(".png", np.ascontiguousarray(crop[:, :, ::-1]))[1].tobytes())
        if len(refused) == len(found):
            why = f"none of the {counted(len(found), 'photo')} gives a crop: {refused[0].reason}"
            raise PrepareError(why, "use photos with one clear face")
        if crops.exists():
            crops.rmdir()
        crops.parent.mkdir(parents=True, exist_ok=True)
        unfinished.replace(crops)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if refused:
        table = Table("refused photo", "reason")
        for item in refused:
            table.add_row(str(item.photo.relative_to(photos)), item.reason)
        console.print(table)
    console.print(f"{counted(len(found) - len(refused), 'crop')} in {crops}, {counted(len(refused), 'photo')} refused")
    return refused


def crop_of(photo: Path, detector: Detector, sees: Sees | None = None) -> NDArray[np.uint8] | str:
    """The crop uint8 [112, 112, 3] RGB of a photo, or the reason why there is none. Only with `sees` a face that is cut off, turned or
    covered is a reason."""
    content = np.fromfile(photo, np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if image is None:
        return "not a picture"
    faces = detector.detect(np.asarray(image, np.uint8))
    if len(faces) != 1:
        return "no face found" if not faces else f"{len(faces)} faces found"
    crop = align(np.asarray(image, np.uint8), faces[0])
    if sees is None:
        return crop
    if not inside(faces[0], (image.shape[0], image.shape[1])) >= MIN_INSIDE:
        return "the face is cut off"
    return REFUSED.get(visibility.judge(sees(crop[None])[0]), crop)


def _photos(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise PrepareError(f"{folder} is not a folder", "give a folder with a folder of photos per person")
    for path in folder.rglob("*"):
        if path.suffix.lower() in PICTURES and path.parent != folder and path.is_file():
            yield path
