"""Writing a video file at a constant frame rate, with the FFmpeg inside OpenCV.

The pip wheel (4.14) encodes VP8, VP9, MPEG-4 part 2 and Motion JPEG, but not H.264. MPEG-4 part 2 plays in few browsers. VP9 in MP4 and VP8
in WebM play in current browsers and in VLC. VP8 takes a fifth of the time (640×480 on one core: 0.03 s a frame against 0.16 s), and
OpenCV has no setting that makes either faster.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from daemon.core.faults import Fault
from daemon.core.values import Image

CODECS = {".mp4": (("vp09", "VP9"), ("avc1", "H.264"), ("mp4v", "MPEG-4 part 2")), ".webm": (("VP80", "VP8"), ("VP90", "VP9"))}
"""The codecs that are tried for each kind of file, best first: the container's code and the usual name."""
KINDS = " or ".join(CODECS)


class FilmError(Fault):
    """The video cannot be written. `hint` says what to do about it."""


@dataclass(slots=True)
class Film:
    """A video file being written, at `fps` frames a second. `codec` is the usual name of the codec, `frames` counts the frames written."""

    path: Path
    codec: str
    fps: float
    _writer: cv2.VideoWriter
    frames: int = 0

    def write(self, image: Image) -> None:
        """Write one frame: BGR, of the size the film was opened with (OpenCV ignores a frame of another size without an error)."""
        self._writer.write(image)
        self.frames += 1

    def close(self) -> None:
        """Finish the file. Raises FilmError if it is not complete: the writer reports nothing, not even a full disk."""
        self._writer.release()
        found = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        try:
            # A container that counts frames by time can be wrong by one.
            whole = found.isOpened() and abs(found.get(cv2.CAP_PROP_FRAME_COUNT) - self.frames) <= 1
        finally:
            found.release()
        if not whole:
            raise FilmError(f"{self.path.name}: the video could not be completed", "check whether the disk is full")

    def abandon(self) -> None:
        """Close the file as it is."""
        self._writer.release()


def open_film(path: Path, fps: float, width: int, height: int) -> Film:
    """A new video, with the best codec for the kind of file that its name says. Width and height are even. Raises FilmError."""
    codecs = CODECS.get(path.suffix.lower())
    if codecs is None:
        raise FilmError(f"{path.name}: not a kind of video that can be written", f"give a name that ends in {KINDS}")
    for code, name in codecs:
        with _silence():
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, (width, height))
        if writer.isOpened():
            return Film(path, name, fps, writer)
        writer.release()
    raise FilmError(
        f"{path.name}: this OpenCV has no codec for it; it was asked for {', '.join(name for _, name in codecs)}",
        f"install the opencv-python wheel of constraints.txt, or give another kind of file ({KINDS})",
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Hide what FFmpeg and OpenCV print about each codec that is tried. They write to the process's standard error, not to Python's."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
