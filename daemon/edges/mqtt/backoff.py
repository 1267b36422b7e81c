"""How long to wait before the next connection."""

SHORTEST_S, LONGEST_S = 1.0, 30.0

STEADY_S = 30.0
"""A connection that was up for less than this is a setback, and the next wait is longer."""


class Backoff:
    """Waits double with every setback, and with every failure to reach the broker."""

    def __init__(self) -> None:
        self.setbacks = 0
        self._failures = 0

    def unreachable(self) -> None:
        """The broker could not be reached."""
        self._failures += 1

    def ended(self, up_s: float | None) -> None:
        """A connection ended after `up_s` seconds; None says that it was never up."""
        self._failures = 0
        self.setbacks = 0 if up_s is not None and up_s >= STEADY_S else self.setbacks + 1

    @property
    def delay_s(self) -> float:
        doublings = max(0, min(self.setbacks, 8) + min(self._failures, 8) - 1)
        return min(LONGEST_S, SHORTEST_S * 2.0**doublings)
