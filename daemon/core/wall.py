"""Whether the wall clock can be believed: it is watched against a clock that never steps."""

from dataclasses import dataclass

STEP_S = 1.0
"""A larger difference within one look is a step. A time service that only slews the clock needs half an hour for one second."""


@dataclass(slots=True)
class WallClock:
    """Begins by believing the wall clock. After a step it is believed again when a time service answers for it, or when it is back."""

    clock_s: float
    wall_s: float
    trusted: bool = True

    def watch(self, clock_s: float, wall_s: float, *, synchronised: bool) -> bool:
        """Look at both clocks: `clock_s` never steps, `wall_s` is UTC seconds. Returns whether the wall clock has stepped just now."""
        apart_s = (wall_s - self.wall_s) - (clock_s - self.clock_s)
        near = abs(apart_s) <= STEP_S
        stepped = self.trusted and not near
        self.trusted = near or synchronised
        if self.trusted:
            self.clock_s, self.wall_s = clock_s, wall_s
        return stepped
