"""The collapse alarm: whether the training still tells people apart."""

from __future__ import annotations

from dataclasses import dataclass

STANDS = 0.02
ALIKE = 0.3
TRY = "try a lower learning rate, a smaller P and K at first, cleaner labels, or semi-hard instead of hard mining"


@dataclass(slots=True)
class Watch:
    """Called once per validation with the loss and the mean distance between two people on the unit sphere (0..2). Gives a warning of
    one line, or None.

    It warns if the mean distance is below 0.3, whatever the loss; and if the loss is within 2 % of `stuck_at` while the mean distance has
    shrunk to less than half of `first`. (Training ends before it asks if either is not finite.) The loss alone is not a sign of collapse:
    batch-hard with the soft margin rightly stays near 0.69 for long, because each anchor meets its hardest triplet, while people
    stay far apart.

    stuck_at: the loss of a collapsed model, which is the margin, or ln 2 with the soft margin; None if the loss does not show it.
    first: the mean distance at the first call, which sets it; a resumed run gives the one from its beginning.
    """

    stuck_at: float | None
    first: float | None = None

    def __call__(self, loss: float, distance: float) -> str | None:
        if self.first is None:
            self.first = distance
        if distance < ALIKE:
            return f"collapse: two people are {distance:.3f} apart on average; {TRY}"
        stands = self.stuck_at is not None and abs(loss - self.stuck_at) <= STANDS * self.stuck_at
        if stands and distance < self.first / 2:
            shrunk = f"two people are {distance:.3f} apart on average, and were {self.first:.3f} apart at first"
            return f"collapse: the loss stands at {loss:.3f}, {shrunk}; {TRY}"
        return None
