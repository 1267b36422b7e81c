"""A model as the daemon uses it: the loaded bundle, and what its card says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.core.people.enrol import Standards
from daemon.pipeline.steps import Embeds, Thresholds


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle that is loaded and has passed its golden check. `provider` is where it runs, `dimension` the length of its vectors,
    and `fell_back` why `auto` did not take the GPU that is there.

    `calibration` are the card's thresholds, `gates` those of gates that were measured.

    Everything that follows from the model alone is here, and a change of model changes all of it at once.
    """

    id: str
    embedder: Embeds
    provider: str
    dimension: int
    calibration: Thresholds
    standards: Standards
    fell_back: str = ""
    gates: Mapping[str | None, Thresholds] = field(default_factory=dict)

    def thresholds(self, gate: str | None) -> Thresholds:
        """What passages measured at a gate make of the card's thresholds. Without a gate: what the site's own configuration says."""
        return self.gates.get(gate, self.calibration)
