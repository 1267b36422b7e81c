"""Which vectors may be kept, searched for or given to hnswlib.

hnswlib checks nothing: a vector of another length corrupts its heap, and NaN is nearest to everybody.
"""

import numpy as np
import numpy.typing as npt

from daemon.core.faults import Fault

NORM_TOLERANCE = 0.01
GREATEST_SIMILARITY = (1 + NORM_TOLERANCE) ** 2
"""No two sound vectors are more alike than this; a similarity above it is a damaged number."""


class VectorError(Fault, ValueError):
    """A vector that must not be in the gallery or searched for (not finite, not of unit length, another dimension), or a number in use."""


def sound(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which of [N, D] are finite and of unit length."""
    # In double precision, so that a number near the largest float is too long and does not overflow.
    norms = np.linalg.norm(np.asarray(vectors, np.float64), axis=1)
    return np.asarray(np.isfinite(norms) & (np.abs(norms - 1) < NORM_TOLERANCE))


def shaped(vectors: npt.NDArray[np.float32], dimension: int) -> npt.NDArray[np.float32]:
    """The same as C-contiguous float32 [N, D]. Raises VectorError for another shape."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise VectorError(
            f"vectors of shape {vectors.shape} do not fit a gallery of {dimension} dimensions", "vectors of two models are never compared"
        )
    return np.ascontiguousarray(vectors, np.float32)


def checked(vectors: npt.NDArray[np.float32], dimension: int) -> npt.NDArray[np.float32]:
    """The same as C-contiguous float32 [N, D], all of them sound. Raises VectorError."""
    made = shaped(vectors, dimension)
    if not sound(made).all():
        raise VectorError("a vector is not finite or not of unit length", "the model's output must be normalised and finite")
    return made
