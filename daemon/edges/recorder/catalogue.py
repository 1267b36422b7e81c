"""The list of the tapes on a shelf."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemon.core.tapes.frames import Began, Ended, frame_head, note_of
from daemon.core.tapes.tape import TapeError
from daemon.edges.recorder.shelf import tapes_in
from daemon.edges.recorder.tapes import Tape

Ending = Literal["whole", "being written", "cut off", "unreadable"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A tape: its times in UTC seconds, how many frames it holds, and how it ends. `why` says why it is unreadable."""

    path: Path
    gate: str
    begins: float
    ends: float
    frames: int
    lost: int | None
    bytes: int
    ending: Ending
    why: str | None = None


def catalogue(folder: Path, key: bytes) -> list[Listed]:
    """Every tape of a shelf, by gate and then oldest first."""
    found = []
    for path in tapes_in(folder):
        try:
            seen = path.stat()
        except FileNotFoundError:  # deleted meanwhile
            continue
        try:
            found.append(_listed(path, key, seen.st_size, seen.st_mtime))
        except TapeError as error:
            found.append(Listed(path, path.parent.name, seen.st_mtime, seen.st_mtime, 0, None, seen.st_size, "unreadable", error.message))
    return found


def _listed(path: Path, key: bytes, size: int, written_at: float) -> Listed:
    tape = Tape(path, key)
    try:
        glance = tape.glance()
    finally:
        tape.close()
    first = note_of(glance.first) if glance.first is not None else None
    if not isinstance(first, Began) or glance.last is None:
        raise TapeError(f"{path}: cut off before its first part", "nothing in it can be read")
    ending: Ending = "whole" if glance.ended else "being written" if glance.being_written else "cut off"
    match note_of(glance.last):
        case Ended(count, lost, at):
            return Listed(path, first.gate, first.at, at, count, lost, size, ending)
        case None if glance.last[:1] == b"F":
            written_at = frame_head(glance.last)[2]
    return Listed(path, first.gate, first.at, written_at, glance.chunks - 1, None, size, ending)
