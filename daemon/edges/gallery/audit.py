"""Whether a graph still finds what it holds: probes made of its templates are answered from its candidates and by the exact search."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.core.passages.match import best_two
from daemon.core.values import Vector
from daemon.edges.gallery.graph import GraphError

TEMPLATES = 128
TARGET = 0.99
"""At least this share of the answers must be right for the graph to serve."""
CLOSE = 0.1
"""A rival this near to the best (twice the default margin) can make a match ambiguous. Missing it is as bad as missing the best."""
NOISE = 1.33  # a copy's similarity to its template is then 0.6, like that of a weak genuine probe, where misses matter
EXACT = 1e-5  # float32 sums of one product in different orders differ by less


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of the audit's probes the graph answered as the exact search does."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        return self.right / self.asked if self.asked else 1.0

    @property
    def passed(self) -> bool:
        return self.share >= TARGET

    def __add__(self, other: "Recall") -> "Recall":
        return Recall(self.right + other.right, self.asked + other.asked)


def probes(vectors: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """The probes [2 K, D] of K templates [K, D]: each template itself, and a copy with noise."""
    noise = random.standard_normal(vectors.shape, np.float32)
    noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    copies = vectors + noise
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    return np.concatenate([vectors, copies])


def ask(
    vectors: npt.NDArray[np.float32],
    owners: npt.NDArray[np.int64],
    candidates: Callable[[Vector], npt.NDArray[np.int64]],
    asked: npt.NDArray[np.float32],
) -> Recall:
    """How many of the probes [P, D] get the right best person and, where it is close, the right runner-up from their candidate rows.

    `vectors` [N, D] and `owners` [N] are all rows. An answer that raises GraphError is wrong. Takes P × N products.
    """
    right = 0
    for probe, similarities in zip(asked, asked @ vectors.T, strict=True):
        _, best, rival = best_two(similarities, owners)
        try:
            rows = candidates(probe)
        except GraphError:
            continue
        if not len(rows):
            continue
        _, found, found_rival = best_two(similarities[rows], owners[rows])
        right += found >= best - EXACT and (found_rival >= rival - EXACT or rival < best - CLOSE)
    return Recall(right, len(asked))


def whole(
    vectors: npt.NDArray[np.float32],
    owners: npt.NDArray[np.int64],
    candidates: Callable[[Vector], npt.NDArray[np.int64]],
    seed: int,
    pause: Callable[[], None],
) -> Recall:
    """A whole audit over a seeded sample. `pause` is called every few probes and may raise to end it."""
    random = np.random.default_rng(seed)
    sample = random.choice(len(vectors), min(TEMPLATES, len(vectors)), replace=False)
    recall = Recall(0, 0)
    for start in range(0, len(sample), 4):
        pause()
        recall += ask(vectors, owners, candidates, probes(vectors[sample[start : start + 4]], random))
    return recall
