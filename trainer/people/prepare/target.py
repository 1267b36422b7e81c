"""The folder for crops: whether it can be used, one call at a time, and its files."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from daemon.core.counts import counted
from daemon.core.values import Image
from daemon.edges import files
from trainer.people.prepare import table
from trainer.people.prepare.errors import PrepareError
from trainer.people.prepare.table import Row

_NOT_THERE_YET = frozenset({"lost+found", f"{table.NAME}.tmp"})
"""What a folder may hold that counts as empty: what a new disk has, and what a call leaves that was killed at its beginning."""
CROP_BYTES = 32_000
"""A PNG file of a crop has 20 to 30 kB."""


def check(photos: Path, crops: Path) -> None:
    """Whether these two folders can be what they are given as; nothing is written. Raises PrepareError."""
    if not photos.is_dir():
        raise PrepareError(f"{photos} is not a folder", "give a folder with a folder of photos per person")
    here, there = Path(os.path.realpath(photos)), Path(os.path.realpath(crops))
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise PrepareError(f"{crops} and {photos} lie in one another", "give a folder for the crops beside the photos")
    if not crops.exists():
        return
    if not crops.is_dir():
        raise PrepareError(f"{crops} is a file", "give a folder for the crops, new or of an earlier call")
    try:
        known = (crops / table.NAME).is_file() or (crops / table.JOURNAL).is_file()
        mine = known or all(entry.name in _NOT_THERE_YET for entry in crops.iterdir())
    except OSError as error:
        raise PrepareError(f"{crops} cannot be read ({error.strerror})", "give a folder that you may read and write") from None
    if not mine:
        said = f"{crops} is not an empty folder, and has no {table.NAME} of an earlier call"
        raise PrepareError(said, "give a new folder for the crops, or one that `prepare` made")


@contextmanager
def held(crops: Path) -> Iterator[bool]:
    """Make the folder if it is not there, and keep other calls out of it; gives whether it is new. Raises PrepareError."""
    try:
        new = not crops.exists()
        crops.mkdir(parents=True, exist_ok=True)
        lock = os.open(crops, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PrepareError(f"{crops}: the folder cannot be made ({error.strerror})", "give a folder that you may write") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PrepareError(f"another `prepare` is writing to {crops}", "wait until it has finished") from None
        yield new
    finally:
        os.close(lock)


def begin(crops: Path, rows: list[Row], photos: int) -> IO[str]:
    """Bring the folder in order for a call with this many photos, and open its journal. Raises PrepareError if it cannot be written, or
    if the disk has not the room."""
    try:
        for left in crops.glob("*/*.png.tmp"):  # of a call that was killed
            left.unlink()
        free, needed = shutil.disk_usage(crops).free, CROP_BYTES * max(0, photos - sum(bool(row.crop) for row in rows))
        if needed > free:
            what = f"the crops of {counted(photos, 'photo')} need about {needed / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free"
            raise PrepareError(f"{crops}: {what}", "make room on the disk, or give a folder on another one")
        table.write(crops, rows)
        return table.open_journal(crops)
    except OSError as error:
        raise unwritten(error.filename or crops, error) from None


def put(crops: Path, name: str, crop: Image) -> None:
    """Write a crop (RGB) as PNG, whole or not at all. Raises PrepareError."""
    path = crops / name
    try:
        path.parent.mkdir(exist_ok=True)
        files.replace(path, cv2.imencode(".png", np.ascontiguousarray(crop[:, :, ::-1]))[1].tobytes())
    except OSError as error:
        with suppress(OSError):
            path.with_name(path.name + ".tmp").unlink()
        raise unwritten(path, error) from None


def remove(crops: Path, name: str) -> None:
    """Delete a crop, and the person's folder if it was the last one. Raises PrepareError."""
    path = crops / name
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritten(path, error) from None
    with suppress(OSError):
        path.parent.rmdir()


def move(crops: Path, name: str, to: str) -> None:
    """Give a crop another name, and delete the person's folder if it was the last one. Raises PrepareError."""
    try:
        (crops / to).parent.mkdir(exist_ok=True)
        (crops / name).replace(crops / to)
    except OSError as error:
        raise unwritten(crops / to, error) from None
    with suppress(OSError):
        (crops / name).parent.rmdir()


def unwritten(path: Path | str, error: OSError) -> PrepareError:
    said = f"{path}: cannot be written ({error.strerror})"
    return PrepareError(said, "the crops so far are kept: mend it, and give the same command again; it goes on where it was")
