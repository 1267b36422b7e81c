"""How fast commands are sent: a few at a time, and slower when a gate says that there are too many."""

from dataclasses import dataclass

WINDOW = 4
"""How many commands wait for their answers at a time. A gate works at one enrolment; the others lie ready."""
LONGEST_S = 30.0
_FIRST_S, _SLOWER, _FASTER = 0.25, 1.6, 0.97


@dataclass(slots=True)
class Pace:
    """`now_s` is of a clock that never steps. Between two commands pass `spacing_s`, which finds the gate's own rate."""

    spacing_s: float = 0.0
    _next_s: float = 0.0

    def may_send(self, now_s: float, flying: int) -> bool:
        return now_s >= self._next_s and flying < (WINDOW if not self.spacing_s else 1)

    def sent(self, now_s: float) -> None:
        self._next_s = now_s + self.spacing_s

    def refused(self, now_s: float) -> None:
        """A gate has said that there were too many, or that it cannot write just now."""
        self.spacing_s = min(LONGEST_S, max(_FIRST_S, self.spacing_s * _SLOWER))
        self._next_s = now_s + self.spacing_s

    def taken(self) -> None:
        """A gate has taken a command."""
        self.spacing_s = self.spacing_s * _FASTER if self.spacing_s > 0.02 else 0.0

    def wait_s(self, now_s: float) -> float:
        """How long until the next command may be sent."""
        return max(0.0, self._next_s - now_s)
