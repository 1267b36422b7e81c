"""A model as the daemon uses it: the loaded bundle, and what its card says."""

from dataclasses import dataclass

from daemon.core.people.enrol import Standards
from daemon.core.values import Spread
from daemon.pipeline.steps import Embeds, Thresholds


@dataclass(frozen=True, slots=True)
class Raised:
    """A card's calibration, raised by a gate's own one. `floor` None closes the gate: it was calibrated, but not with this model.

    `gates` are those where it was measured; empty for all.
    """

    card: Thresholds
    floor: float | None
    gates: tuple[str, ...] = ()

    def at(self, gate: str | None) -> Thresholds:
        """The thresholds of this gate: the card's, where another gate was measured."""
        return self.card if gate is not None and self.gates and gate not in self.gates else self

    @property
    def strangers(self) -> Spread | None:
        """Those of the card."""
        return self.card.strangers

    @property
    def measured_here(self) -> bool:
        """Whether passages were measured with this model."""
        return self.floor is not None

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        """The larger of the two, for this many templates; None if either is None."""
        threshold = self.card.threshold(gallery_size, target_fpir)
        return None if threshold is None or self.floor is None else max(threshold, self.floor)

    def pair_threshold(self, fmr: float) -> float | None:
        """The threshold of the card: enrolments and tracks are judged by it."""
        return self.card.pair_threshold(fmr)

    def claim_threshold(self, target_fmr: float) -> float | None:
        """The larger of the two; None if either is None: strangers who look alike at this gate do so with a badge in their hands too."""
        threshold = self.card.claim_threshold(target_fmr)
        return None if threshold is None or self.floor is None else max(threshold, self.floor)


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle that is loaded and has passed its golden check. `provider` is where it runs, `dimension` the length of its vectors.

    Everything that follows from the model alone is here, and a change of model changes all of it at once.
    """

    id: str
    embedder: Embeds
    provider: str
    dimension: int
    calibration: Thresholds
    standards: Standards
