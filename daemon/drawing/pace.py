"""Frames at any times on a film of constant rate: every frame is shown, and the film runs in real time as far as possible."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SLOWEST_FPS, FASTEST_FPS, USUAL_FPS = 1.0, 60.0, 25.0
LONGEST_STILL_S = 2.0
"""A longer pause between two frames is cut to this length; the time written into the picture shows the true one."""


def rate(times_s: Sequence[float]) -> float:
    """The rate of a film, frames a second, for frames at these times: fast enough that few frames are delayed by the one before."""
    steps = np.diff(np.asarray(times_s, np.float64))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not len(steps):
        return USUAL_FPS
    # Camera rates have at most three decimals; times computed from them have more.
    return round(float(np.clip(1 / np.quantile(steps, 0.1), SLOWEST_FPS, FASTEST_FPS)), 3)


@dataclass(slots=True)
class Pace:
    """For how many pictures of a film at `fps` each frame is shown. `ahead_s` is by how much the film is ahead of the frames' times."""

    fps: float
    ahead_s: float = 0.0

    def copies(self, at_s: float, next_s: float) -> int:
        """The number of pictures, at least 1, for a frame at `at_s` before one at `next_s`. A step back or NaN counts as no time."""
        step = next_s - at_s
        step = min(step, LONGEST_STILL_S) if step > 0 else 0.0
        count = max(1, round((step - self.ahead_s) * self.fps))
        self.ahead_s += count / self.fps - step
        return count
