"""Frames of any times onto a film of constant rate: every frame is shown, and real time is kept as far as that goes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SLOWEST_FPS, FASTEST_FPS, USUAL_FPS = 1.0, 60.0, 25.0
LONGEST_STILL_S = 2.0
"""A longer pause between two frames is shown as one of this length; the time that is written into the picture tells of it."""


def rate(times_s: Sequence[float]) -> float:
    """The rate of a film, frames a second, for frames at these times: fast enough that hardly one frame has to wait for the one before."""
    steps = np.diff(np.asarray(times_s, np.float64))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not len(steps):
        return USUAL_FPS
    # The rates of cameras are round to a thousandth, and times computed from them are not.
    return round(float(np.clip(1 / np.quantile(steps, 0.1), SLOWEST_FPS, FASTEST_FPS)), 3)


@dataclass(slots=True)
class Pace:
    """How many pictures of a film at `fps` each frame is shown for. `ahead_s` is how far the film is ahead of the frames' times."""

    fps: float
    ahead_s: float = 0.0

    def copies(self, at_s: float, next_s: float) -> int:
        """For a frame at `at_s`, followed by one at `next_s`: 1 at least. A time that goes back, or is none, counts as no time."""
        step = next_s - at_s
        step = min(step, LONGEST_STILL_S) if step > 0 else 0.0
        count = max(1, round((step - self.ahead_s) * self.fps))
        self.ahead_s += count / self.fps - step
        return count
