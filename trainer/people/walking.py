"""Every file under a folder, once, through symlinks too, and what cannot be followed or read."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.core.file_names import left_by_a_system

UNREADABLE, NO_TARGET = "it cannot be read", "a link that leads to nothing"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file at `path`; `name` is its path below the folder that was walked, with slashes, as the file system has it.

    `lost` says why something that could be, or hold, a file cannot be read; `useless` why it is nothing to look at. Both are None for a
    regular file.
    """

    path: Path
    name: str
    lost: str | None = None
    useless: str | None = None

    @property
    def parts(self) -> list[str]:
        return self.name.split("/")


def walk(root: Path) -> Iterator[Entry]:
    """Every file below a folder in no order, and every link, pipe and folder that gives no file. A folder that links lead to is walked
    once, under its own name if it is below `root`. Raises OSError if `root` cannot be listed."""
    os.scandir(root).close()
    seen: dict[tuple[int, int], str] = {}
    folders, links = deque([(root, "")]), deque[tuple[Path, str]]()
    while folders or links:
        if folders:
            folder, name = folders.popleft()
        else:
            folder, name = links.popleft()
            if (trouble := _turned_back(folder, name, root, seen)) is not None:
                yield trouble
                continue
        try:
            about = folder.stat()
            seen[about.st_dev, about.st_ino] = name
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Entry(folder, name, lost=f"{UNREADABLE} ({error.strerror})")
            continue
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            found = _entry(Path(entry.path), below, entry.is_symlink())
            if found is not None:
                yield found
            elif entry.is_symlink():
                links.append((Path(entry.path), below))
            else:
                folders.append((Path(entry.path), below))


def _entry(path: Path, name: str, link: bool) -> Entry | None:
    """What is at a path, None for a folder to walk."""
    if left_by_a_system(name.split("/")):
        return None if path.is_dir() and not link else Entry(path, name, useless="left by an operating system")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if link and error.errno == errno.ELOOP:
            return Entry(path, name, useless="a link that leads in a circle")
        if link and error.errno == errno.ENOENT:
            return Entry(path, name, lost=NO_TARGET)
        return Entry(path, name, lost=f"{UNREADABLE} ({error.strerror})")
    if stat.S_ISDIR(mode):
        return None
    return Entry(path, name) if stat.S_ISREG(mode) else Entry(path, name, useless="no file but a pipe, a socket or a device")


def _turned_back(link: Path, name: str, root: Path, seen: dict[tuple[int, int], str]) -> Entry | None:
    """What is said of a link to a folder that leads to where it stands, or to a folder that was walked already."""
    target, here = Path(os.path.realpath(link)), Path(os.path.realpath(link.parent))
    if here.is_relative_to(target) or Path(os.path.realpath(root)).is_relative_to(target):
        return Entry(link, name, useless="a link that leads in a circle")
    try:
        about = link.stat()
    except OSError as error:
        return Entry(link, name, lost=f"{UNREADABLE} ({error.strerror})")
    before = seen.get((about.st_dev, about.st_ino))
    return None if before is None else Entry(link, name, useless=f"a link to {before}, which is here already")
