"""Packets of a stream, taken from the network by a thread of their own: slow decoding never holds them up where nobody sees it."""

import threading
import time
from collections import deque
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from daemon.core.arrivals import Arrivals

MOST_PACKETS, MOST_BYTES = 2000, 64 << 20
"""So many may wait for the decoder. Then the oldest go."""
JOIN_S = 0.6


@dataclass(frozen=True, slots=True)
class Waiting:
    """A packet, when it came, and when its picture was taken (None: not known)."""

    packet: "av.Packet[VideoStream]"
    arrived_s: float
    taken_s: float | None

    def age_s(self, now_s: float) -> float:
        """How old its picture is, at least."""
        return now_s - (self.taken_s if self.taken_s is not None else self.arrived_s)


class Packets:
    """The packets of one video stream."""

    def __init__(self, container: InputContainer, stream: VideoStream, arrivals: Arrivals, *, held_back: bool = False) -> None:
        """`held_back`: a packet comes only when the next one begins."""
        self._held_back = held_back
        self._container, self._stream, self._arrivals = container, stream, arrivals
        self._there = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._bytes = self._lost = 0
        self._error: Exception | None = None
        self._over = self._stop = False
        self._thread = threading.Thread(target=self._run, name="packets", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Waiting | None:
        """The next packet, None if none comes. Raises what FFmpeg raised, and EOFError when the stream is over."""
        with self._there:
            if not self._there.wait_for(lambda: self._waiting or self._over, timeout_s):
                return None
            if self._waiting:
                return self._pop()
            raise self._error or EOFError

    def lost(self) -> int:
        """How many packets have been dropped since the last question, because too many waited."""
        with self._there:
            lost, self._lost = self._lost, 0
            return lost

    def skip_to_key(self) -> int:
        """Drop what waits before the newest key frame that waits; nothing, if none does. How many were dropped."""
        with self._there:
            place = max((n for n, w in enumerate(self._waiting) if w.packet.is_keyframe), default=0)
            for _ in range(place):
                self._pop()
            return place

    def close(self) -> None:
        """Take leave of the camera, if the thread comes back soon. Some cameras count who did not."""
        self._stop = True
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            self._container.close()

    def _pop(self) -> Waiting:
        first = self._waiting.popleft()
        self._bytes -= first.packet.size
        return first

    def _run(self) -> None:
        before_s: float | None = None
        try:
            for packet in self._container.demux(self._stream):
                if self._stop:
                    return
                now_s = time.monotonic()
                began_s = before_s if self._held_back else now_s
                if packet.size > 0 and began_s is not None:
                    self._put(packet, now_s, began_s)
                before_s = now_s
        except Exception as error:  # noqa: BLE001  a thread's mouth: who takes packets says what it means
            self._error = error
        finally:
            with self._there:
                self._over = True
                self._there.notify_all()

    def _put(self, packet: "av.Packet[VideoStream]", arrived_s: float, began_s: float) -> None:
        stamp_s = None if packet.pts is None else float(packet.pts * packet.time_base)
        waiting = Waiting(packet, arrived_s, self._arrivals.taken_s(began_s, stamp_s))
        with self._there:
            self._waiting.append(waiting)
            self._bytes += packet.size
            while len(self._waiting) > MOST_PACKETS or self._bytes > MOST_BYTES:
                self._pop()
                self._lost += 1
            self._there.notify_all()
