"""Pixels that are larger than memory: one file of all crops, mapped, of which only what is looked at is read.

The file stands in a cache folder under the digest of the pictures that it was made of. So a later run finds it, and other pictures never
meet an old file. It is put in its place whole: what a killed run left is made again.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.edges.files import part_of, placed

Shape = tuple[int, int, int, int]


class Rows:
    """Some rows of a mapped array, in an order: `rows[3]`, `rows[2:9]` and `rows[array]` read just these, uint8, as an array has them."""

    def __init__(self, whole: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._whole, self._rows = whole, rows
        self.shape, self.dtype, self.ndim = (len(rows), *whole.shape[1:]), whole.dtype, whole.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        return np.asarray(self._whole[self._rows[key]])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    def only(self, rows: NDArray[np.int64]) -> Rows:
        """These of the rows; nothing is read."""
        return Rows(self._whole, self._rows[rows])


def mapped(folder: Path, digest: str, shape: Shape, picture: Callable[[int], NDArray[np.uint8]]) -> Rows:
    """The pixels uint8 [n, side, side, channels] of the data with this digest; `picture` gives one row, and is only called if the folder
    has no file of them yet. Raises FileError if the file cannot be written, and what `picture` raises; no file is left then."""
    path = folder / f"{digest[:32]}-{shape[1]}x{shape[2]}x{shape[3]}.npy"
    whole = _opened(path, shape)
    if whole is None:
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            # Two runs that begin together: the second waits, and finds the file. The system takes a killed run's lock away.
            fcntl.flock(lock, fcntl.LOCK_EX)
            whole = _opened(path, shape)
            if whole is None:
                _write(path, shape, picture)
                whole = np.load(path, mmap_mode="r")
    return Rows(np.asarray(whole), np.arange(shape[0]))


def _write(path: Path, shape: Shape, picture: Callable[[int], NDArray[np.uint8]]) -> None:
    with placed(path, force=True) as file:
        # The room is taken before the work: writing to a map on a full disk would kill the process.
        pixels = np.lib.format.open_memmap(part_of(path), mode="w+", dtype=np.uint8, shape=shape)
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        for index in range(shape[0]):
            pixels[index] = picture(index)
        pixels.flush()


def _opened(path: Path, shape: Shape) -> NDArray[np.uint8] | None:
    """The map of a file, or None if it is not there or not what was written."""
    try:
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return whole if whole.shape == shape and whole.dtype == np.uint8 else None


def need_memory(shape: Shape) -> int | None:
    """How many bytes pixels of this shape take, if that is more than this machine has free; None if they fit, or nobody knows."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    free = next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    need = math.prod(shape)
    return need if free is not None and need > free else None
