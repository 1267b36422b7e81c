"""A video file: its frames, at the times that it says."""

from collections.abc import Iterator
from pathlib import Path

import av

from daemon.core.faults import first_line
from daemon.core.stamps import Stamps
from daemon.edges.camera.decoded import Pictures
from daemon.edges.camera.recording import Shot
from daemon.edges.camera.source import SOURCES, CameraError

# The library would print a line for each damaged packet.
av.logging.set_level(None)

RATES = 0.1, 240.0
"""Some containers give their time base (1000, 90000) instead of a rate."""
MOST_PIXELS = 64_000_000
"""Twice a picture of 8K. A damaged header may claim any size, and the decoder would take memory for it."""
NO_VIDEO = frozenset({"tty"})
"""FFmpeg draws a text file as a picture."""
GIVEN_UP = 100
"""So many failures to read, with no packet between them, are the end of a file."""
NOT_A_VIDEO = "use an MP4, MKV, AVI or GIF file; convert others with ffmpeg"


def video(path: Path, fallback_fps: float) -> tuple[Iterator[Shot], Stamps]:
    """The frames of a video file, and what makes its time stamps sane. `fallback_fps` is for a file that does not say its own rate.

    A file that is cut off ends there, one that is damaged goes on after the damage where it can: what is lost between is a shot without a
    picture. Raises CameraError for a file that is not a video with a picture.
    """
    container, stream = _opened(path)
    rate = float(stream.guessed_rate or 0)
    stamps = Stamps(1 / (rate if RATES[0] <= rate <= RATES[1] else fallback_fps))
    shots = _shots(container, stream, stamps)
    lost: list[Shot] = []
    for shot in shots:
        if shot.image is not None:
            return _all(lost, shot, shots), stamps
        lost.append(shot)
    raise CameraError(f"{path}: not a video that can be decoded: its {stream.codec_context.name} stream gives no picture", NOT_A_VIDEO)


def _opened(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    if not path.exists():
        raise CameraError(f"{path}: no such file or folder", SOURCES)
    try:
        container = av.open(f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"})
    except av.InvalidDataError:
        raise CameraError(f"{path}: not a video that can be decoded", NOT_A_VIDEO) from None
    except (av.FFmpegError, OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise CameraError(f"{path}: cannot be read: {why}", "check the file and who may read it") from None
    stream = next((found for found in container.streams.video if not found.disposition & av.stream.Disposition.attached_pic), None)
    if stream is None or container.format.name in NO_VIDEO:
        container.close()
        raise CameraError(f"{path}: no video track in it", NOT_A_VIDEO)
    if stream.codec_context is None:
        container.close()
        raise CameraError(f"{path}: its video has a codec that this FFmpeg does not know", NOT_A_VIDEO)
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    return container, stream


def _all(lost: list[Shot], first: Shot, rest: Iterator[Shot]) -> Iterator[Shot]:
    yield from lost
    yield first
    yield from rest


def _shots(container: av.container.InputContainer, stream: av.VideoStream, stamps: Stamps) -> Iterator[Shot]:
    decoded, number, at_s = Pictures(stream), 0, 0.0
    try:
        for packet in _packets(container, stream):
            for frame, image in decoded.of(packet):
                if frame is not None:
                    at_s = stamps.at(frame.pts, frame.time_base)
                yield Shot(number, at_s, image)
                number += 1
    finally:
        container.close()


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> "Iterator[av.Packet[av.VideoStream]]":
    """The packets of a stream; after one that cannot be read, those that follow."""
    failures = 0
    while failures < GIVEN_UP:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
        except av.FFmpegError:
            failures += 1
        else:
            return
