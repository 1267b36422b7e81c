"""What stands in a recording: every frame that a gate looked at, exactly, and how many it could not take.

Pictures are lossless, so that a replay sees what the gate saw: PNG of a frame, or of its difference to the frame before (modulo 256),
which a resting camera makes small. Similarities change from JPEG pictures (`python -m bench.recording`).
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
"""So many frames hang together at most: what a reader has to go through that begins in the middle."""
_FRAME = struct.Struct(">cqddc")

Item = TypeVar("Item", contravariant=True)


class Began(msgspec.Struct, frozen=True, tag="began", tag_field="kind"):
    """The first chunk: the gate, what is on the tape (`frames` or `flight`), and when it began (UTC seconds)."""

    gate: str
    holds: str
    at: float


class Lost(msgspec.Struct, frozen=True, tag="lost", tag_field="kind"):
    """So many were not recorded since the chunk before: the writer was behind, or the disk took nothing."""

    count: int


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="kind"):
    """The last chunk of a tape that ends: what it holds, and the time of the newest (UTC seconds)."""

    count: int
    lost: int
    at: float


Note = Began | Lost | Ended
_notes = msgspec.json.Decoder(Note)


class Encoder(Protocol[Item]):
    """Items to chunks, in the order of one tape."""

    def encode(self, item: Item, /) -> bytes: ...


def note_bytes(note: Note) -> bytes:
    """A chunk that is no item."""
    return b"N" + msgspec.json.encode(note)


def note_of(chunk: bytes) -> Note | None:
    """The note in a chunk, or None for an item. Raises TapeError for a note of a later daemon."""
    if chunk[:1] != b"N":
        return None
    try:
        note: Note = _notes.decode(chunk[1:])
        return note
    except msgspec.MsgspecError:
        raise TapeError("a recording of a kind that this daemon does not read", "use the daemon version that wrote it") from None


@dataclass(slots=True)
class FrameEncoder:
    """Frames to chunks. `key_every` 1 makes every picture stand alone."""

    key_every: int = KEY_EVERY
    _before: Image | None = None
    _since_key: int = 0

    def encode(self, frame: Frame) -> bytes:
        """Number, times and picture. Raises TapeError for a picture that is none."""
        before = self._before
        whole = before is None or before.shape != frame.image.shape or self._since_key + 1 >= self.key_every
        picture = frame.image if whole or before is None else np.subtract(frame.image, before)
        done, data = cv2.imencode(".png", picture)
        if not done:
            raise TapeError("a frame cannot be recorded", "it is no picture")
        self._before, self._since_key = frame.image, 0 if whole else self._since_key + 1
        return _FRAME.pack(b"F", frame.number, frame.at_s, frame.captured_at, b"w" if whole else b"d") + data.tobytes()


@dataclass(slots=True)
class FrameDecoder:
    """Chunks to frames, in the order they were made, from the beginning of a tape or any whole picture on."""

    gate: str
    _before: Image | None = None

    def decode(self, chunk: bytes) -> Frame:
        """Raises TapeError for what no encoder makes."""
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
    """Number, at_s, captured_at of the frame in a chunk, and whether its picture stands alone. Raises TapeError."""
    if len(chunk) <= _FRAME.size or chunk[:1] != b"F":
        raise TapeError("a recording of a kind that this daemon does not read", "use the daemon version that wrote it")
    _, number, at_s, captured_at, kind = _FRAME.unpack_from(chunk)
    return number, at_s, captured_at, kind == b"w"
