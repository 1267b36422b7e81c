"""The one writer of files: whole, synchronised and at their place, or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from daemon.core.faults import Fault

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FileError(Fault):
    """A file cannot be written; `message` and `hint` are one line each."""


@contextmanager
def placed(path: Path, force: bool = False) -> Iterator[BinaryIO]:
    """A file (mode 0600) to write within the block; it is at `path`, synchronised, after it. Without `force` nothing is written over.

    When the block raises, nothing is left. Raises FileError for a file that is there and for a disk that fails.
    """
    if not force:
        _need_free(path)
    part = part_of(path)
    try:
        part.unlink(missing_ok=True)  # of an attempt that was cut off
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(part, path, force)
        sync_folder(path.parent)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})", "is its folder there, writable, and the disk not full?") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Where a file that will be `placed` at `path` is written. One that was cut off is left there."""
    return path.with_name(path.name + ".part")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write within the block that takes the place of `path` after it: a reader sees the old or the new one, also after a crash.

    When the block or the disk fails, the old one stays and nothing is left beside it. Raises OSError, which names `path`.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with named(path), temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with named(path):
            temporary.replace(path)
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """An OSError within the block says which file it is about: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def replace(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file, whole. Raises OSError."""
    with replacing(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Without this a power cut can take a name back. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _need_free(path: Path) -> None:
    if os.path.lexists(path):
        raise FileError(f"{path}: there is a file already", "it is not written over: give another name, or --force")


def _name(part: Path, path: Path, force: bool) -> None:
    if not force:
        try:
            os.link(part, path)  # unlike a rename, never over another file
            return
        except FileExistsError:
            _need_free(path)
        except OSError as error:
            if error.errno not in _NO_LINKS:  # a stick with FAT has no links
                raise
            _need_free(path)
    part.replace(path)
