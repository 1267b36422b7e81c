"""Rows to what is sent: the pictures of each person read, converted and shrunk, some people ahead of the gate."""

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
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
    """A row with its pictures as JPEG files, those that could be read. `key` is a digest of all that will be sent."""

    row: Row
    key: str
    files: tuple[str, ...]
    jpegs: tuple[bytes, ...]
    left_out: tuple[LeftOut, ...]


def prepared(rows: Sequence[Row], salt: str, ahead: int = AHEAD) -> Generator[Prepared]:
    """The rows in their order. `salt` is what else decides about a command: site and options."""
    waiting: deque[Future[Prepared]] = deque()
    left = iter(rows)
    with ThreadPoolExecutor(1, "pictures") as pool:
        try:
            while True:
                while len(waiting) < ahead and (row := next(left, None)) is not None:
                    waiting.append(pool.submit(_prepare, row, salt))
                if not waiting:
                    break
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare(row: Row, salt: str) -> Prepared:
    paths, left_out = _paths(row)
    record = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.fields.items()}
    digest = hashlib.sha256(msgspec.json.encode([salt, row.person, sorted(record.items())]))
    files, jpegs = list[str](), list[bytes]()
    for path in paths:
        name = str(path)
        try:
            data = content_of(path)
            digest.update(hashlib.sha256(data).digest())
            jpegs += fitted([(name, data)])
            files.append(name)
        except ClientError as error:
            digest.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest())
            left_out.append(LeftOut(name, UNREADABLE, f"{error.message}; {error.hint}"))
    if jpegs:
        jpegs = fitted(list(zip(files, jpegs, strict=True)))
    return Prepared(row, digest.hexdigest(), tuple(files), tuple(jpegs), tuple(left_out))


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
