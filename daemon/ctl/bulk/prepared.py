"""Rows to what is sent: the pictures of each person read, converted and shrunk, some people ahead of the gate."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from daemon.client.failures import ClientError
from daemon.client.pictures import content_of, fitted
from daemon.core import messages as m
from daemon.ctl.bulk.folder_rows import pictures_in
from daemon.ctl.bulk.outcomes import NO_PICTURE, TOO_MANY_PICTURES, UNREADABLE, LeftOut
from daemon.ctl.bulk.rows import Row

AHEAD = 4
"""How many people's pictures are ready before the gate wants them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row with its pictures as JPEG files, by their number in `files`. `key` is a digest of all that decides about the command.

    `refused` has the pictures that cannot be read, which are empty in `jpegs`, and `left_out` what is not among `files`. Somebody who is
    `known` need not be asked about; their pictures are not converted.
    """

    row: Row
    key: str
    files: tuple[str, ...]
    jpegs: tuple[bytes, ...]
    refused: dict[int, LeftOut]
    left_out: tuple[LeftOut, ...]
    known: bool = False


def prepared(rows: Sequence[Row], salt: str, is_known: Callable[[str], bool], ahead: int = AHEAD) -> Generator[Prepared]:
    """The rows in their order. `salt` is what else decides about a command: site and options. `is_known` is asked with each key, in
    another thread."""
    waiting: deque[Future[Prepared]] = deque()
    left = iter(rows)
    with ThreadPoolExecutor(1, "pictures") as pool:
        try:
            while True:
                while len(waiting) < ahead and (row := next(left, None)) is not None:
                    waiting.append(pool.submit(_prepare, row, salt, is_known))
                if not waiting:
                    break
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare(row: Row, salt: str, is_known: Callable[[str], bool]) -> Prepared:
    paths, left_out = _paths(row)
    files, refused, contents = tuple(map(str, paths)), dict[int, LeftOut](), dict[int, bytes]()
    record = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.fields.items()}
    digest = hashlib.sha256(msgspec.json.encode([salt, row.person, sorted(record.items())]))
    for place, path in enumerate(paths):
        try:
            contents[place] = content_of(path)
            digest.update(hashlib.sha256(contents[place]).digest())
        except ClientError as error:
            digest.update(hashlib.sha256(files[place].encode("utf-8", "surrogateescape")).digest())
            refused[place] = _unreadable(files[place], error)
    key = digest.hexdigest()
    if is_known(key):
        return Prepared(row, key, files, (), refused, tuple(left_out), known=True)
    jpegs = dict[int, bytes]()
    for place, content in contents.items():
        try:
            (jpegs[place],) = fitted([(files[place], content)])
        except ClientError as error:
            refused[place] = _unreadable(files[place], error)
    together = dict(zip(jpegs, fitted([(files[place], jpeg) for place, jpeg in jpegs.items()]), strict=True))
    return Prepared(row, key, files, tuple(together.get(place, b"") for place in range(len(files))), refused, tuple(left_out))


def _unreadable(file: str, error: ClientError) -> LeftOut:
    return LeftOut(file, UNREADABLE, f"{error.message}; {error.hint}")


def _paths(row: Row) -> tuple[list[Path], list[LeftOut]]:
    """The picture files of a person, as many as a command takes, and what is wrong with the others."""
    paths, left_out = list[Path](), list[LeftOut]()
    for path in row.photos:
        try:
            found = pictures_in(path)
        except OSError as error:
            left_out.append(LeftOut(str(path), UNREADABLE, error.strerror or "it cannot be read"))
            continue
        left_out += [] if found else [LeftOut(str(path), NO_PICTURE, "there is no picture in this folder")]
        paths += found
    for path in paths[m.MAX_IMAGES :]:
        left_out.append(LeftOut(str(path), TOO_MANY_PICTURES, f"only the first {m.MAX_IMAGES} pictures are sent"))
    return paths[: m.MAX_IMAGES], left_out
