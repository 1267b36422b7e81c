"""A live camera: an RTSP or HTTP URL, or a V4L2 device. Only the newest frame is kept, and a lost camera is tried again and again."""

import os
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from daemon.core.values import CameraTrouble, Frame, Image
from daemon.edges.camera.source import State

# FFmpeg's options come from the environment and hold for the whole process, so there are only options that suit every source. TCP, because
# packets lost over UDP smear pictures. Not `nobuffer`, which would save `Backlog` some work but breaks Matroska files.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# Otherwise a lost camera would print a warning on the terminal at each try; `Camera.detail` says it better.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_FATAL)

OPEN_S = 5.0
BACKOFF_S = (1.0, 30.0)
SETTLED_S = 10.0
"""A camera that fails after it delivered for this long is tried again at once; after a sooner failure the pause grows each time."""
FROZEN_REOPEN_S = 10.0
HANG_S = 5.0
"""How much longer than its own timeout a call into the video library may take before its thread is abandoned."""
CLOSE_S = 1.5
WAITED_S = 0.008
BACKLOG_FRAMES = 250


class Capture(Protocol):
    """The part of cv2.VideoCapture that a live camera needs."""

    def read(self) -> tuple[bool, np.ndarray | None]: ...
    def release(self) -> None: ...


def open_url(url: str, stale_s: float) -> Capture | None:
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_S * 1000), cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(_read_timeout_s(stale_s) * 1000)]
    # FFmpeg's threads each hold a picture back: with eight of them a picture is eight frames old when it comes.
    return _opened(cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*timeouts, cv2.CAP_PROP_N_THREADS, 1]))


def open_device(path: str) -> Capture | None:
    if not Path(path).exists():
        # Asking the library would print to the terminal each time.
        return None
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return _opened(capture)


def _opened(capture: cv2.VideoCapture) -> Capture | None:
    if capture.isOpened():
        return capture
    capture.release()
    return None


def _read_timeout_s(stale_s: float) -> float:
    return max(2 * stale_s, 5.0)


@dataclass(slots=True)
class Backlog:
    """Tells present pictures from old ones, which waited while the stream was opened or while the network hung.

    A picture that the reader had to wait for is present. Pictures that come without waiting, right after opening or after a long silence,
    are old. So is the picture that ended the silence: it is the oldest of those that were held up.
    """

    stale_s: float
    left: int = BACKLOG_FRAMES

    def is_old(self, waited_s: float) -> bool:
        if waited_s > self.stale_s:
            self.left = BACKLOG_FRAMES
            return True
        if self.left > 0:
            self.left = 0 if waited_s >= WAITED_S else self.left - 1
        return self.left > 0


