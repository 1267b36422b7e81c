"""The time stamps of a stream, made into times that always increase.

Recorders write stamps that are missing, stand still, run backwards, start again, or jump by years.
"""

from dataclasses import dataclass, field
from fractions import Fraction

WRAP = 2**33
"""MPEG's stamps begin again after so many ticks of 1/90000 s (26.5 hours)."""
MPEG_TICK = Fraction(1, 90_000)
LONGEST_S = 86_400.0
"""A recording may pause, but a step of more than a day is a wrong stamp."""


@dataclass(slots=True)
class Stamps:
    """The times of one stream's frames, in seconds from its first frame.

    A stamp that cannot follow the one before it counts in `wrong`. Its frame comes `step_s` after the frame before it, and later stamps
    count from there.
    """

    step_s: float
    wrong: int = field(default=0, init=False)
    _at_s: float | None = field(default=None, init=False)
    _before: tuple[int, Fraction] | None = field(default=None, init=False)

    def at(self, stamp: int | None, tick: Fraction | None) -> float:
        """The time of the next frame. `stamp` counts ticks of `tick` seconds; None where the stream has none."""
        now = (stamp, tick) if stamp is not None and tick is not None and tick > 0 else None
        step_s = self._step_s(now)
        sound = step_s is not None and 0 < step_s <= LONGEST_S
        if self._at_s is None:
            self._at_s = 0.0
            self.wrong += now is None
        else:
            self.wrong += not sound
            self._at_s += step_s if sound and step_s is not None else self.step_s
        self._before = now
        return self._at_s

    def _step_s(self, now: tuple[int, Fraction] | None) -> float | None:
        if now is None or self._before is None:
            return None
        (stamp, tick), (before, tick_before) = now, self._before
        step = stamp * tick - before * tick_before
        if step <= 0 and tick == tick_before == MPEG_TICK:
            step += WRAP * MPEG_TICK
        return float(step)
