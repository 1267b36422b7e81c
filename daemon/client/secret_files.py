"""Files that only their owner may read: read, made, and exchanged whole."""

import os
import stat
from pathlib import Path

from daemon.client.failures import USAGE, ClientError


def read(path: Path, most: int, hint: str) -> bytes:
    """The first `most` bytes of the file. Raises ClientError with `hint`, and for a file that others may read."""
    try:
        # NONBLOCK: a pipe in its place must not stop the command.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            seen = os.fstat(file)
            content = os.read(file, most) if stat.S_ISREG(seen.st_mode) else b""
        finally:
            os.close(file)
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", hint) from None
    if stat.S_ISREG(seen.st_mode) and seen.st_mode & 0o077:
        message = f"{path} has mode {stat.S_IMODE(seen.st_mode):04o}: others may read the key"
        raise ClientError(USAGE, message, f"`chmod 600 {path}`, and make a new key if somebody may have read this one")
    return content


def make(path: Path, text: str) -> None:
    """A new file. Raises ClientError, and then leaves no file."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ClientError(USAGE, f"{path}: there is a file already", "it is not written over: give another name") from None
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", "give a path in a folder that you may write to") from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ClientError(USAGE, f"{path}: {error.strerror}", "is the disk full?") from None


def exchange(path: Path, text: str) -> None:
    """Another content, complete and on the disk, or the old one. Raises ClientError."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    make(new, text)
    try:
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", "give a path in a folder that you may write to") from None
