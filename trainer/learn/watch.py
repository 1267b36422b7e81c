"""The collapse alarm: does the training still tell people apart?"""

from __future__ import annotations

import math
from dataclasses import dataclass

STANDS = 0.02
ALIKE = 0.3
TRY = "try a lower rate, smaller P and K first, cleaner labels, or semi-hard mining in place of hard"


@dataclass(slots=True)
class Watch:
    """Called once per validation with the loss and the mean distance between two people on the unit sphere (0..2); gives a warning of
    one line, or None.

    It warns where the loss or the distance is not finite; where the mean distance is below 0.3, whatever the loss; and where the loss
    stands within 2 % of `stuck_at` while the mean distance has shrunk to less than half of `first`. The loss alone is no sign:
    batch-hard with the soft margin rightly stands near 0.69 for long, because each anchor meets its hardest triplet, while people
    stay far apart.

    stuck_at: the loss that a collapse would cost, which is the margin, or ln 2 with the soft margin; None where no loss is telling.
    first: the mean distance at the first look, which is taken from there; a resumed run gives the one that it began with.
    """

    stuck_at: float | None
    first: float | None = None

    def __call__(self, loss: float, distance: float) -> str | None:
        if not (math.isfinite(loss) and math.isfinite(distance)):
            return f"diverged: the loss is {loss:.3g}, the mean distance between two people {distance:.3g}; {TRY}"
        if self.first is None:
            self.first = distance
        if distance < ALIKE:
            return f"collapse: two people are {distance:.3f} apart on average; {TRY}"
        stands = self.stuck_at is not None and abs(loss - self.stuck_at) <= STANDS * self.stuck_at
        if stands and distance < self.first / 2:
            shrunk = f"two people are {distance:.3f} apart on average, {self.first:.3f} at first"
            return f"collapse: the loss stands at {loss:.3f}, {shrunk}; {TRY}"
        return None
