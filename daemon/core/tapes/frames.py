"""The content of a recording: every frame that a gate looked at, exactly, and how many could not be recorded.

Pictures are lossless, so that a replay sees what the gate saw: a PNG of the frame, or of its difference to the frame before (modulo 256),
which is small for a camera at rest. With JPEG pictures the similarities would change (`python -m bench.recording`).
"""

import struct
from dataclasses import dataclass
from typing import Protocol, TypeVar

import cv2
import msgspec
import numpy as np

from daemon.core.tapes.tape import TapeError
from daemon.core.values import Frame, Image

KEY_EVERY = 50
"""At most this many frames depend on each other. A reader that begins in the middle must decode them."""
_FRAME = struct.Struct(">cqddc")

Item = TypeVar("Item", contravariant=True)


class Began(msgspec.Struct, frozen=True, tag="began", tag_field="kind"):
    """The first chunk: the gate, what the tape holds (`frames` or `flight`), and when it began (UTC seconds)."""

    gate: str
    holds: str
    at: float


class Lost(msgspec.Struct, frozen=True, tag="lost", tag_field="kind"):
    """How many items since the chunk before were not recorded, because the writer was behind or the disk took nothing."""

    count: int


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="kind"):
    """The last chunk of a complete tape: how many items it holds, how many were lost, and the time of the newest (UTC seconds)."""

    count: int
    lost: int
    at: float


Note = Began | Lost | Ended
_notes = msgspec.json.Decoder(Note)


class Encoder(Protocol[Item]):
    """Turns items into chunks, in the order of one tape."""

    def encode(self, item: Item, /) -> bytes: ...


def note_bytes(note: Note) -> bytes:
    """The chunk of a note."""
    return b"N" + msgspec.json.encode(note)


def note_of(chunk: bytes) -> Note | None:
    """The note in a chunk, or None for an item. Raises TapeError for a note of a later daemon."""
    if chunk[:1] != b"N":
        return None
    try:
        note: Note = _notes.decode(chunk[1:])
        return note
    except msgspec.MsgspecError:
        raise TapeError("the recording is of a kind that this daemon cannot read", "use the daemon version that wrote it") from None


@dataclass(slots=True)
class FrameEncoder:
    """Turns frames into chunks. With `key_every` 1 every picture is independent of the others."""

    key_every: int = KEY_EVERY
    _before: Image | None = None
    _since_key: int = 0

    def encode(self, frame: Frame) -> bytes:
        """The chunk of a frame: number, times and picture. Raises TapeError for a picture that cannot be encoded."""
        before = self._before
        whole = before is None or before.shape != frame.image.shape or self._since_key + 1 >= self.key_every
        picture = frame.image if whole or before is None else np.subtract(frame.image, before)
        done, data = cv2.imencode(".png", picture)
        if not done:
            raise TapeError("a frame cannot be recorded: it is not a picture", "look at the camera")
        self._before, self._since_key = frame.image, 0 if whole else self._since_key + 1
        return _FRAME.pack(b"F", frame.number, frame.at_s, frame.captured_at, b"w" if whole else b"d") + data.tobytes()


@dataclass(slots=True)
class FrameDecoder:
    """Turns chunks into frames, in the order they were made, from the beginning of a tape or from any whole picture on."""

    gate: str
    _before: Image | None = None

    def decode(self, chunk: bytes) -> Frame:
        """The frame in a chunk. Raises TapeError for a chunk that no encoder makes."""
        number, at_s, captured_at, whole = frame_head(chunk)
        picture = cv2.imdecode(np.frombuffer(chunk, np.uint8, offset=_FRAME.size), cv2.IMREAD_COLOR)
        fits = picture is not None and (whole or (self._before is not None and self._before.shape == picture.shape))
        if picture is None or not fits:
            raise TapeError("a frame of a recording cannot be decoded", "use the daemon version that wrote it")
        image = np.asarray(picture, np.uint8)
        if not whole and self._before is not None:
            image = np.add(image, self._before)
        self._before = image
        return Frame(self.gate, number, at_s, captured_at, image)


def frame_head(chunk: bytes) -> tuple[int, float, float, bool]:
    """Number, at_s and captured_at of the frame in a chunk, and whether its picture is whole. Raises TapeError."""
    if len(chunk) <= _FRAME.size or chunk[:1] != b"F":
        raise TapeError("the recording is of a kind that this daemon cannot read", "use the daemon version that wrote it")
    _, number, at_s, captured_at, kind = _FRAME.unpack_from(chunk)
    return number, at_s, captured_at, kind == b"w"
