"""Whether a camera's pictures come late, and whether the network or the decoder is the reason."""

from dataclasses import dataclass
from typing import Literal

WINDOW_S = 4.0
SHARE = 0.34
"""Pictures come late if more than this share of them did in the last window."""


@dataclass(slots=True)
class Lateness:
    """A picture is late if it is older than `late_s` when it is there, or when it is left out."""

    late_s: float
    since_s: float
    reason: Literal["network", "decoding"] | None = None
    """Why the pictures of the last window came late; None if they did not."""
    mean_s: float = 0.0
    """How old the late pictures of the last window were."""
    _all: int = 0
    _late: int = 0
    _by_network: int = 0
    _sum_s: float = 0.0

    def note(self, now_s: float, age_s: float, in_network_s: float, left_out: int = 0) -> None:
        """A picture is there `age_s` after it was taken; `in_network_s` of that it was on the way to this machine. Or so many pictures were
        left out because they would have come late."""
        count = left_out or 1
        self._all += count
        if left_out or age_s > self.late_s:
            self._late += count
            self._sum_s += count * age_s
            self._by_network += count * (in_network_s > 0.5 * age_s)
        if now_s - self.since_s >= WINDOW_S:
            late = self._late > SHARE * self._all
            self.reason = None if not late else "network" if 2 * self._by_network >= self._late else "decoding"
            self.mean_s = self._sum_s / self._late if late else 0.0
            self.since_s, self._all, self._late, self._by_network, self._sum_s = now_s, 0, 0, 0, 0.0
