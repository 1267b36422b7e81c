"""From packets to the newest picture: what comes too late is left out, and what is damaged, still or frozen is not shown."""

import time
from collections.abc import Callable
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from daemon.core.lateness import Lateness
from daemon.core.stillness import Stillness
from daemon.edges.camera import wire
from daemon.edges.camera.asking import Ended, cause_of
from daemon.edges.camera.packets import Waiting
from daemon.edges.camera.wire import Cause, Settings, Way

TAKE_S = 0.25
LATE_S = 0.5
"""A picture is late if it is older than this when it is there, or than half of stale_s if that is more."""
QUEUED_S = 0.1
"""A packet that waited longer for the decoder shows that the decoder is behind."""
KEY_S = 15.0
"""A stream without key frames for so long refreshes its pictures piece by piece, and has done so by then."""
NO_KEY_S = 30.0
MOST_CORRUPT = 100
"""After so many damaged pictures, and not one whole one, a new connection may do better."""
LEAST_SIDE, MOST_STRETCHED = 32, 16
"""No face fits into smaller pictures. Strips come from damaged headers, and would cost memory without end."""
GOOD_S = 10.0
"""If no picture is young enough for so long, a new connection begins at the present."""
REMEMBERED = 64
PLANAR = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray"})
"""Pixel formats whose first plane is the brightness, a byte for each pixel."""


class Source(Protocol):
    """Where packets come from (`Packets`)."""

    def take(self, timeout_s: float) -> Waiting | None: ...
    def lost(self) -> int: ...
    def skip_to_key(self) -> int: ...


class Sink(Protocol):
    """Where pictures and their fate go."""

    def put(self, frame: VideoFrame, number: int, taken_s: float) -> None:
        """This picture is the newest."""
        ...

    def seen(self, taken_s: float) -> None:
        """The camera showed a picture taken then, new or still."""
        ...

    def drop(self, reason: str, count: int = 1) -> None: ...
    def goes(self, way: Way, amount: float) -> None: ...


