"""The gallery in memory: every template's vector, and the nearest person to a probe.

The matrix is the truth of this file and hnswlib's graph only proposes candidates: similarities are always computed exactly, so a
damaged or stale graph can miss somebody but never invent a match. Below a few thousand templates the exact search over the matrix is
both faster and never misses, and serves alone.
"""

import hnswlib
import numpy as np
import numpy.typing as npt

from daemon.core.match import NOBODY, best_two
from daemon.core.values import Match, Vector

EXACT_NUMBERS = 2_000_000
"""The exact search serves while the matrix holds no more numbers than this: 15,625 templates of 128 dimensions, 3,906 of 512.

Its time grows with the size of the matrix, the graph's much less; bench/gallery.py shows where they cross, which is somewhat later.
"""

CANDIDATES = 32
EF = 200
GRAPH_DEGREE = 16
EF_CONSTRUCTION = 200


class VectorError(ValueError):
    """A vector that must not enter the gallery or be searched for: wrong length, not finite, or not of unit length."""


class Gallery:
    """Templates of one model. Not thread-safe: the engine owns it."""

    def __init__(self, dimension: int, exact_below: int | None = None) -> None:
        """`exact_below` is the number of templates up to which the exact search serves, if another than usual."""
        self.dimension = dimension
        self.exact_below = EXACT_NUMBERS // dimension if exact_below is None else exact_below
        self._matrix = np.zeros((64, dimension), np.float32)
        self._owners = np.zeros(64, np.int64)
        self._numbers = np.zeros(64, np.int64)
        self._rows: dict[int, int] = {}  # template number to row
        self._people: dict[str, int] = {}  # person to owner
        self._names: dict[int, str] = {}  # owner to person
        self._next_owner = 0
        self._graph: hnswlib.Index | None = None

    @property
    def templates(self) -> int:
        return len(self._rows)

    @property
    def people(self) -> int:
        return len(self._people)

    def add(self, number: int, person: str, vector: Vector) -> None:
        """Enter a template under its number, which must never have been used. Raises VectorError and changes nothing."""
        row_vector = self._checked(np.asarray(vector, np.float32)[None])[0]
        if number in self._rows:
            raise VectorError(f"template number {number} is in use")
        if person not in self._people:
            self._people[person] = self._next_owner
            self._names[self._next_owner] = person
            self._next_owner += 1
        row = len(self._rows)
        if row == len(self._matrix):
            self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._owners = np.concatenate([self._owners, np.zeros_like(self._owners)])
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
        self._matrix[row], self._owners[row], self._numbers[row] = row_vector, self._people[person], number
        self._rows[number] = row
        if self._graph is not None and self._graph.get_current_count() < self._graph.get_max_elements():
            self._graph.add_items(row_vector[None], [number])
        else:
            self._graph = None

    def remove(self, person: str) -> int:
        """Take a person out, from the next search on; returns how many templates went."""
        owner = self._people.pop(person, None)
        if owner is None:
            return 0
        del self._names[owner]
        gone = np.flatnonzero(self._owners[: len(self._rows)] == owner)
        for row in gone[::-1]:
            self._drop(int(row))
        return len(gone)

    def _drop(self, row: int) -> None:
        """Remove one row by moving the last one into its place."""
        number, last = int(self._numbers[row]), len(self._rows) - 1
        if self._graph is not None:
            self._graph.mark_deleted(number)
        del self._rows[number]
        if row != last:
            self._matrix[row], self._owners[row], self._numbers[row] = self._matrix[last], self._owners[last], self._numbers[last]
            self._rows[int(self._numbers[row])] = row
        self._matrix[last] = 0

    def vectors_of(self, person: str) -> npt.NDArray[np.float32]:
        """The person's vectors, float32 [K, D], K >= 0."""
        count = len(self._rows)
        owner = self._people.get(person, -1)
        mine = np.flatnonzero(self._owners[:count] == owner)
        return np.take(self._matrix, mine, axis=0)

    def nearest_besides(self, vectors: npt.NDArray[np.float32], person: str) -> tuple[str | None, float]:
        """Who of all others but `person` is nearest to any of float32 [N, D], N >= 1, and how near; (None, -1) where there is nobody else.

        Always exact: it serves enrolment, where a miss would let one face have two names.
        """
        count = len(self._rows)
        similarities = (self._matrix[:count] @ vectors.T).max(1)
        others = np.isfinite(similarities) & (self._owners[:count] != self._people.get(person, -1))
        if not others.any():
            return None, -1.0
        row = int(np.where(others, similarities, -np.inf).argmax())
        return self._names[int(self._owners[row])], float(similarities[row])

    def search(self, vectors: npt.NDArray[np.float32]) -> list[Match]:
        """The nearest person to each of float32 [N, D]. A vector that is not finite or not of unit length is near nobody."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise VectorError(f"vectors of shape {vectors.shape} do not fit a gallery of {self.dimension} dimensions")
        if not self._rows:
            return [NOBODY] * len(vectors)
        norms = np.linalg.norm(vectors, axis=1)
        sound = np.isfinite(norms) & (np.abs(norms - 1) < 0.01)
        return [self._nearest(vector) if ok else NOBODY for vector, ok in zip(np.asarray(vectors, np.float32), sound, strict=True)]

    def _nearest(self, vector: Vector) -> Match:
        count = len(self._rows)
        rows = self._candidates(vector) if count > self.exact_below else slice(0, count)
        owners = self._owners[rows]
        owner, best, rival = best_two(self._matrix[rows] @ vector, owners)
        return Match(self._names[owner], best, rival)

    def _candidates(self, vector: Vector) -> npt.NDArray[np.int64] | slice:
        """Rows worth an exact look. All rows when the graph fails, or knows only one person's: the runner-up is then unknown."""
        if self._graph is None:
            self._graph = self._build()
        try:
            labels, _ = self._graph.knn_query(vector[None], k=min(CANDIDATES, len(self._rows)))
        except RuntimeError:  # hnswlib raises when it reaches fewer than k elements
            return slice(0, len(self._rows))
        rows = np.array([self._rows[int(label)] for label in labels[0]], np.int64)
        return rows if len(np.unique(self._owners[rows])) > 1 else slice(0, len(self._rows))

    def _build(self) -> hnswlib.Index:
        count = len(self._rows)
        graph = hnswlib.Index(space="ip", dim=self.dimension)
        graph.init_index(max_elements=2 * count, M=GRAPH_DEGREE, ef_construction=EF_CONSTRUCTION, random_seed=1)
        graph.add_items(self._matrix[:count], self._numbers[:count])
        graph.set_ef(EF)
        graph.set_num_threads(1)  # one probe is too little work to share
        return graph

    def _checked(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        # hnswlib checks none of this: a vector of another length corrupts the heap, and NaN is nearest to everybody.
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise VectorError(f"a vector of shape {vectors.shape[1:]} does not fit a gallery of {self.dimension} dimensions")
        norms = np.linalg.norm(vectors, axis=1)
        if not (np.isfinite(norms).all() and (np.abs(norms - 1) < 0.01).all()):
            raise VectorError("a vector is not finite or not of unit length")
        return np.ascontiguousarray(vectors, np.float32)
