"""Reading and writing a run's files: whole or not at all, and every error names the file."""

from __future__ import annotations

import contextlib
import errno
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault, first_line
from daemon.edges.files import replacing

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError)
"""What reading a file that is not whole raises."""


class RunError(Fault):
    """A run folder that cannot be used; `message` and `hint` are one line each."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError within the block as a RunError that names the path."""
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        hint = "make room: `fit` then goes on from its last checkpoint" if full else "give a --run folder that can be written"
        raise RunError(f"cannot write {path}: {error.strerror or error}", hint) from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """A file that is not whole as a RunError that names it."""
    try:
        yield
    except (*DAMAGED, OSError) as error:
        raise RunError(
            f"{path} is damaged or cannot be read: {first_line(error)}",
            "`fit --fresh` begins anew and moves this folder aside; its other files stay as they are",
        ) from error


def save(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write an .npz file in one piece. Raises RunError; what was at the path is then still there."""
    try:
        with writing(path), replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except RunError:
        with contextlib.suppress(OSError):
            path.with_name(path.name + ".tmp").unlink()
        raise


def plain(value: object) -> object:
    """The value with NaN (not resolvable) as null, which JSON knows."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numbers(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Figures that `plain` made ready for JSON, as they were."""
    return {name: math.nan if value is None else value for name, value in figures.items()}