class Decoding:
    """The decoder of one connection."""

    def __init__(self, settings: Settings, packets: Source, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._packets, self._sink, self._clock = settings, packets, sink, clock
        now_s = clock()
        self._late_s = max(LATE_S, settings.stale_s / 2)
        self._lateness, self._stillness = Lateness(self._late_s, now_s), Stillness(alive_s=settings.stale_s, quiet_s=settings.quiet_s)
        self._came_s = self._good_s = now_s
        self._known = False
        self._key_since_s: float | None = now_s  # since when pictures wait for a key frame; None: they do not
        self._behind_since_s: float | None = None
        self._skipping = False
        self._corrupt = self._number = 0
        self._taken: dict[int | None, float | None] = {}
        self._last_s = -1e9
        self._frozen_before = settings.frozen or settings.quiet
        self._damaged_at: int | None = None

    def step(self) -> None:
        """Take and decode the next packet, if one comes within 0.25 s. Raises Ended."""
        try:
            waiting = self._packets.take(TAKE_S)
        except EOFError:
            raise Ended(Cause.ENDED) from None
        except (av.error.ExitError, TimeoutError):
            raise Ended(Cause.SILENT, self._clock() - self._came_s) from None
        except (av.error.FFmpegError, OSError, ValueError) as error:
            found = cause_of(error, self._settings, ask=False)
            raise (Ended(Cause.ENDED) if found.cause in (Cause.NOT_UNDERSTOOD, Cause.HUNG_UP) else found) from None
        now_s = self._clock()
        if waiting is None:
            if now_s - self._came_s > self._settings.silent_s:
                raise Ended(Cause.SILENT, now_s - self._came_s)
            return
        self._came_s = now_s
        if not self._is_left_out(waiting, now_s):
            self._taken[waiting.packet.pts] = waiting.taken_s
            if len(self._taken) > REMEMBERED:
                del self._taken[next(iter(self._taken))]
            for frame in self._decoded(waiting.packet):
                self._look(frame, waiting)
        now_s = self._clock()
        if self._corrupt > MOST_CORRUPT:
            raise Ended(Cause.UNDECODABLE)
        if self._key_since_s is not None and now_s - self._key_since_s > NO_KEY_S:
            raise Ended(Cause.NO_KEY, now_s - self._key_since_s)
        if now_s - self._good_s > GOOD_S and self._key_since_s is None:
            raise Ended(Cause.LATE, waiting.age_s(now_s)) if self._known else Ended(Cause.NOT_LIVE)

    # ---- before decoding

    def _is_left_out(self, waiting: Waiting, now_s: float) -> bool:
        """Whether a packet is not decoded, because the decoder is behind. What waits may be dropped with it."""
        packet, age_s = waiting.packet, waiting.age_s(now_s)
        context = packet.stream.codec_context
        if lost := self._packets.lost():
            self._leave_out(lost, waiting, now_s)
            self._skipping = True
        if age_s <= self._late_s or now_s - waiting.arrived_s < QUEUED_S:
            self._behind_since_s = None
            if context.skip_frame != "DEFAULT" and age_s < self._late_s / 2:
                context.skip_frame = "DEFAULT"
        elif not packet.is_keyframe:
            context.skip_frame = "NONREF"  # the frames that no other one needs
            self._behind_since_s = now_s if self._behind_since_s is None else self._behind_since_s
            if dropped := self._packets.skip_to_key():
                self._leave_out(dropped, waiting, now_s)
                self._skipping = True
            elif age_s > self._settings.stale_s and now_s - self._behind_since_s > self._settings.stale_s:
                self._skipping = True  # it does not catch up
        if not self._skipping:
            return False
        if not packet.is_keyframe:
            self._leave_out(1, waiting, now_s)
            return True
        context.flush_buffers()
        self._skipping, self._behind_since_s = False, None
        return False

    def _leave_out(self, count: int, waiting: Waiting, now_s: float) -> None:
        self._sink.drop("stale", count)
        age_s = waiting.age_s(now_s)
        self._lateness.note(now_s, age_s, age_s - (now_s - waiting.arrived_s), count)

    # ---- decoding

    def _decoded(self, packet: "av.Packet[av.VideoStream]") -> list[VideoFrame]:
        if packet.is_corrupt:
            self._damaged_at = packet.pts
        try:
            return packet.decode()
        except MemoryError:
            raise Ended(Cause.MEMORY) from None
        except (av.error.FFmpegError, ValueError):
            self._damaged()
            return []

    def _damaged(self) -> None:
        """What follows is made from this picture, up to the next key frame."""
        self._sink.drop("corrupt")
        self._corrupt += 1
        if self._key_since_s is None:
            self._key_since_s = self._clock()

    def _is_whole(self, frame: VideoFrame) -> bool:
        if frame.is_corrupt or (self._damaged_at is not None and frame.pts == self._damaged_at):
            self._damaged_at = None
            self._damaged()
            return False
        if self._key_since_s is not None and not frame.key_frame and self._clock() - self._key_since_s < KEY_S:
            self._sink.drop("corrupt")
            return False
        self._key_since_s, self._corrupt = None, 0
        if frame.width * frame.height > wire.MOST_PIXELS:
            raise Ended(Cause.TOO_LARGE)
        short, long = sorted((frame.width, frame.height))
        if short < LEAST_SIDE or long > MOST_STRETCHED * short:
            raise Ended(Cause.ODD_SHAPE)
        return True

    # ---- looking at pictures

    def _look(self, frame: VideoFrame, waiting: Waiting) -> None:
        if not self._is_whole(frame):
            return
        now_s, stale_s = self._clock(), self._settings.stale_s
        taken_s = self._taken.get(frame.pts, waiting.taken_s)
        if taken_s is None:
            self._sink.drop("stale")
            return
        self._known = True
        age_s = now_s - taken_s
        self._lateness.note(now_s, age_s, age_s - (now_s - waiting.arrived_s))
        look = self._stillness.observe(brightness(frame), taken_s, frame.key_frame)
        if age_s > stale_s:
            if self._lateness.reason is not None:
                self._say_whether_late()
            self._sink.drop("stale")
            return
        self._good_s = now_s
        # A frozen source is opened again at times. That it opens proves nothing; life does.
        self._frozen_before = self._frozen_before and look != "new"
        if look == "frozen" or self._frozen_before:
            still_s = self._stillness.still_for(taken_s)
            self._sink.drop("frozen")
            quiet = self._stillness.by_quiet if look == "frozen" else self._settings.quiet
            self._sink.goes(Way.QUIET if quiet else Way.FROZEN, still_s)
            if look == "frozen" and still_s > (
                self._settings.quiet_s + self._settings.quiet_reopen_s if quiet else self._settings.frozen_reopen_s
            ):
                raise Ended(Cause.QUIET if quiet else Cause.FROZEN, still_s)
            return
        self._sink.seen(taken_s)
        self._say_whether_late()
        if look == "still":
            self._sink.drop("still")
            return
        # Frames may come out of order, and the camera's clock may be corrected by a little. The daemon's time only goes on.
        self._last_s = min(max(taken_s, self._last_s + 1e-4), now_s)
        self._number += 1
        self._sink.put(frame, self._number, self._last_s)

    def _say_whether_late(self) -> None:
        match self._lateness.reason:
            case None:
                self._sink.goes(Way.WELL, 0.0)
            case "network":
                self._sink.goes(Way.LATE_NETWORK, self._lateness.mean_s)
            case "decoding":
                self._sink.goes(Way.LATE_DECODING, self._lateness.mean_s)


def brightness(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """The brightness of a picture, uint8 [H, W]: a view of it where its format allows that."""
    if frame.format.name in PLANAR:
        plane = frame.planes[0]
        return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)
