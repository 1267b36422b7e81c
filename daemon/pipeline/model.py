"""A model as the daemon uses it: the loaded bundle, and what its card says."""

from dataclasses import dataclass

from daemon.core.people.enrol import Standards
from daemon.pipeline.steps import Embeds, Thresholds


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle that is loaded and has passed its golden check. `provider` is where it runs, `dimension` the length of its vectors,
    and `fell_back` why `auto` did not take the GPU that is there.

    Everything that follows from the model alone is here, and a change of model changes all of it at once.
    """

    id: str
    embedder: Embeds
    provider: str
    dimension: int
    calibration: Thresholds
    standards: Standards
    fell_back: str = ""
