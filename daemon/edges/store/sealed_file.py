"""A file sealed with a passphrase: AES-256-GCM in chunks, so that it may be larger than the memory.

    magic, version | scrypt: log2 n, r, p, salt | bytes a chunk || checksum || proof of the key || chunk 0, chunk 1, ... the last

The key is derived from passphrase and salt, and belongs to this one file, as the sealing in parts needs it (core/stream.py). Everything
before `||` is authenticated with every chunk.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from daemon.core.stream import TAG_BYTES
from daemon.edges.sealing import KEY_BYTES, PartSealer
from daemon.edges.store.errors import BackupError

_MAGIC = b"ostiary backup\n\x01"
_HEADER = struct.Struct(">16sBBB16sI")
_CHECKSUM_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs: scrypt (RFC 7914) with n = 2^log_n takes 128·n·r bytes of memory."""

    log_n: int
    r: int
    p: int


COST = Cost(17, 8, 1)
"""128 MiB and a third of a second on a small box."""
_GREATEST = Cost(20, 8, 4)  # a file of unknown origin must not take all the memory
CHUNK_BYTES = 1 << 20
_GREATEST_CHUNK = 1 << 24


def write_sealed(file: BinaryIO, parts: Iterable[bytes], passphrase: str, cost: Cost | None = None) -> None:
    """Seal these bytes, as one stream, into the file. Raises OSError."""
    cost = cost or COST
    header = _HEADER.pack(_MAGIC, cost.log_n, cost.r, cost.p, os.urandom(16), CHUNK_BYTES)
    sealer = _sealer(header, passphrase)
    file.write(header + _checksum(header) + sealer.proof())
    waiting, number = bytearray(), 0
    for part in parts:
        waiting += part
        while len(waiting) > CHUNK_BYTES:  # not >=: the last chunk is known only at the end
            file.write(sealer.seal(number, bytes(waiting[:CHUNK_BYTES]), last=False))
            del waiting[:CHUNK_BYTES]
            number += 1
    file.write(sealer.seal(number, bytes(waiting), last=True))


def read_sealed(file: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """The stream, a chunk at a time. Each chunk is authentic when it is given; that the stream is complete is known after the last one.

    Raises BackupError, whose message says whether the file is not a backup, the passphrase is wrong, the file is damaged, or it is cut off.
    Raises OSError.
    """
    header, checksum = file.read(_HEADER.size), file.read(_CHECKSUM_BYTES)
    if header[: len(_MAGIC) - 1] != _MAGIC[:-1]:
        raise BackupError("this is not a backup of ostiaryd", "give the file that `ostiaryd backup` wrote")
    if len(checksum) < _CHECKSUM_BYTES or checksum != _checksum(header):
        raise _damaged("its first bytes are not what was written")
    magic, log_n, r, p, _, chunk_bytes = _HEADER.unpack(header)
    if magic != _MAGIC or not (
        0 < log_n <= _GREATEST.log_n and 0 < r <= _GREATEST.r and 0 < p <= _GREATEST.p and 0 < chunk_bytes <= _GREATEST_CHUNK
    ):
        raise BackupError("the backup is of a kind that this daemon does not read", "use the daemon version that wrote it")
    sealer = _sealer(header, passphrase)
    proof = file.read(TAG_BYTES)
    if len(proof) < TAG_BYTES:
        raise _cut_off()
    if not sealer.proves(proof):
        raise BackupError("the passphrase is not the one of this backup", "give the file with the passphrase that it was made with")
    chunk = file.read(chunk_bytes + TAG_BYTES)
    for number in count():
        following = file.read(chunk_bytes + TAG_BYTES)
        plain = sealer.open(number, chunk, last=not following)
        if plain is None:
            whole = len(chunk) == chunk_bytes + TAG_BYTES and sealer.open(number, chunk, last=False) is not None
            raise _cut_off() if not following and whole else _damaged(f"its part {number + 1} does not open, or the file is cut off in it")
        yield plain
        if not following:
            return
        chunk = following


def _sealer(header: bytes, passphrase: str) -> PartSealer:
    _, log_n, r, p, salt, _ = _HEADER.unpack(header)
    return PartSealer(Scrypt(salt=salt, length=KEY_BYTES, n=1 << log_n, r=r, p=p).derive(passphrase.encode("utf-8")), header)


def _checksum(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()[:_CHECKSUM_BYTES]


def _damaged(why: str) -> BackupError:
    return BackupError(f"the backup is damaged: {why}", "take another copy of it, or an earlier backup")


def _cut_off() -> BackupError:
    return BackupError("the backup is cut off: its end is missing", "take another copy of it, or an earlier backup")
