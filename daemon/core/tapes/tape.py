"""A tape: a file of sealed chunks in order, readable as far as it goes. Its bytes without the sealing, and which tapes have to go.

    magic, version | salt || checksum || proof of the key || (length | checksum, chunk 0) || (length | checksum, chunk 1) || ... the last

Each chunk is sealed under the tape's own key with its number and whether it is the last one (STREAM, as in backups), so a chunk that is
changed, missing or in another's place does not open, and a tape that was cut off is told from one that ends.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.faults import Fault

MAGIC = b"ostiary tape 1\r\n"
SALT_BYTES = 16
TAG_BYTES = 16
HEADER_BYTES = len(MAGIC) + SALT_BYTES + 8
HEAD_BYTES = 8
"""What stands before a chunk."""
START_BYTES = HEADER_BYTES + TAG_BYTES
LONGEST = 1 << 27
"""No chunk is longer: the raw pixels of the largest picture that is ever decoded are not."""
PROOF_NONCE = b"\xff" * 12
"""No chunk has it: theirs end in 0 or 1."""
_HEAD = struct.Struct(">I4s")


class TapeError(Fault):
    """A recording cannot be read. `hint` says what to do about it."""


def header(salt: bytes) -> bytes:
    """The first bytes of a tape. `salt` is 16 random bytes that no other tape has."""
    start = MAGIC + salt
    return start + hashlib.sha256(start).digest()[:8]


def salt_of(start: bytes, name: str) -> bytes:
    """The salt of a tape's first HEADER_BYTES. Raises TapeError for what is none, or is damaged."""
    if not is_tape(start):
        raise TapeError(f"{name}: no sealed recording", "give a file that `ostiaryd record` or a recording gate wrote")
    salt = start[len(MAGIC) : len(MAGIC) + SALT_BYTES]
    if start[:HEADER_BYTES] != header(salt):
        raise TapeError(f"{name}: erased, damaged or cut off in its first bytes", "nothing of it can be read")
    return salt


def is_tape(start: bytes) -> bool:
    """Whether a file that begins so is a tape."""
    return start.startswith(MAGIC)


def head(number: int, length: int) -> bytes:
    """What stands before chunk `number` of `length` sealed bytes."""
    return _HEAD.pack(length, _checksum(number, length))


def length_of(number: int, found: bytes) -> int | None:
    """The length of chunk `number` by the HEAD_BYTES before it, or None where they are not what was written."""
    length, checksum = _HEAD.unpack(found)
    return int(length) if TAG_BYTES <= length <= LONGEST and checksum == _checksum(number, length) else None


def nonce(number: int, last: bool) -> bytes:
    """12 bytes that no other chunk of the tape has."""
    return number.to_bytes(11, "big") + bytes([last])


def _checksum(number: int, length: int) -> bytes:
    return hashlib.sha256(f"{number} {length}".encode("ascii")).digest()[:4]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, in all tapes of a folder together; how long a tape is kept after its end; and when one is full."""

    most_bytes: int
    keep_s: float
    tape_bytes: int
    tape_s: float


def bounds(most_bytes: int, keep_s: float, gates: int, tape_s: float) -> Bounds:
    """Of tapes that hold nothing older than `keep_s`, and go after `tape_s` at most.

    Those that are being written take at most a quarter of the room, so that there is always an older one to let go.
    """
    tape_s = min(tape_s, keep_s / 8)
    return Bounds(most_bytes, keep_s - tape_s, most_bytes // (4 * max(1, gates)), tape_s)


@dataclass(frozen=True, slots=True)
class Kept:
    """A tape that is no more written to: its path, its bytes, and when it was last written to (UTC seconds)."""

    path: str
    bytes: int
    written_at: float


def surplus(kept: Sequence[Kept], besides: int, now: float, bounds: Bounds) -> list[Kept]:
    """Which tapes have to go, oldest first: those too old, and as many more as it takes for `besides` further bytes to have room."""
    ordered = sorted(kept, key=lambda tape: (tape.written_at, tape.path))
    over = sum(tape.bytes for tape in ordered) + besides - bounds.most_bytes
    gone = []
    for tape in ordered:
        if over <= 0 and now - tape.written_at <= bounds.keep_s:
            break
        gone.append(tape)
        over -= tape.bytes
    return gone
