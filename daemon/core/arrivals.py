"""When the pictures of a stream were taken, by when they came and by the time stamps in the stream.

A picture cannot come before it was taken. So the least that time of arrival and time stamp have differed lately says what the stamps mean,
and a picture that comes later than its stamp says has waited: in the camera, in the network or in a buffer.
"""

from collections import deque
from dataclasses import dataclass, field

SETTLE_S = 0.4
"""Stamps mean something once the least difference has not fallen for so long. While old pictures pour in, it falls all the time."""
FALL_S, FALL_RATE = 0.05, 0.01
"""The difference has fallen if it did by more than this, and faster than this many seconds a second: less is the network's jitter, or a
camera's clock that is fast."""
DRIFT = 0.005
"""So much may the camera's clock go wrong, as a share. The least difference rises by it, or a slow clock would look like a growing wait."""
BACK_S = 1.0
"""Stamps that fall back by more are counted anew. Less is usual: pictures are sent in the order of decoding."""
STUCK = 8
"""Stamps that do not rise over so many packets are counted anew as well."""
MOST_BREAKS, BREAKS_S = 5, 10.0
"""A stream whose stamps break more often in so many seconds has none that can be used."""
SILENCE_S, SILENT_STEPS = 0.5, 4.0
"""Without stamps: after a pause this long, and so many times longer than usual, pictures may have piled up."""
CALM = 4
"""Without stamps: pictures that come no faster than usual over so many steps have not piled up."""
QUICK_S = 0.05
"""Without stamps and at the beginning, when nothing is usual yet: so many steps take longer than this."""
LONG_ENOUGH = 250
"""Without stamps: a source that sends so many pictures in a hurry always does."""


@dataclass(slots=True)
class Arrivals:
    """Fed with every packet of one connection, in the order in which they came."""

    stamped: bool = True
    _least_s: float | None = None
    _anchor_s: float = 0.0
    _fallen_s: float = 0.0
    _newest: float = 0.0
    _not_newer: int = 0
    _last_s: float | None = None
    _breaks: deque[float] = field(default_factory=deque)
    _steps: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=CALM))
    _hurried: int = 0
    _calm: bool = False

    def taken_s(self, arrived_s: float, stamp_s: float | None) -> float | None:
        """When the picture in a packet was taken, in seconds of the clock of `arrived_s`; None while that cannot be known.

        `arrived_s` is when the packet came, in seconds of a clock that never steps; `stamp_s` its time stamp in the stream.
        """
        last_s, self._last_s = self._last_s, arrived_s
        if not self.stamped or stamp_s is None:
            return self._by_arrival(arrived_s, last_s)
        if self._least_s is not None and self._breaks_off(stamp_s):
            self._least_s = None
            self._breaks.append(arrived_s)
            while arrived_s - self._breaks[0] > BREAKS_S:
                self._breaks.popleft()
            if len(self._breaks) > MOST_BREAKS:
                self.stamped = False
                return None
        wait_s = arrived_s - stamp_s
        if self._least_s is None:
            self._least_s = self._anchor_s = wait_s
            self._fallen_s, self._newest, self._not_newer = arrived_s, stamp_s, 0
        else:
            step_s = min(1.0, arrived_s - (last_s if last_s is not None else arrived_s))
            self._least_s = min(wait_s, self._least_s + DRIFT * step_s)
            self._anchor_s = max(self._anchor_s - FALL_RATE * step_s, self._least_s)
            if self._least_s < self._anchor_s - FALL_S:
                self._anchor_s, self._fallen_s = self._least_s, arrived_s
            self._newest = max(self._newest, stamp_s)
        if arrived_s - self._fallen_s < SETTLE_S:
            return None
        return min(arrived_s, stamp_s + self._least_s)

    def _breaks_off(self, stamp_s: float) -> bool:
        self._not_newer = 0 if stamp_s > self._newest else self._not_newer + 1
        return stamp_s < self._newest - BACK_S or self._not_newer >= STUCK

    def _by_arrival(self, arrived_s: float, last_s: float | None) -> float | None:
        if last_s is None:
            return None
        step_s = arrived_s - last_s
        usual_s = sum(self._steps) / len(self._steps) if self._steps else None
        if step_s > max(SILENCE_S, SILENT_STEPS * (usual_s or 0.0)):
            # What ends a silence is the oldest of what was held up.
            self._calm, self._hurried = False, 0
            self._recent.clear()
            return None
        self._recent.append(step_s)
        if not self._calm:
            self._hurried += 1
            needed_s = QUICK_S if usual_s is None else 0.5 * CALM * usual_s
            self._calm = (len(self._recent) == CALM and sum(self._recent) >= needed_s) or self._hurried > LONG_ENOUGH
            if not self._calm:
                return None
        self._steps.append(step_s)
        return arrived_s
