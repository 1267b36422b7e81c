"""Writing a video file at a constant frame rate: H.264 in MP4, VP8 in WebM. Both play in browsers."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av

from daemon.core.faults import Fault, first_line
from daemon.core.values import Image


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of file is written: the encoder, its usual name, its options, and those of the container."""

    encoder: str
    codec: str
    coding: dict[str, str]
    container: dict[str, str]


# At these settings lines and letters stay sharp. `faststart` puts the index first, so that a browser plays before it has the whole file.
_FILMS = {
    ".mp4": Kind("libx264", "H.264", {"preset": "veryfast", "crf": "20"}, {"movflags": "+faststart"}),
    ".webm": Kind("libvpx", "VP8", {"deadline": "realtime", "cpu-used": "5", "crf": "10", "b": "8M"}, {}),
}
KINDS = " or ".join(_FILMS)


class FilmError(Fault):
    """The video cannot be written. `hint` says what to do about it."""


@dataclass(slots=True)
class Film:
    """A video file being written, at `fps` frames a second. `codec` is the usual name of the codec, `frames` counts the frames written."""

    path: Path
    codec: str
    fps: float
    _container: av.container.OutputContainer
    _stream: av.VideoStream
    frames: int = 0

    def write(self, image: Image) -> None:
        """Write one frame: BGR, of the size the film was opened with. Raises FilmError."""
        if image.shape != (self._stream.height, self._stream.width, 3):
            raise ValueError(f"a frame of {image.shape} in a film of {self._stream.width}×{self._stream.height}")
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = self.frames, self._stream.codec_context.time_base
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        """Finish the file. Raises FilmError if it is not complete."""
        self._mux(None)
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._incomplete(error) from None

    def abandon(self) -> None:
        """Close the file as it is."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._incomplete(error) from None

    def _incomplete(self, error: Exception) -> FilmError:
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        return FilmError(f"{self.path.name}: the video could not be completed: {why}", "check whether the disk is full, and the folder")


def open_film(path: Path, fps: float, width: int, height: int) -> Film:
    """A new video of the kind that its name says. Width and height are even. Raises FilmError."""
    kind = _FILMS.get(path.suffix.lower())
    if kind is None:
        raise FilmError(f"{path.name}: not a kind of video that can be written", f"give a name that ends in {KINDS}")
    rate = Fraction(fps).limit_denominator(1001)
    try:
        container = av.open(f"file:{path}", "w", format=path.suffix.lower()[1:], options=kind.container)
        stream = cast(av.VideoStream, container.add_stream(kind.encoder, rate=rate, options=kind.coding))
    except av.codec.codec.UnknownCodecError:
        hint = f"install the av wheel of constraints.txt, or give another kind of file ({KINDS})"
        raise FilmError(f"{path.name}: this PyAV has no encoder for {kind.codec}", hint) from None
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = 1 / rate
    # Said, because a player takes other colours for a large picture that does not say its own: BT.601, 16 to 235.
    stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
    return Film(path, kind.codec, fps, container, stream)
