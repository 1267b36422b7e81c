"""The inside of a camera's process: it opens one source, decodes it, and has the newest picture ready when the daemon wants it.

One process serves one connection; when that ends, so does the process. Its main thread decodes, one thread takes packets from the network,
and one answers the daemon.
"""

import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from daemon.core import camera_address
from daemon.core.arrivals import Arrivals
from daemon.edges.camera import wire
from daemon.edges.camera.asking import PORTS, Ended, opened
from daemon.edges.camera.decoded import careful, picture, pixel_aspect
from daemon.edges.camera.decoding import Decoding
from daemon.edges.camera.packets import Packets
from daemon.edges.camera.wire import Cause, Kind, Message, Settings, Way
from daemon.edges.confinement import Lacks, confine_reader

NOTE_S = 0.25
"""The daemon hears this often how things go."""
MEMORY_BYTES, FILES = 2 << 30, 64
"""What the process may take. The largest pictures, 8192×4608 in H.265, need 1.2 GB with all that the decoder keeps."""
UNSTAMPED = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "mpegvideo", "obu"})
"""Formats without time stamps: FFmpeg makes them up."""
DNS = 53
PARTED, WHOLE = "mpjpeg", wire.WHOLE
"""MJPEG over HTTP, read as its headers say; and read by looking for the pictures."""
LINE = 0
"""A socket to the daemon."""


@dataclass(slots=True)
class Told:
    """What the daemon is told. The main thread fills it, and the thread that answers takes pictures from it."""

    line: socket.socket
    memory: mmap.mmap
    way: Way = Way.WAITING
    amount: float = 0.0
    seen_s: float = float("nan")
    gone: bool = False
    """The daemon has closed the line."""
    pixel_aspect: Fraction | None = None
    lacks: Lacks = Lacks.NOTHING
    _dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(wire.DROPS, 0))
    _newest: tuple[VideoFrame, int, float] | None = None
    _there: threading.Condition = field(default_factory=threading.Condition)

    # ---- what happens in the decoder

    def put(self, frame: VideoFrame, number: int, taken_s: float) -> None:
        with self._there:
            self._dropped["overrun"] += self._newest is not None
            self._newest = frame, number, taken_s
            self._there.notify_all()

    def seen(self, taken_s: float) -> None:
        self.seen_s = taken_s

    def drop(self, reason: str, count: int = 1) -> None:
        with self._there:
            self._dropped[reason] += count

    def goes(self, way: Way, amount: float) -> None:
        self.way, self.amount = way, amount

    # ---- what is said

    def note(self) -> None:
        with suppress(BlockingIOError):  # the daemon has not listened for minutes
            self.line.send(self._message(Kind.NOTE).encode(), socket.MSG_DONTWAIT)

    def end(self, ended: Ended) -> None:
        self.line.send(self._message(Kind.END, ended).encode())

    def answer(self) -> None:
        """Give the daemon the newest picture whenever it wants one, until it closes the line."""
        while self.line.recv(len(wire.WANT)):
            image = None
            while image is None:
                with self._there:
                    self._there.wait_for(lambda: self._newest is not None)
                    assert self._newest is not None
                    (frame, number, taken_s), self._newest = self._newest, None
                image = picture(frame, self.pixel_aspect)
                if image is None:
                    self.drop("corrupt")
            height, width = image.shape[:2]
            if width * height > wire.MOST_PIXELS:  # not square pixels may have made it larger
                raise Ended(Cause.TOO_LARGE)
            np.frombuffer(self.memory, np.uint8, image.size)[:] = image.reshape(-1)
            self.line.send(self._message(Kind.PICTURE, None, number, taken_s, width, height).encode())

    def _message(
        self, kind: Kind, ended: Ended | None = None, number: int = 0, at_s: float = 0.0, width: int = 0, height: int = 0
    ) -> Message:
        with self._there:
            dropped = tuple(self._dropped[reason] for reason in wire.DROPS)
        cause, amount = (ended.cause, ended.amount) if ended is not None else (None, self.amount)
        return Message(kind, self.way, cause, amount, number, at_s, width, height, self.seen_s, dropped, self.lacks)


def main() -> None:
    """Read one source, and end."""
    # A whole service is told to stop, and a terminal to interrupt. The daemon decides when this process ends, by closing the line.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = socket.socket(fileno=LINE)
    data, files, _, _ = socket.recv_fds(line, 1 << 20, 1)
    if not data:
        return
    told = Told(line, mmap.mmap(files[0], wire.MEMORY_BYTES))
    os.close(files[0])
    settings = wire.read_settings(data)
    told.lacks = confined(settings.source)
    threading.Thread(target=_at_the_line, args=(told,), name="answers", daemon=True).start()
    _leave(told, _ended(lambda: read(settings, told)))


def confined(source: str) -> Lacks:
    """Give up what this process does not need to read `source`. What the kernel cannot take away is returned."""
    code = Path(__file__).parents[2]
    if not camera_address.is_address(source):
        return confine_reader(MEMORY_BYTES, FILES, code, Path(source), (), listens=False)
    scheme, port = source.partition("://")[0].lower(), camera_address.host_and_port(source)[1]
    port = port or PORTS.get(scheme)
    return confine_reader(MEMORY_BYTES, FILES, code, None, {DNS, port} if port else {DNS}, listens=scheme in camera_address.LISTENING)


def _at_the_line(told: Told) -> None:
    ended = _ended(told.answer)
    if ended is None:
        told.gone = True
    else:
        _leave(told, ended)


def _ended(work: Callable[[], None]) -> Ended | None:
    """Why a thread's work is over; None if the daemon closed the line."""
    try:
        work()
    except Ended as ended:
        return ended
    except (BrokenPipeError, ConnectionResetError):
        return None
    except MemoryError:
        return Ended(Cause.MEMORY)
    except Exception as error:  # noqa: BLE001  a thread's mouth: the daemon says it and tries again
        return Ended(Cause.FAILED, float(getattr(error, "errno", 0) or 0))
    return None


def _leave(told: Told, ended: Ended | None) -> None:
    with suppress(OSError):
        if ended is not None:
            told.end(ended)
    os._exit(0)  # other threads may hang in the library


def read(settings: Settings, told: Told) -> None:
    """Read until the daemon closes the line. Raises Ended when the connection is of no more use, and OSError."""
    told.note()
    if settings.frozen or settings.quiet:
        told.goes(Way.QUIET if settings.quiet else Way.FROZEN, 0.0)
    container = opened(settings, lambda: _leave(told, Ended(Cause.ELSEWHERE)))
    stream = container.streams.video[0]
    context = stream.codec_context
    careful(stream)
    # Frame threads each hold a picture back, and with slice threads the decoder says nothing of damage.
    context.thread_count = 1
    if not context.has_b_frames:
        context.flags |= av.codec.context.Flags.low_delay
    names = set(container.format.name.split(","))
    # The end of such a picture is found where the next one begins.
    packets = Packets(container, stream, Arrivals(stamped=not UNSTAMPED & names), held_back=WHOLE in names)
    decoding, told_s = Decoding(settings, packets, told), 0.0
    try:
        while not told.gone:
            if time.monotonic() - told_s >= NOTE_S:
                told_s = time.monotonic()
                told.note()
            told.pixel_aspect = pixel_aspect(stream)
            decoding.step()
    except Ended as ended:
        if ended.cause is Cause.ENDED and PARTED in names and told.seen_s != told.seen_s:  # NaN: nothing was seen
            raise Ended(Cause.PARTS) from None
        raise
    finally:
        packets.close()
