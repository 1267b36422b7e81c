"""The inside of a camera's process: it opens one source, decodes it, and has the newest picture ready when the daemon wants it.

One process serves one connection; when that ends, so does the process. A thread takes packets from the network, so that slow decoding never
holds them up there, where nobody could see how long they wait. The main thread decodes. A third thread answers the daemon.
"""

import mmap
import os
import resource
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from daemon.core.arrivals import Arrivals
from daemon.core.stillness import Stillness
from daemon.edges.camera import wire
from daemon.edges.camera.asking import Ended, cause_of, opened
from daemon.edges.camera.decoded import picture
from daemon.edges.camera.wire import Cause, Kind, Message, Settings, Way

NOTE_S = 0.25
"""The daemon hears this often how things go."""
WAITING_BYTES = 64 << 20
BURST = 2000
"""So many packets, and so many bytes, may wait for the decoder. Then the oldest go."""
THREADS = 4
MEMORY_MORE = 2 << 30
KEY_S = 15.0
"""A stream without key frames for so long refreshes its pictures piece by piece, and has done so by then."""
MOST_CORRUPT = 100
WINDOW_S = 4.0
"""How pictures come is judged over so many seconds."""
LATE_SHARE = 0.34
LATE_S = 0.5
"""A picture is late if it is older than this when it is there, or than half of stale_s if that is more."""
LATE_END_S = 10.0
"""If every picture is too old for so long, a new connection begins at the present."""
RECORDING_S = 10.0
UNSTAMPED = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "mpegvideo", "obu", "ivf"})
"""Formats without time stamps: FFmpeg invents them."""
LINE = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A packet, when it came, and when its picture was taken (None: not known)."""

    packet: "av.Packet[VideoStream]"
    arrived_s: float
    taken_s: float | None


class Packets:
    """Packets from the network, taken by a thread of their own."""

    def __init__(self, container: InputContainer, stream: VideoStream, arrivals: Arrivals) -> None:
        self._container, self._stream, self._arrivals = container, stream, arrivals
        self._there = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._error: Exception | None = None
        self._over = self._stop = False
        self.left_out = 0
        """Packets that were dropped because there were too many."""
        self._thread = threading.Thread(target=self._run, name="packets", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Waiting | None:
        """The next packet. Raises the error of FFmpeg, and EOFError when the stream is over."""
        with self._there:
            if not self._there.wait_for(lambda: self._waiting or self._over, timeout_s):
                return None
            if self._waiting:
                return self._pop()
            raise self._error or EOFError

    def skip_to_key(self) -> int:
        """Drop what waits before the newest key frame that waits; all that waits, if there is none. How many were dropped."""
        with self._there:
            place = max((n for n, w in enumerate(self._waiting) if w.packet.is_keyframe), default=len(self._waiting))
            for _ in range(place):
                self._pop()
            return place

    def oldest_s(self) -> float | None:
        """When the picture was taken that has waited longest."""
        with self._there:
            return next((w.taken_s if w.taken_s is not None else w.arrived_s for w in self._waiting), None)

    def close(self) -> None:
        """Let the source go, if the thread comes back soon."""
        self._stop = True
        self._thread.join(0.6)
        if not self._thread.is_alive():
            self._container.close()

    def _pop(self) -> Waiting:
        first = self._waiting.popleft()
        self._bytes -= first.packet.size
        return first

    def _run(self) -> None:
        try:
            for packet in self._container.demux(self._stream):
                if self._stop:
                    return
                if packet.size == 0:
                    continue
                arrived_s = time.monotonic()
                stamp_s = None if packet.pts is None else float(packet.pts * packet.time_base)
                taken_s = self._arrivals.taken_s(arrived_s, stamp_s)
                with self._there:
                    self._waiting.append(Waiting(packet, arrived_s, taken_s))
                    self._bytes += packet.size
                    while len(self._waiting) > BURST or self._bytes > WAITING_BYTES:
                        self._pop()
                        self.left_out += 1
                    self._there.notify_all()
        except Exception as error:  # noqa: BLE001  a thread's mouth: the main thread says what it means
            self._error = error
        finally:
            with self._there:
                self._over = True
                self._there.notify_all()


@dataclass(slots=True)
class Pace:
    """Whether pictures come late, judged over the last seconds."""

    late_s: float
    way: Way = Way.WAITING
    amount: float = 0.0
    _since_s: float = 0.0
    _all: int = 0
    _late: int = 0
    _in_network: int = 0
    _sum_s: float = 0.0

    def note(self, now_s: float, age_s: float, in_network_s: float) -> None:
        """A picture is there, or was left out, `age_s` after it was taken; the network took `in_network_s` of that."""
        self._all += 1
        if age_s > self.late_s:
            self._late += 1
            self._sum_s += age_s
            self._in_network += in_network_s > 0.5 * age_s
        if now_s - self._since_s >= WINDOW_S:
            late = self._late > LATE_SHARE * self._all
            by_network = 2 * self._in_network >= self._late
            self.way = Way.WELL if not late else Way.LATE_NETWORK if by_network else Way.LATE_DECODING
            self.amount = self._sum_s / self._late if late else 0.0
            self._since_s, self._all, self._late, self._in_network, self._sum_s = now_s, 0, 0, 0, 0.0


@dataclass(slots=True)
class Told:
    """What the daemon knows of this process: one message at a time, from two threads."""

    line: socket.socket
    memory: mmap.mmap
    way: Way = Way.WAITING
    amount: float = 0.0
    seen_s: float = float("nan")
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(wire.DROPS, 0))
    _newest: tuple[VideoFrame, int, float] | None = None
    _there: threading.Condition = field(default_factory=threading.Condition)

    def put(self, frame: VideoFrame, number: int, taken_s: float) -> None:
        """This picture is the newest."""
        with self._there:
            self.dropped["overrun"] += self._newest is not None
            self._newest = frame, number, taken_s
            self._there.notify_all()

    def drop(self, reason: str, count: int = 1) -> None:
        with self._there:
            self.dropped[reason] += count

    def answer(self) -> None:
        """Give the daemon pictures when it wants them, until it closes the line."""
        while self.line.recv(16):
            with self._there:
                self._there.wait_for(lambda: self._newest is not None)
                assert self._newest is not None
                (frame, number, taken_s), self._newest = self._newest, None
            image = picture(frame)
            height, width = image.shape[:2]
            size = 3 * height * width
            if size > wire.MEMORY_BYTES:
                self.end(Ended(Cause.TOO_LARGE))
                os._exit(0)
            np.frombuffer(self.memory, np.uint8, size)[:] = image.reshape(-1)
            self._say(Kind.PICTURE, None, self.amount, number, taken_s, width, height)

    def note(self) -> None:
        self._say(Kind.NOTE, None, self.amount)

    def end(self, ended: Ended) -> None:
        self._say(Kind.END, ended.cause, ended.amount)

    def _say(
        self, kind: Kind, cause: Cause | None, amount: float, number: int = 0, at_s: float = 0.0, width: int = 0, height: int = 0
    ) -> None:
        with self._there:
            dropped = tuple(self.dropped[reason] for reason in wire.DROPS)
        message = Message(kind, self.way, cause, amount, number, at_s, width, height, self.seen_s, dropped)
        with suppress(BlockingIOError):  # the daemon has not listened for minutes
            self.line.send(message.encode(), 0 if kind is not Kind.NOTE else socket.MSG_DONTWAIT)


def main() -> None:
    """Read one source, and end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = socket.socket(fileno=LINE)
    data, files, _, _ = socket.recv_fds(line, 1 << 20, 1)
    if not data:
        return
    settings = wire.read_settings(data)
    told = Told(line, mmap.mmap(files[0], wire.MEMORY_BYTES))
    os.close(files[0])
    _limit()
    threading.Thread(target=_answer, args=(told,), name="answers", daemon=True).start()
    try:
        ended = _read(settings, told)
    except BrokenPipeError:
        return
    except MemoryError:
        ended = Ended(Cause.MEMORY)
    except Exception as error:  # noqa: BLE001  the daemon says it and tries again
        ended = Ended(Cause.FAILED, float(getattr(error, "errno", 0) or 0))
    with suppress(OSError):
        told.end(ended)
    os._exit(0)  # a thread may hang in the library


