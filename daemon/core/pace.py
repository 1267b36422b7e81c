"""Whether a gate looks at enough frames for the people who pass: judged from how many it looked at, and how many it lost meanwhile."""

from dataclasses import dataclass

PASSAGE_S = 2.0
"""For so long somebody who walks up to a gate is seen well enough. The gate needs `min_frames` good frames in this time."""
WINDOW_S = 5.0
"""The frames of so many seconds are judged together."""
SLOW_WINDOWS = 2
"""So many windows in a row must be too slow: opening a stream and a burst of faces are no fault."""
LOSSES = frozenset({"overrun", "stale", "behind"})
"""The reasons to drop a frame that say that this box, or its network, is too slow. A picture in which nothing changed is no loss."""


def needed_fps(min_frames: int, lost_s: float) -> float:
    """How many frames a second a gate must look at: `min_frames` within a passage, and two within `lost_s`, after which a face has left."""
    return max(min_frames / PASSAGE_S, 2 / lost_s)


@dataclass(slots=True)
class Pace:
    """The pace of one gate that needs `need_fps`. Times are seconds of a clock that never steps."""

    need_fps: float
    slow: str | None = None
    """What the gate looks at and what it needs, if that is too little."""
    _since_s: float | None = None
    _looked: int = 0
    _lost: int = 0
    _slow_windows: int = 0

    def late(self) -> None:
        """A frame that was looked at, or will be said to be, came too late all the same."""
        self._looked, self._lost = self._looked - 1, self._lost + 1

    def saw(self, now_s: float, looked: int, lost: int) -> None:
        """So many more frames were looked at, and so many were lost (`LOSSES`), up to now."""
        if self._since_s is None:
            self._since_s = now_s
            return
        self._looked, self._lost = self._looked + looked, self._lost + lost
        passed_s = now_s - self._since_s
        if passed_s < WINDOW_S:
            return
        looked = max(0, self._looked)  # a frame that comes too late may be one of the window before
        rate = looked / passed_s
        if self._lost and rate < self.need_fps:
            self._slow_windows += 1
            if self._slow_windows >= SLOW_WINDOWS:
                self.slow = f"{rate:.1f} frames a second of {(looked + self._lost) / passed_s:.1f}, and needs {self.need_fps:.1f}"
        else:
            self._slow_windows, self.slow = 0, None
        self._since_s, self._looked, self._lost = now_s, 0, 0
