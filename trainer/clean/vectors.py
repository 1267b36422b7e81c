"""The vectors of crops, kept in the folder of the findings: a second call embeds only new pictures."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from daemon.edges.files import replacing
from trainer import terminal
from trainer.clean.pairs import Vectors
from trainer.models.whole import Embed
from trainer.people.data import Crops

FILE = "vectors.npz"
AT_ONCE = 2048
"""Crops embedded between two savings: a call that is cut off has not worked in vain."""


def of_crops(crops: Crops, marks: NDArray[np.uint64], bundle: Path, embed: Embed, folder: Path) -> Vectors:
    """The vectors [n, d] of crops with these marks [n], from the folder where they are there already."""
    model = hashlib.sha256(bundle.read_bytes()).hexdigest()
    known = _read(folder / FILE, model)
    lacking = np.flatnonzero([int(mark) not in known for mark in marks])
    lacking = lacking[np.sort(np.unique(marks[lacking], return_index=True)[1])]
    steps = range(0, len(lacking), AT_ONCE)
    for at in track(steps, f"embed {len(lacking):,} crops", console=terminal.console(), transient=True) if len(lacking) else ():
        rows = lacking[at : at + AT_ONCE]
        known |= {int(mark): vector for mark, vector in zip(marks[rows], embed(crops.pixels[rows]), strict=True)}
        with replacing(folder / FILE) as file:
            np.savez(file, model=np.array(model), marks=np.array(list(known), np.uint64), vectors=np.stack(list(known.values())))
    return np.stack([known[int(mark)] for mark in marks])


def _read(path: Path, model: str) -> dict[int, NDArray[np.float32]]:
    """{mark: vector}; empty if there is no such file, or if it is damaged or another model's."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["model"]) == model:
                return dict(zip((int(mark) for mark in file["marks"]), file["vectors"], strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # it can always be made again
    return {}
