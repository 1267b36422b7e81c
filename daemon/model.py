"""A model as the daemon uses it: its bundle loaded, and what follows from the bundle's card."""

from dataclasses import dataclass

from daemon.core.enrol import Standards
from daemon.pipeline import Embeds, Thresholds


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
