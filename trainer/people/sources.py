"""The picture files of a data set: a folder with a folder per person, or a zip of such folders."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.core.faults import first_line
from daemon.core.file_names import left_by_a_system
from trainer.people import walking
from trainer.people.errors import DataError
from trainer.people.names import decoded, one_line
from trainer.people.walking import UNREADABLE

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""What a data set's pictures are called. Photos come in more kinds (`pictures.py`)."""
MAX_BYTES = 64 << 20
HINT = "give a folder with a folder per person, or a zip of such folders"

_UTF8_FLAG, _ENCRYPTED_FLAG, _UNIX = 0x800, 0x1, 3


@dataclass(frozen=True, slots=True)
class Source:
    """`names` of pictures as `person/file`, sorted, and `read` to get the content of the one at an index, which raises DataError.
    `leftovers` are files that an operating system left, `loose` pictures that lie in no folder."""

    names: Sequence[str]
    read: Callable[[int], bytes]
    leftovers: int
    loose: int


@contextmanager
def opened(source: Path) -> Iterator[Source]:
    """The pictures of a folder or zip. Links are followed. Raises DataError."""
    if not (source.is_dir() or source.is_file()):
        raise DataError(f"{source} does not exist", HINT)
    with ExitStack() as stack:
        try:
            found = _folder(source) if source.is_dir() else _zip(source, stack.enter_context(zipfile.ZipFile(source)))
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise DataError(f"cannot read {source}: {first_line(error)}", HINT) from error
        yield found


def _folder(source: Path) -> Source:
    found, leftovers, loose = [], 0, 0
    for entry in walking.walk(source):
        picture = PurePosixPath(entry.name).suffix.lower() in PICTURES
        if left_by_a_system(entry.parts):
            leftovers += picture
        elif entry.lost is not None and (picture or entry.lost.startswith(UNREADABLE)):
            raise DataError(f"cannot read {source}: {one_line(entry.name)}: {entry.lost}", "make it readable, or remove it")
        elif picture and entry.lost is None and entry.useless is None:
            loose += len(entry.parts) == 1
            found += [(decoded(entry.name), entry.path)] if len(entry.parts) > 1 else []
    found.sort(key=lambda item: item[0])

    def read(index: int) -> bytes:
        name, path = found[index]
        try:
            if path.stat().st_size > MAX_BYTES:
                raise _too_large(name, source)
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {source}: {one_line(name)}: {error.strerror}", "make it readable, or remove it") from error

    return Source([name for name, _ in found], read, leftovers, loose)


def _zip(source: Path, archive: zipfile.ZipFile) -> Source:
    found, leftovers, loose = [], 0, 0
    for info in archive.infolist():
        name = PurePosixPath(_named(info).replace("\\", "/"))
        if info.is_dir() or name.suffix.lower() not in PICTURES:
            continue
        if left_by_a_system(name.parts):
            leftovers += 1
        elif len(name.parts) > 1:
            found.append((name.as_posix(), info))
        else:
            loose += 1
    found.sort(key=lambda item: item[0])

    def read(index: int) -> bytes:
        name, info = found[index]
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise DataError(f"{source} is encrypted", "unpack it with its password, and give the folder")
        if info.file_size > MAX_BYTES:
            raise _too_large(name, source)
        try:
            return archive.read(info)
        except NotImplementedError as error:
            said = f"{source} is compressed in a way that cannot be read ({error})"
            raise DataError(said, "unpack it and give the folder, or pack it again with the usual method, deflate") from error
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            raise DataError(f"cannot read {source}: {one_line(name)}: {error}", "the zip is damaged; fetch or pack it again") from error

    return Source([name for name, _ in found], read, leftovers, loose)


def _too_large(name: str, source: Path) -> DataError:
    return DataError(f"{one_line(name)} in {source} has more than {MAX_BYTES >> 20} MB", "remove it: no crop is so large")


def _named(info: zipfile.ZipInfo) -> str:
    """The name of a file in a zip. Python reads a name without the flag for UTF-8 as one of DOS. Many programs set no flag, and Unix has no
    letters of DOS."""
    if info.flag_bits & _UTF8_FLAG or info.filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return decoded(os.fsdecode(raw)) if info.create_system == _UNIX else info.filename
