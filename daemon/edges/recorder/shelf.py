"""The tapes of a folder, which has a folder for each gate: naming them, keeping within limits, erasing."""

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from daemon.core.tapes.frames import Began, note_bytes
from daemon.core.tapes.tape import START_BYTES, Bounds, Kept, surplus
from daemon.edges.recorder.tapes import SEALED_BYTES, SUFFIX, TapeWriter

SPARE_BYTES = 256 << 20
"""This much of the disk is left to the store, which closes the gate when it cannot write."""


class Shelf:
    """One folder of tapes. It counts the complete tapes; whoever writes tapes counts those that are being written."""

    def __init__(self, folder: Path, key: bytes, bounds: Bounds, holds: str, spare_bytes: int = SPARE_BYTES) -> None:
        self.folder, self.bounds = folder, bounds
        self._key, self._holds, self._spare_bytes = key, holds, spare_bytes
        self._kept: list[Kept] = []

    @property
    def bytes(self) -> int:
        """The bytes of the complete tapes."""
        return sum(tape.bytes for tape in self._kept)

    def look(self, being_written: set[Path]) -> None:
        """Find the complete tapes: all but those being written. Raises OSError."""
        self._kept = [
            Kept(str(path), seen.st_size, seen.st_mtime)
            for path in tapes_in(self.folder)
            if path not in being_written and (seen := _stat(path)) is not None
        ]

    def make_room(self, written_bytes: int, added_bytes: int, now: float) -> None:
        """Erase the oldest tapes until `written_bytes` (of tapes being written) and `added_bytes` are within the limits.

        Raises OSError where the disk is full.
        """
        for tape in surplus(self._kept, written_bytes + added_bytes, now, self.bounds):
            erase(Path(tape.path))
            self._kept.remove(tape)
        if added_bytes:
            need_room(self.folder, added_bytes, self._spare_bytes)

    def begin(self, gate: str, now: float, at: float) -> TapeWriter:
        """A new tape, named after the time it begins, `now`; `at` is the time of the first item on it. Raises OSError."""
        folder = self.folder / gate
        for each in (self.folder, folder):  # `parents` would not give this mode to the outer folder
            each.mkdir(mode=0o700, exist_ok=True)
        stem = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        tape = TapeWriter(folder / f"{stem}{SUFFIX}", self._key)
        try:
            tape.append(note_bytes(Began(gate, self._holds, at)))
        except OSError:
            tape.abandon()
            with suppress(OSError):
                tape.path.unlink()
            raise
        return tape


def beginning_bytes(gate: str) -> int:
    """The greatest size of a tape without any item: its beginning and its end."""
    return START_BYTES + 2 * SEALED_BYTES + len(gate.encode()) + 256


def need_room(folder: Path, added_bytes: int, spare_bytes: int = SPARE_BYTES) -> None:
    """Raises OSError where the disk would have less than `spare_bytes` left after `added_bytes` more."""
    disk = os.statvfs(folder if folder.exists() else folder.parent)
    if disk.f_bavail * disk.f_frsize < spare_bytes + added_bytes:
        raise OSError(errno.ENOSPC, f"less than {spare_bytes >> 20} MiB of the disk are free, and these are reserved for the store")


def tapes_in(folder: Path) -> list[Path]:
    """The tapes of every gate, by gate and then oldest first."""
    return sorted(folder.glob(f"*/*{SUFFIX}")) if folder.is_dir() else []


def erase(path: Path) -> None:
    """Delete a tape. Its salt is overwritten first: without it, whatever the disk keeps of the rest cannot be read. Raises OSError."""
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.pwrite(file, bytes(min(START_BYTES, os.fstat(file).st_size)), 0)
            os.fdatasync(file)
        finally:
            os.close(file)
        path.unlink()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
