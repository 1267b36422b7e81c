"""Recorded frames: a source that replays can read, and two sinks, a sealed tape and plain files for other programs."""

import csv
import errno
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import cv2

from daemon.core.counts import counted
from daemon.core.tapes.frames import Began, Ended, FrameDecoder, FrameEncoder, Lost, note_bytes, note_of
from daemon.core.tapes.tape import START_BYTES, TapeError
from daemon.core.values import Frame
from daemon.edges.recorder.shelf import need_room
from daemon.edges.recorder.tapes import Tape, TapeWriter

ROOM_EVERY = 25


class RecordedFrames:
    """Tapes of one gate, one after the other, as a camera: every frame with its own number and times. `warn` is told what is missing."""

    live = False

    def __init__(self, paths: Sequence[Path], key: bytes, warn: Callable[[str], None]) -> None:
        """A tape that was cut off before its first part is left out. Raises TapeError."""
        self._state: Literal["up", "ended"] = "up"
        self._warn = warn
        notes = [(path, note) for path in paths if (note := began(path, key)) is not None]
        if not notes:
            raise TapeError(f"{paths[0]}: cut off before its first part", "nothing in it can be read; give another recording")
        self.gate = _of_frames(notes[0][1], notes[0][0]).gate
        self._frames = self._all([path for path, _ in notes], key)

    @property
    def state(self) -> Literal["up", "ended"]:
        return self._state

    @property
    def trouble(self) -> None:
        """A recording has none."""
        return None

    @property
    def detail(self) -> str | None:
        return None if self._state == "up" else "the recording is over"

    @property
    def dropped(self) -> Mapping[str, int]:
        return {}

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, without waiting. Raises TapeError at a part that is not what was written."""
        frame = next(self._frames, None)
        if frame is None:
            self._state = "ended"
        return frame

    def close(self) -> None:
        self._frames.close()
        self._state = "ended"

    def _all(self, paths: list[Path], key: bytes) -> Generator[Frame, None, None]:
        for path in paths:
            yield from self._of(path, key)

    def _of(self, path: Path, key: bytes) -> Iterator[Frame]:
        tape = Tape(path, key)
        lost, number = 0, None
        try:
            decoder = None
            for chunk in tape.chunks():
                match note_of(chunk):
                    case Began() as note:
                        decoder = FrameDecoder(_of_frames(note, path).gate)
                    case Lost(count):
                        lost += count
                    case Ended():
                        pass
                    case None:
                        if decoder is None:
                            raise TapeError(f"{path}: does not say what it holds", "use the daemon version that wrote it")
                        frame = decoder.decode(chunk)
                        number = frame.number
                        yield frame
        finally:
            tape.close()
        if lost:
            self._warn(f"{path}: {counted(lost, 'frame')} that the gate saw {'is' if lost == 1 else 'are'} not in it")
        if not tape.ended:
            self._warn(f"{path}: cut off after frame {number}" if number is not None else f"{path}: cut off before its first frame")


def began(path: Path, key: bytes) -> Began | None:
    """The first note of a tape, which says what it holds; None for a tape that was cut off before it. Raises TapeError."""
    if path.stat().st_size < START_BYTES:
        return None
    tape = Tape(path, key)
    try:
        note = note_of(next(tape.chunks(), b""))
    finally:
        tape.close()
    return note if isinstance(note, Began) else None


def _of_frames(note: Began, path: Path) -> Began:
    if note.holds != "frames":
        raise TapeError(f"{path}: holds {note.holds}, not frames", "`ostiaryd flight` prints what a gate saw")
    return note


class FrameSink(Protocol):
    """Somewhere to put frames, in order. Raises OSError."""

    def append(self, frame: Frame) -> None: ...
    def close(self) -> None: ...


class SealedSink:
    """One tape of any length."""

    def __init__(self, path: Path, key: bytes, gate: str, at: float) -> None:
        need_room(path.parent, 0)
        self._tape = TapeWriter(path, key)
        self._encoder, self._count, self._at = FrameEncoder(), 0, at
        self._tape.append(note_bytes(Began(gate, "frames", at)))

    def append(self, frame: Frame) -> None:
        if self._count % ROOM_EVERY == 0:
            need_room(self._tape.path.parent, 0)
        self._tape.append(self._encoder.encode(frame))
        self._count, self._at = self._count + 1, frame.captured_at

    def close(self) -> None:
        self._tape.end(note_bytes(Ended(self._count, 0, self._at)))


class PlainSink:
    """A new folder of PNG pictures, not sealed, and `frames.csv` with their numbers and times. Nothing is overwritten."""

    def __init__(self, folder: Path) -> None:
        need_room(folder.parent, 0)
        folder.mkdir(mode=0o700)
        self._folder, self._count = folder, 0
        self._table = open(_new(folder / "frames.csv"), "w", encoding="utf-8", newline="")  # noqa: SIM115  closed by `close`
        self._rows = csv.writer(self._table)
        self._rows.writerow(["file", "number", "at_s", "captured_at"])

    def append(self, frame: Frame) -> None:
        if self._count % ROOM_EVERY == 0:
            need_room(self._folder, 0)
        self._count += 1
        name = f"{self._count:08}.png"
        done, data = cv2.imencode(".png", frame.image)
        if not done:
            raise OSError(errno.EINVAL, "a frame is not a picture")
        with os.fdopen(_new(self._folder / name), "wb") as file:
            file.write(data.tobytes())
        self._rows.writerow([name, frame.number, repr(frame.at_s), repr(frame.captured_at)])

    def close(self) -> None:
        self._table.close()


def _new(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
