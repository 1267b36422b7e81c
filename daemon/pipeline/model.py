"""A model as the daemon uses it: its bundle loaded, and what follows from the bundle's card."""

from dataclasses import dataclass

from daemon.core.people.enrol import Standards
from daemon.pipeline.steps import Embeds, Thresholds


@dataclass(frozen=True, slots=True)
class Raised:
    """A card's calibration as a gate's own one raises it. `floor` None closes the gate: it was calibrated, and not with this model."""

    card: Thresholds
    floor: float | None

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        """The larger of the two; None where either is."""
        threshold = self.card.threshold(gallery_size, target_fpir)
        return None if threshold is None or self.floor is None else max(threshold, self.floor)

    def pair_threshold(self, fmr: float) -> float | None:
        """The card's: enrolment and tracks are judged by it."""
        return self.card.pair_threshold(fmr)

    def claim_threshold(self, target_fmr: float) -> float | None:
        """The larger of the two, None where either is: strangers who are that alike at this gate are so with a badge in their hands too."""
        threshold = self.card.claim_threshold(target_fmr)
        return None if threshold is None or self.floor is None else max(threshold, self.floor)


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle that is loaded and has passed its golden check. `provider` is where it runs, `dimension` the length of its vectors.

    Everything that depends on the model is here, so that a change of model changes all of it at once: no vector, threshold or standard
    of one model ever meets those of another.
    """

    id: str
    embedder: Embeds
    provider: str
    dimension: int
    calibration: Thresholds
    standards: Standards
