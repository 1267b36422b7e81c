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


PLAUSIBLE_S = 30 * 86_400.0
"""A box may have been off, or its clock may have been wrong, for so long. A clock that is further ahead is in doubt."""
SURE_S = 7 * 86_400.0
"""A clock in doubt is followed when a time service has answered for it for so long."""


@dataclass(slots=True)
class CountedTime:
    """The time by which old things are deleted: the wall clock, unless it may have jumped ahead. Then it is what the box has counted.

    Never later than the wall clock says. `clock_s` never steps, `wall_s` is UTC seconds.
    """

    clock_s: float
    wall_s: float
    _odd_since_s: float | None = None

    @classmethod
    def begin(cls, clock_s: float, wall_s: float, before: float | None) -> "CountedTime":
        """At a start. `before` is what the last run had counted, None where none has."""
        follows = before is None or 0 <= wall_s - before <= PLAUSIBLE_S
        return cls(clock_s, wall_s if follows or before is None else before)

    def now(self, clock_s: float, wall_s: float, *, synchronised: bool) -> float:
        """The time by which to delete, in UTC seconds. `synchronised`: a time service answers for the wall clock."""
        counted = self.wall_s + (clock_s - self.clock_s)
        if not synchronised or not wall_s - counted > PLAUSIBLE_S:
            self._odd_since_s = None
        elif self._odd_since_s is None:
            self._odd_since_s = clock_s
        if synchronised and (self._odd_since_s is None or clock_s - self._odd_since_s >= SURE_S):
            self.clock_s, self.wall_s, self._odd_since_s = clock_s, wall_s, None
            return wall_s
        return min(wall_s, counted)

    def reached(self, clock_s: float) -> float:
        """What the box has counted, to begin the next run with."""
        return self.wall_s + (clock_s - self.clock_s)
