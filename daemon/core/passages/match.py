"""Similarities to a match: the best person, and the best of everybody else."""

import numpy as np
import numpy.typing as npt

from daemon.core.values import Match

NOBODY = Match(person=None, similarity=-1.0, rival=-1.0)
"""The match against an empty gallery."""


def best_two(similarities: npt.NDArray[np.float32], owners: npt.NDArray[np.int64]) -> tuple[int, float, float]:
    """The owner of the largest similarity, that similarity, and the largest of any other owner (-1 when there is none).

    `similarities` float [K] and `owners` int [K] belong together, K >= 1. What is not finite counts as -1: doubt is never near.
    """
    finite = np.where(np.isfinite(similarities), similarities, np.float32(-1.0))
    top = int(finite.argmax())
    others = finite[owners != owners[top]]
    return int(owners[top]), float(finite[top]), float(others.max()) if others.size else -1.0
