"""What an answer needs: the rules of one gate, and what counts as near and as clear."""

from dataclasses import dataclass
from math import isfinite

from daemon.core.passages.liveness import NOT_REQUIRED, LivenessRules
from daemon.core.values import Match, Spread

HOLD = 0.1
"""Somebody who was recognised stays so while the fused vector is at most this much below the threshold: a turned head is no other head."""
DOUBTS = 2
"""This many looks in a row must have lost somebody who was recognised before the answer is taken back."""


@dataclass(frozen=True, slots=True)
class Adapting:
    """How a gate takes its own camera into account (`cohort.py`): how alike two strangers of the card are, and the card's thresholds for
    searches and for claims, which centred similarities are held against."""

    strangers: Spread
    threshold: float | None
    pair: float | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer needs. `threshold` is for searches: a similarity of fused vectors; without it (None) the gate searches for nobody.
    `pair` is the threshold for claims; without it the gate verifies nobody. Without both the gate is closed: it looks at nothing.

    `same` is the similarity below which a frame does not show the passage's face. `memory` is the weight of a frame relative to the next.
    `margin` is a difference of similarities. With `adapts`, similarities must hold after what all faces at this gate have in common is
    taken away, too.
    """

    threshold: float | None
    margin: float
    min_frames: int
    min_s: float
    patience: int
    recheck_s: float
    tries: int
    memory: float
    same: float
    pair: float | None = None
    liveness: LivenessRules = NOT_REQUIRED
    adapts: Adapting | None = None

    @property
    def twin(self) -> float:
        """From this similarity on, two passages are one face: half-way from the threshold to 1. Strangers under one camera stay below."""
        threshold = self.threshold if self.threshold is not None else self.pair
        return 1.0 if threshold is None else (1 + threshold) / 2

    def apart(self, match: Match, hold: float = 0.0, *, claimed: bool = False) -> bool:
        """Whether the person is near by more than what all faces at this gate share. `hold` is how far below the threshold still counts.
        Written so that NaN is not."""
        if self.adapts is None or match.centred is None:
            return True
        least = self.adapts.pair if claimed else self.adapts.threshold
        return least is not None and match.centred >= least - hold

    @property
    def closed(self) -> bool:
        """Whether nobody can be accepted."""
        return self.threshold is None and self.pair is None

    @property
    def claim_looks(self) -> int:
        """How often a face is compared with a claimed person before the claim has failed: as often as anybody is searched for."""
        return self.patience - self.min_frames + 1


def near(match: Match, rules: Rules) -> bool:
    """Whether somebody is near enough. Written so that NaN is nobody."""
    if rules.threshold is None or match.person is None or not isfinite(match.similarity):
        return False
    return match.similarity >= rules.threshold and rules.apart(match)


def clear(match: Match, rules: Rules) -> bool:
    """Whether the nearest person is clearly nearer than everybody else. Written so that NaN is not clear."""
    return match.similarity - match.rival >= rules.margin
