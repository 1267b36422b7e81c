"""Writing and reading one tape. Its parts are sealed under a key of its own, derived from the box's key for recordings and its salt."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from daemon.core.stream import TAG_BYTES
from daemon.core.tapes.tape import (
    HEAD_BYTES,
    HEADER_BYTES,
    LONGEST,
    SALT_BYTES,
    START_BYTES,
    TapeError,
    head,
    header,
    is_tape,
    length_of,
    salt_of,
)
from daemon.edges.sealing import PartSealer, derived_key

SUFFIX = ".tape"
SEALED_BYTES = HEAD_BYTES + TAG_BYTES
"""How much longer a chunk is on the tape than its content."""


def _sealer(key: bytes, header: bytes, path: Path) -> PartSealer:
    return PartSealer(derived_key(key, b"ostiary tape", salt_of(header, str(path))), header)


class TapeWriter:
    """A new file (mode 0600), which nobody else writes to. When `append` returns, the kernel has the chunk. Raises OSError."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path, self.bytes, self._number, self._failed = path, 0, 0, False
        start = header(secrets.token_bytes(SALT_BYTES))
        self._sealer = _sealer(key, start, path)
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # tells a tape being written from one that was cut off
            self._write(start + self._sealer.proof())
        except OSError:
            os.close(self._file)
            with suppress(OSError):
                path.unlink()
            raise

    @property
    def erased(self) -> bool:
        """Whether somebody has deleted the file: what is written to it now is lost."""
        return os.fstat(self._file).st_nlink == 0

    def append(self, plain: bytes) -> None:
        """Seal one more chunk. After one that failed only the end may follow, so that no two chunks are sealed with one nonce."""
        if self._failed:
            raise OSError(errno.EIO, "an earlier write to the tape failed")
        self._put(plain, last=False)

    def end(self, plain: bytes) -> None:
        """Seal the last chunk. The file is on the disk when this returns."""
        try:
            self._put(plain, last=True)
            os.fsync(self._file)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is: cut off, and readable as far as it was written."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, plain: bytes, *, last: bool) -> None:
        sealed = self._sealer.seal(self._number, plain, last=last)
        self._write(head(self._number, len(sealed)) + sealed)
        self._number += 1

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            self._failed = True
            with suppress(OSError):  # half a chunk would look like a crash
                os.ftruncate(self._file, self.bytes)
                os.lseek(self._file, self.bytes, os.SEEK_SET)
            raise
        self.bytes += len(data)


@dataclass(frozen=True, slots=True)
class Glance:
    """What is known of a tape without reading all of it. `last` is its newest whole chunk, `ended` whether that is the end."""

    first: bytes | None
    last: bytes | None
    chunks: int
    ended: bool
    being_written: bool


class Tape:
    """A tape to read. `ended` is None until all chunks were given, then True, or False for a tape that was cut off."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Raises TapeError for a file that is not a tape, or a tape of another key."""
        self.path = path
        self.ended: bool | None = None
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise TapeError(f"{path}: cannot be read ({error.strerror})", "run this as the daemon's user") from None
        try:
            start = self._read(START_BYTES)
            self._sealer = _sealer(key, start[:HEADER_BYTES], path)
            if not self._sealer.proves(start[HEADER_BYTES:]):
                hint = "recordings open on the box that made them, until its key is changed (`ostiaryd rotate-key`)"
                raise TapeError(f"{path}: sealed with another key", hint)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def chunks(self) -> Iterator[bytes]:
        """Every chunk, each authentic when it is given. Raises TapeError at one that is not what was written."""
        self._file.seek(START_BYTES)
        for number in count():
            length = self._next(number)
            sealed = self._read(length) if length is not None else b""
            if length is None or len(sealed) < length:
                self.ended = False
                return
            plain = self._sealer.open(number, sealed, last=False)
            if plain is not None:
                yield plain
                continue
            plain = self._sealer.open(number, sealed, last=True)
            if plain is None or self._read(1):
                raise self._damaged(number)
            self.ended = True
            yield plain
            return

    def glance(self) -> Glance:
        """The first and the last chunk, without opening those between. Raises TapeError where the tape cannot be followed to its end."""
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(START_BYTES)
        places: list[tuple[int, int]] = []
        while (length := self._next(len(places))) is not None and self._file.tell() + length <= size:
            places.append((self._file.tell(), length))
            self._file.seek(length, os.SEEK_CUR)
        if not places:
            return Glance(None, None, 0, False, self._is_locked())
        first, _ = self._at(0, *places[0])
        last, ended = self._at(len(places) - 1, *places[-1])
        return Glance(first, last, len(places), ended, not ended and self._is_locked())

    def _at(self, number: int, place: int, length: int) -> tuple[bytes, bool]:
        self._file.seek(place)
        sealed = self._read(length)
        for last in (False, True):
            plain = self._sealer.open(number, sealed, last=last)
            if plain is not None:
                return plain, last
        raise self._damaged(number)

    def _next(self, number: int) -> int | None:
        """The length of the next chunk, or None where the tape is cut off. After a power cut the end may be zeros."""
        found = self._read(HEAD_BYTES)
        if len(found) < HEAD_BYTES:
            return None
        length = length_of(number, found)
        if length is None and any(found + self._read(LONGEST)):
            raise self._damaged(number)
        return length

    def _is_locked(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError:
            return True
        return False

    def _read(self, length: int) -> bytes:
        try:
            return self._file.read(length)
        except OSError as error:
            raise TapeError(f"{self.path}: cannot be read ({error.strerror})", "look at the disk") from None

    def _damaged(self, number: int) -> TapeError:
        return TapeError(
            f"{self.path}: damaged: its part {number + 1} is not what was written", "the parts before it can be exported (`--to`)"
        )


def looks_sealed(path: Path) -> bool:
    """Whether a file begins as a tape does."""
    try:
        with path.open("rb") as file:
            return is_tape(file.read(HEADER_BYTES))
    except OSError:
        return False
