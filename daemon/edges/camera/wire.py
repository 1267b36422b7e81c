"""What the daemon and a camera's process say to each other. Nothing that comes back has a length of its own, and no text comes back."""

import math
import struct
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from daemon.edges.confinement import Lacks

MOST_PIXELS = 8192 * 4608
MEMORY_BYTES = 3 * MOST_PIXELS
"""The memory that both share: one BGR picture. Only what pictures have used takes real memory."""
WHOLE = "mjpeg"
"""FFmpeg's format that finds JPEG pictures whatever stands between them."""
MOST_COUNTED = 1 << 53
"""No camera has shown, or lost, so many pictures."""
WANT = b"w"
"""The daemon wants the newest picture. It is the only thing that it says after the settings."""
DROPS = ("overrun", "stale", "still", "frozen", "corrupt")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a camera's process is told: the source (URL or device) with its secrets, and how to read it.

    `format` and `options` are FFmpeg's. `login`: the source has a user name in it. `frozen`: the connection before this one ended because
    the picture was frozen; `quiet`: or because nothing had moved in it for `quiet_s` and more (0: that ends none), in which case it is
    opened again after `quiet_reopen_s` more.
    """

    source: str
    stale_s: float
    open_s: float
    silent_s: float
    frozen_reopen_s: float
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    login: bool = False
    frozen: bool = False
    quiet: bool = False
    quiet_s: float = 300.0
    quiet_reopen_s: float = 60.0

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def read_settings(data: bytes) -> Settings:
    """What `encode` gave."""
    return msgspec.json.decode(data, type=Settings)


class Kind(IntEnum):
    """A picture lies in the memory; a word on how things go; the last word."""

    PICTURE, NOTE, END = 1, 2, 3


class Way(IntEnum):
    """How pictures come: as they should; too late because of the network, or because of decoding; always the same; none yet; nothing moves
    in them."""

    WELL, LATE_NETWORK, LATE_DECODING, FROZEN, WAITING, QUIET = 0, 1, 2, 3, 4, 5


class Cause(IntEnum):
    """Why a connection ended or could not be made. `causes.py` has the words."""

    LOGIN_REFUSED = 1
    LOGIN_NEEDED = 2
    FORBIDDEN = 3
    NOT_FOUND = 4
    REQUEST_REFUSED = 5
    SERVER_ERROR = 6
    UNKNOWN_HOST = 7
    NO_ROUTE = 8
    PORT_REFUSED = 9
    TIMEOUT = 10
    HUNG_UP = 11
    SPEAKS_RTSP = 12
    SPEAKS_HTTP = 13
    SPEAKS_TLS = 14
    NO_TLS = 15
    NOT_UNDERSTOOD = 16
    NO_VIDEO = 17
    NO_DECODER = 18
    UNDECODABLE = 19
    TOO_LARGE = 20
    NOT_LIVE = 21
    ONE_PICTURE = 22
    SEGMENTS = 23
    ENDED = 24
    SILENT = 25
    FROZEN = 26
    LATE = 27
    NO_KEY = 28
    NO_DEVICE = 29
    DEVICE_BUSY = 30
    DEVICE_DENIED = 31
    NOT_A_CAMERA = 32
    MEMORY = 33
    FAILED = 34
    ELSEWHERE = 35
    QUIET = 36
    ODD_SHAPE = 37
    PARTS = 38
    # What the daemon finds out by itself:
    NOT_STARTED = 60
    HANGS = 61
    CRASHED = 62
    NONSENSE = 63


_MESSAGE = struct.Struct("<BBBdQdIId5QB")
MESSAGE_BYTES = _MESSAGE.size


@dataclass(frozen=True, slots=True)
class Message:
    """One message to the daemon. `amount` belongs to the cause or the way. `seen_s` is when the newest picture was taken that is no older
    than it may be, NaN while there is none; `number`, `at_s`, `width` and `height` are those of the picture in the memory. Times are
    seconds of the machine's monotonic clock. `lacks` is what the kernel does not keep the process from."""

    kind: Kind
    way: Way
    cause: Cause | None
    amount: float
    number: int
    at_s: float
    width: int
    height: int
    seen_s: float
    dropped: tuple[int, ...]
    lacks: Lacks = Lacks.NOTHING

    def encode(self) -> bytes:
        return _MESSAGE.pack(
            self.kind, self.way, self.cause or 0, self.amount, self.number, self.at_s, self.width, self.height,
            self.seen_s, *self.dropped, self.lacks,
        )  # fmt: skip


def read_message(data: bytes) -> Message | None:
    """What a camera's process said; None if it makes no sense."""
    if len(data) != MESSAGE_BYTES:
        return None
    kind, way, cause, amount, number, at_s, width, height, seen_s, *dropped, lacks = _MESSAGE.unpack(data)
    try:
        said = Cause(cause) if cause else None
        message = Message(Kind(kind), Way(way), said, amount, number, at_s, width, height, seen_s, tuple(dropped), Lacks(lacks & 3))
    except ValueError:
        return None
    if not math.isfinite(amount) or (message.kind is Kind.END and message.cause is None):
        return None
    if max(number, *dropped) >= MOST_COUNTED:  # who has taken the process over may send anything
        return None
    if message.kind is Kind.PICTURE and not (math.isfinite(at_s) and min(width, height) > 0 and width * height <= MOST_PIXELS):
        return None
    return message
