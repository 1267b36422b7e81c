"""The walks of a calibration that is not finished: vectors of faces, sealed with the box's key in one file."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from daemon.core.faults import Fault
from daemon.core.site import Passing
from daemon.edges.files import placed
from daemon.edges.sealing import PartSealer, derived_key

PURPOSE = FOLDER = "calibration"
"""Of the key, and the folder in state_dir."""
_MAGIC = b"ostiary walks\n\x01"
_SALT_BYTES = 16


class WalksError(Fault):
    """The file cannot be read. Its hint says how to begin anew."""


class _Walk(msgspec.Struct, frozen=True):
    person: str
    looks: bytes
    dimension: int


class _Walks(msgspec.Struct, frozen=True):
    model: str
    walks: list[_Walk]


def write_walks(path: Path, key: bytes, model: str, passings: Sequence[Passing]) -> None:
    """Put all walks, seen by the model of this id, in the place of the file. `key` is the box's for PURPOSE. Raises FileError."""
    walks = [_Walk(each.person, np.ascontiguousarray(each.looks, "<f4").tobytes(), each.looks.shape[1]) for each in passings]
    _write(path, key, _Walks(model, walks))


def read_walks(path: Path, key: bytes, model: str) -> list[Passing]:
    """The walks in the file; none where there is no file, or where another model saw them. Raises WalksError."""
    found = _read(path, key)
    if found is None or found.model != model:
        return []
    return [Passing(each.person, np.frombuffer(each.looks, "<f4").reshape(-1, each.dimension)) for each in found.walks]


def forget_walks(folder: Path, key: bytes, person: str) -> None:
    """Take somebody who was revoked out of every file of walks in the folder. Raises FileError, and WalksError for a file that stays as it
    is."""
    for path in sorted(folder.glob("*.walks")):
        found = _read(path, key)
        left = [walk for walk in found.walks if walk.person != person] if found is not None else []
        if found is not None and len(left) < len(found.walks):
            _write(path, key, _Walks(found.model, left))


def _read(path: Path, key: bytes) -> _Walks | None:
    """None where there is no file. Raises WalksError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WalksError(f"{path}: cannot be read ({error.strerror})", "run this as the daemon's user") from None
    size = len(_MAGIC) + _SALT_BYTES
    header, sealed = content[:size], content[size:]
    plain = _sealer(key, header).open(0, sealed, last=True) if header.startswith(_MAGIC) else None
    if plain is None:
        raise WalksError(f"{path}: does not open with this box's key, or is damaged", "begin anew with --restart")
    return msgspec.msgpack.decode(plain, type=_Walks)


def _write(path: Path, key: bytes, walks: _Walks) -> None:
    header = _MAGIC + os.urandom(_SALT_BYTES)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with placed(path, force=True) as file:
        file.write(header + _sealer(key, header).seal(0, msgspec.msgpack.encode(walks), last=True))


def _sealer(key: bytes, header: bytes) -> PartSealer:
    return PartSealer(derived_key(key, b"ostiary walks", header[len(_MAGIC) :]), header)