def _answer(told: Told) -> None:
    try:
        told.answer()
    except OSError:
        pass
    except MemoryError:
        told.end(Ended(Cause.MEMORY))
        os._exit(0)
    _gone.set()


_gone = threading.Event()
"""The daemon has closed the line."""


def _limit() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, limit in ((resource.RLIMIT_AS, taken + MEMORY_MORE), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 64)):
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))


def _read(settings: Settings, told: Told) -> Ended:
    """Read until the connection is of no more use; returns why."""
    told.note()
    try:
        container = opened(settings)
    except Ended as ended:
        return ended
    stream = container.streams.video[0]
    context = stream.codec_context
    context.thread_type, context.thread_count = "SLICE", min(THREADS, os.cpu_count() or 1)
    if not context.has_b_frames:
        context.flags |= av.codec.context.Flags.low_delay
    names = set(container.format.name.split(","))
    packets = Packets(container, stream, Arrivals(stamped=not names & UNSTAMPED))
    try:
        for _ in _decode(settings, told, packets):
            if _gone.is_set():
                break
    except Ended as ended:
        return ended
    finally:
        packets.close()
    return Ended(Cause.ENDED)


def _decode(settings: Settings, told: Told, packets: Packets) -> Iterator[None]:
    """Decode packet after packet. Raises Ended."""
    stale_s = settings.stale_s
    late_s = max(LATE_S, stale_s / 2)
    now_s = time.monotonic()
    pace, stillness = Pace(late_s, _since_s=now_s), Stillness()
    came_s = told_s = began_s = good_s = now_s
    key_s: float | None = now_s
    """Since when pictures wait for a key frame; None: they do not."""
    known_s: float | None = None
    number = corrupt = left_out = 0
    taken: dict[int | None, float | None] = {}
    skipping = False
    while True:
        yield
        now_s = time.monotonic()
        if now_s - told_s >= NOTE_S:
            told_s = now_s
            told.note()
        try:
            waiting = packets.take(NOTE_S)
        except EOFError:
            raise Ended(Cause.ENDED) from None
        except Exception as error:
            if isinstance(error, av.error.ExitError | TimeoutError):
                raise Ended(Cause.SILENT, now_s - came_s) from None
            found = cause_of(error, settings)
            raise Ended(Cause.ENDED) if found.cause in (Cause.NOT_UNDERSTOOD, Cause.HUNG_UP) else found from None
        now_s = time.monotonic()
        if waiting is None:
            if now_s - came_s > settings.silent_s:
                raise Ended(Cause.SILENT, now_s - came_s)
            continue
        came_s = now_s
        packet = waiting.packet
        if packets.left_out > left_out:
            told.drop("stale", packets.left_out - left_out)
            left_out, skipping = packets.left_out, True
        # ---- before decoding: what comes too late anyway is left out
        age_s = now_s - (waiting.taken_s if waiting.taken_s is not None else waiting.arrived_s)
        skip = packet.stream.codec_context
        if age_s > late_s and not packet.is_keyframe and now_s - waiting.arrived_s > 0.1:
            dropped = packets.skip_to_key()
            if dropped or age_s > stale_s:
                told.drop("stale", dropped + 1)
                pace.note(now_s, age_s, waiting.arrived_s - (now_s - age_s))
                skipping = True
                continue
            skip.skip_frame = "NONREF"
        elif skip.skip_frame != "DEFAULT" and age_s < late_s / 2:
            skip.skip_frame = "DEFAULT"
        if skipping and not packet.is_keyframe:
            told.drop("stale")
            pace.note(now_s, age_s, waiting.arrived_s - (now_s - age_s))
            continue
        if skipping:
            skip.flush_buffers()
            skipping = False
        taken[packet.pts] = waiting.taken_s
        while len(taken) > 64:
            del taken[next(iter(taken))]
        # ---- decoding
        try:
            frames = packet.decode()
        except MemoryError:
            raise Ended(Cause.MEMORY) from None
        except av.error.FFmpegError:
            told.drop("corrupt")
            corrupt += 1
            key_s = key_s if key_s is not None else now_s
            frames = []
        now_s = time.monotonic()
        for frame in frames:
            if frame.is_corrupt:
                told.drop("corrupt")
                corrupt += 1
                key_s = key_s if key_s is not None else now_s
                continue
            if key_s is not None and not frame.key_frame and now_s - key_s < KEY_S:
                told.drop("corrupt")
                continue
            key_s, corrupt = None, 0
            if frame.width * frame.height > wire.MOST_PIXELS:
                raise Ended(Cause.TOO_LARGE)
            taken_s = taken.get(frame.pts, waiting.taken_s)
            if taken_s is None:
                told.drop("stale")
                if now_s - began_s > RECORDING_S and known_s is None:
                    raise Ended(Cause.NOT_LIVE)
                continue
            known_s = now_s
            age_s = now_s - taken_s
            pace.note(now_s, age_s, waiting.arrived_s - taken_s)
            look = stillness.observe(_luma(frame), taken_s)
            if age_s > stale_s:
                told.drop("stale")
                if now_s - good_s > LATE_END_S and now_s - began_s > LATE_END_S:
                    raise Ended(Cause.LATE, age_s)
                continue
            good_s = now_s
            if look == "frozen":
                still_s = stillness.still_for(taken_s)
                told.drop("frozen")
                told.way, told.amount = Way.FROZEN, still_s
                if now_s - began_s > settings.frozen_reopen_s and still_s > settings.frozen_reopen_s:
                    raise Ended(Cause.FROZEN, still_s)
                continue
            if pace.way is Way.WAITING:
                pace.way = Way.WELL
            told.way, told.amount = pace.way, pace.amount
            told.seen_s = taken_s
            if look == "still":
                told.drop("still")
                continue
            number += 1
            told.put(frame, number, taken_s)
        if corrupt > MOST_CORRUPT:
            raise Ended(Cause.UNDECODABLE)
        if key_s is not None and now_s - key_s > 2 * KEY_S:
            raise Ended(Cause.NO_KEY, now_s - key_s)


def _luma(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """The brightness, uint8 [H, W]."""
    if frame.format.name in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"):
        plane = frame.planes[0]
        return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)
