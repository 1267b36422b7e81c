"""The rows of the gallery: vector, owner, label, number. In three runs, so that the rows a graph does not know yet are contiguous."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FIRST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of all rows at one instant: vectors float32 [N, D], owners and labels int64 [N]."""

    vectors: npt.NDArray[np.float32]
    owners: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


class Matrix:
    """Rows 0 to `count`, without holes. A row's *label* is its name in a graph; it is never used twice, whatever numbers the store gives.

    The runs: rows below `covered` are in the graph that serves; the rows up to `copied` are not, but were in the last snapshot; the rows up
    to `count` came later. Removing a row moves one row in each run, so that every run stays contiguous.
    """

    def __init__(self, dimension: int) -> None:
        self._vectors = np.zeros((FIRST_ROWS, dimension), np.float32)
        self._keys = np.zeros((FIRST_ROWS, 3), np.int64)  # owner, label, number
        self._row_of_label: dict[int, int] = {}
        self._label_of_number: dict[int, int] = {}
        self._next_label = 0
        self.covered = self.copied = self.count = 0

    def __contains__(self, number: int) -> bool:
        return number in self._label_of_number

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """All vectors, float32 [count, D]: a view, valid until the next change."""
        return self._vectors[: self.count]

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """All owners, int64 [count]: a view, valid until the next change."""
        return self._keys[: self.count, 0]

    def append(self, numbers: Sequence[int], owners: Sequence[int], vectors: npt.NDArray[np.float32]) -> None:
        """Add rows. The numbers must not be here already, and no number twice."""
        first, end = self.count, self.count + len(numbers)
        if end > len(self._vectors):
            more = max(len(self._vectors), end - len(self._vectors))
            self._vectors = np.concatenate([self._vectors, np.zeros((more, self._vectors.shape[1]), np.float32)])
            self._keys = np.concatenate([self._keys, np.zeros((more, 3), np.int64)])
        labels = range(self._next_label, self._next_label + len(numbers))
        self._vectors[first:end] = vectors
        self._keys[first:end, 0], self._keys[first:end, 1], self._keys[first:end, 2] = owners, labels, numbers
        self._row_of_label.update(zip(labels, range(first, end), strict=True))
        self._label_of_number.update(zip(numbers, labels, strict=True))
        self._next_label, self.count = labels.stop, end

    def remove(self, number: int) -> tuple[int, bool, bool]:
        """Remove a row, in a time that does not depend on the number of rows.

        Returns its label, whether the serving graph has it, and whether it was in the last snapshot.
        """
        label = self._label_of_number.pop(number)
        hole = self._row_of_label.pop(label)
        covered, copied = hole < self.covered, hole < self.copied
        for run in ("covered", "copied", "count"):
            end: int = getattr(self, run)
            if hole >= end:
                continue
            last = end - 1
            if hole != last:  # the run's last row fills the hole and leaves one at the run's end
                self._vectors[hole], self._keys[hole] = self._vectors[last], self._keys[last]
                self._row_of_label[int(self._keys[hole, 1])] = hole
            setattr(self, run, last)
            hole = last
        self._vectors[hole], self._keys[hole] = 0, 0
        return label, covered, copied

    def rows_of(self, numbers: Iterable[int]) -> npt.NDArray[np.int64]:
        """The rows of these template numbers, all of which are here."""
        return np.array([self._row_of_label[self._label_of_number[number]] for number in numbers], np.int64)

    def rows(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of these labels that the serving graph covers. A label that was removed, or that the graph cannot know, is left out."""
        found = (self._row_of_label.get(label, self.count) for label in labels.tolist())
        return np.array([row for row in found if row < self.covered], np.int64)

    def snapshot(self) -> Snapshot:
        """A copy of all rows, for a graph to be built of; `serve` or `forget` says what became of it."""
        self.copied = self.count
        return Snapshot(self.vectors.copy(), self.owners.copy(), self._keys[: self.count, 1].copy())

    def serve(self) -> None:
        """The graph made of the last snapshot serves from now on."""
        self.covered = self.copied

    def uncover(self) -> None:
        """No graph serves."""
        self.covered = 0
