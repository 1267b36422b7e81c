"""What the frames of one face add up to: a fused vector, and whether the next frame still shows the same face.

The mean of a face's vectors is nearer to its person than a single frame is, and no nearer to others: on gate clips the worst genuine
passage rose by 0.07 and the nearest stranger's best moment fell by 0.02 against single frames. Weighting frames by sharpness, pose, size
or the detector's score changed neither by more than 0.01, so every frame that passes the quality gate weighs the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from daemon.core.values import Vector

UNIT_WITHIN = 0.01

Taken = Literal["fused", "aside", "another"]


@dataclass(slots=True)
class Evidence:
    """The vectors of one face: each weighs `memory` times the next. `good` counts them, `since_s` is the first one's time."""

    memory: float
    good: int = 0
    since_s: float = 0.0
    aside: Vector | None = None
    """The last frame, if it did not look like this face: one such is a bad moment, two that look like each other are somebody else."""
    _sum: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    _fused: Vector | None = field(default=None, repr=False)

    @property
    def fused(self) -> Vector:
        """The fused vector, float32 [D], unit length. Only after a first `add`."""
        assert self._fused is not None
        return self._fused

    def likeness(self, vector: Vector) -> float | None:
        """The similarity of a vector to the face so far, None before there is one."""
        return None if self._fused is None else float(self._fused @ vector)

    def take(self, vector: Vector, at_s: float, same: float) -> Taken:
        """Weigh a further good frame. `same` is the similarity below which a frame is held not to show this face.

        `another` says that this and the last frame show one face, and not this one: they belong to a new passage.
        """
        if not is_unit(vector):
            return "aside"
        likeness = self.likeness(vector)
        if likeness is None or likeness >= same:
            self.add(vector, at_s)
            return "fused"
        if self.aside is not None and float(self.aside @ vector) >= same:
            return "another"
        self.aside = vector
        return "aside"

    def add(self, vector: Vector, at_s: float) -> None:
        """Fuse one unit vector in."""
        if self._sum is None:
            self._sum, self.since_s = np.zeros(len(vector)), at_s
        self._sum = self._sum * self.memory + vector
        # Once a frame: in a crowd every face is compared with every track.
        self._fused = np.asarray(self._sum / np.linalg.norm(self._sum), np.float32)
        self.good += 1
        self.aside = None


def begun(vectors: Sequence[Vector], at_s: float, memory: float) -> Evidence:
    """Evidence that starts with these unit vectors."""
    evidence = Evidence(memory)
    for vector in vectors:
        evidence.add(vector, at_s)
    return evidence


def is_unit(vector: Vector) -> bool:
    """Finite and of unit length: anything else is no evidence of anybody."""
    return bool(abs(float(np.linalg.norm(vector)) - 1) < UNIT_WITHIN)
