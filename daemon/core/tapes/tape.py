"""A tape: a file of sealed chunks in order, readable as far as it was written. Its bytes without the sealing, and which tapes are deleted.

    magic, version | salt || checksum || proof of the key || (length | checksum, chunk 0) || (length | checksum, chunk 1) || ... the last

Each chunk is sealed under the tape's own key, by its number and whether it is the last one (stream.py).
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.faults import Fault
from daemon.core.stream import TAG_BYTES

MAGIC = b"ostiary tape 1\r\n"
SALT_BYTES = 16
HEADER_BYTES = len(MAGIC) + SALT_BYTES + 8
HEAD_BYTES = 8
"""What precedes a chunk."""
START_BYTES = HEADER_BYTES + TAG_BYTES
LONGEST = 1 << 27
"""No chunk is longer, because the raw pixels of the largest picture that is ever decoded are not."""
_HEAD = struct.Struct(">I4s")


class TapeError(Fault):
    """A recording cannot be read. `hint` says what to do about it."""


def header(salt: bytes) -> bytes:
    """The first bytes of a tape. `salt` is 16 random bytes that no other tape has."""
    start = MAGIC + salt
    return start + hashlib.sha256(start).digest()[:8]


def salt_of(start: bytes, name: str) -> bytes:
    """The salt in a tape's first HEADER_BYTES. Raises TapeError for a file that is not a tape, or is damaged."""
    if not is_tape(start):
        raise TapeError(f"{name}: not a sealed recording", "give a file that `ostiaryd record` or a recording gate wrote")
    salt = start[len(MAGIC) : len(MAGIC) + SALT_BYTES]
    if start[:HEADER_BYTES] != header(salt):
        raise TapeError(f"{name}: erased, damaged or cut off in its first bytes", "nothing in it can be read; give another recording")
    return salt


def is_tape(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a tape."""
    return start.startswith(MAGIC)


def head(number: int, length: int) -> bytes:
    """What precedes chunk `number` of `length` sealed bytes."""
    return _HEAD.pack(length, _checksum(number, length))


def length_of(number: int, found: bytes) -> int | None:
    """The length of chunk `number`, from the HEAD_BYTES before it; None where they are not what was written."""
    length, checksum = _HEAD.unpack(found)
    return int(length) if TAG_BYTES <= length <= LONGEST and checksum == _checksum(number, length) else None


def _checksum(number: int, length: int) -> bytes:
    return hashlib.sha256(f"{number} {length}".encode("ascii")).digest()[:4]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits: of all tapes of a folder together (`total_bytes`); how long a tape is kept after its end; and when a tape is full."""

    total_bytes: int
    keep_s: float
    tape_bytes: int
    tape_s: float


def bounds(total_bytes: int, keep_s: float, gates: int, tape_s: float) -> Bounds:
    """For tapes that hold nothing older than `keep_s`, each of at most `tape_s`.

    The tapes that are being written take at most a quarter of the room, so that there is always an older one to delete.
    """
    tape_s = min(tape_s, keep_s / 8)
    return Bounds(total_bytes, keep_s - tape_s, total_bytes // (4 * max(1, gates)), tape_s)


@dataclass(frozen=True, slots=True)
class Kept:
    """A tape that is complete: its path, its bytes, and when it was last written to (UTC seconds)."""

    path: str
    bytes: int
    written_at: float


def surplus(kept: Sequence[Kept], other_bytes: int, now: float, bounds: Bounds) -> list[Kept]:
    """Which tapes must be deleted, oldest first: those too old, and as many more as `other_bytes` beside the kept tapes need."""
    ordered = sorted(kept, key=lambda tape: (tape.written_at, tape.path))
    over = sum(tape.bytes for tape in ordered) + other_bytes - bounds.total_bytes
    gone = []
    for tape in ordered:
        if over <= 0 and now - tape.written_at <= bounds.keep_s:
            break
        gone.append(tape)
        over -= tape.bytes
    return gone