@dataclass(slots=True)
class _Reader:
    """What one reader thread and its camera share. A thread whose `abandoned` is set changes nothing any more."""

    busy_since_s: float
    limit_s: float
    abandoned: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class LiveCamera:
    """A camera that is read by a thread of its own, so that a library that hangs blocks nobody else. Keeps only the newest frame."""

    live = True

    def __init__(
        self,
        gate: str,
        name: str,
        opener: Callable[[], Capture | None],
        stale_s: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
        backoff_s: tuple[float, float] = BACKOFF_S,
        hang_s: float = HANG_S,
        frozen_reopen_s: float = FROZEN_REOPEN_S,
    ) -> None:
        self.gate, self.name = gate, name
        self._opener, self._stale_s, self._clock, self._wall = opener, stale_s, clock, wall
        self._backoff_s, self._hang_s, self._frozen_reopen_s = backoff_s, hang_s, frozen_reopen_s
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._number = -1
        self._fresh_s: float | None = None
        self._dropped: Counter[str] = Counter()
        self._why = "not opened yet"
        self._closed = self._frozen = False
        self._reader: _Reader | None = None

    def start(self) -> None:
        reader = _Reader(self._clock(), OPEN_S + self._hang_s)
        reader.thread = threading.Thread(target=self._run, args=(reader,), name=f"camera-{self.gate}", daemon=True)
        self._reader = reader
        reader.thread.start()

    @property
    def state(self) -> State:
        with self._changed:
            return "ended" if self._closed else "up" if self._is_fresh() else "down"

    @property
    def trouble(self) -> CameraTrouble | None:
        with self._changed:
            return None if self._is_fresh() or self._closed else "frozen" if self._frozen else "down"

    @property
    def detail(self) -> str | None:
        with self._changed:
            if self._closed:
                return "closed"
            return None if self._is_fresh() else f"{self.name}: {self._why}"

    @property
    def dropped(self) -> Mapping[str, int]:
        with self._changed:
            return dict(self._dropped)

    def read(self, timeout_s: float) -> Frame | None:
        self._replace_hanging_reader()
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout_s)
            frame, self._frame = self._frame, None
            if frame is None or self._closed:
                return None
            if self._clock() - frame.at_s > self._stale_s:
                self._dropped["stale"] += 1
                return None
            return frame

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._frame = None
            self._changed.notify_all()
        reader = self._reader
        if reader is not None and reader.thread is not None:
            reader.abandoned.set()
            reader.thread.join(CLOSE_S)

    def _is_fresh(self) -> bool:
        return self._fresh_s is not None and self._clock() - self._fresh_s <= self._stale_s

    def _replace_hanging_reader(self) -> None:
        reader = self._reader
        if reader is None or self._closed or self._clock() - reader.busy_since_s <= reader.limit_s:
            return
        # A call into the library cannot be ended from outside. Its thread is abandoned, and does nothing more if the call ever returns.
        reader.abandoned.set()
        with self._changed:
            self._why = "the video library hangs; trying again with a new connection"
        self.start()

    # ---- the reader thread

    def _run(self, reader: _Reader) -> None:
        pause_s = self._backoff_s[0]
        while not reader.abandoned.is_set():
            self._enter(reader, OPEN_S)
            capture = self._opener()
            if capture is None:
                self._say(reader, f"cannot be opened; next try in {pause_s:.0f} s")
            else:
                began_s = self._clock()
                try:
                    why = self._pump(reader, capture)
                finally:
                    self._enter(reader, OPEN_S)
                    capture.release()
                if self._clock() - began_s > SETTLED_S:
                    pause_s = self._backoff_s[0]
                self._say(reader, f"{why}; next try in {pause_s:.0f} s")
            reader.limit_s = float("inf")
            if reader.abandoned.wait(pause_s):
                return
            pause_s = min(2 * pause_s, self._backoff_s[1])

    def _pump(self, reader: _Reader, capture: Capture) -> str:
        """Read until the connection is of no more use; returns why."""
        last_print, last_new_s, failures, backlog = None, self._clock(), 0, Backlog(self._stale_s)
        while not reader.abandoned.is_set():
            self._enter(reader, _read_timeout_s(self._stale_s))
            ok, image = capture.read()
            at_s, captured_at = self._clock(), self._wall()
            if reader.abandoned.is_set():
                break
            if not ok:
                return "the stream ended or stopped sending"
            if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                self._count("corrupt")
                failures += 1
                if failures > 100:
                    return "the camera sends no pictures that can be decoded"
                continue
            failures = 0
            if backlog.is_old(at_s - reader.busy_since_s):
                self._count("stale")
                continue
            # A sensor's noise changes every picture. The same bytes again are the same picture, and no further evidence.
            fingerprint = zlib.crc32(np.ascontiguousarray(image[::4]).data)
            if fingerprint == last_print:
                self._count("frozen")
                self._say(reader, f"the picture is frozen: the same for {at_s - last_new_s:.0f} s")
                self._frozen = True
                # Reopening costs seconds, and a still scene at night may be compressed to equal pictures: wait longer than for `down`.
                if at_s - last_new_s > max(self._frozen_reopen_s, self._stale_s):
                    return "the picture is frozen"
                continue
            last_print, last_new_s = fingerprint, at_s
            self._put(reader, np.ascontiguousarray(image, np.uint8), at_s, captured_at)
        return "closed"

    def _enter(self, reader: _Reader, timeout_s: float) -> None:
        reader.busy_since_s, reader.limit_s = self._clock(), timeout_s + self._hang_s

    def _put(self, reader: _Reader, image: Image, at_s: float, captured_at: float) -> None:
        with self._changed:
            if reader.abandoned.is_set():
                return
            self._number += 1
            if self._frame is not None:
                self._dropped["overrun"] += 1
            self._frame = Frame(self.gate, self._number, at_s, captured_at, image)
            self._fresh_s, self._frozen = at_s, False
            self._why = f"nothing new for more than {self._stale_s:g} s"
            self._changed.notify_all()

    def _count(self, reason: str) -> None:
        with self._changed:
            self._dropped[reason] += 1

    def _say(self, reader: _Reader, why: str) -> None:
        with self._changed:
            if not reader.abandoned.is_set():
                self._why = why
