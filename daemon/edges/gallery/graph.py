"""A wrapper around hnswlib, which checks what hnswlib does not.

hnswlib is not memory-safe in every case: a wrong dimension corrupts the heap, adding or resizing during a query crashes, a k above what it
reaches raises, a loaded or new index has an ef of 10, and a loaded file is not checked. So a Graph is built once from a snapshot and is
never grown, resized, saved or loaded. Templates that come later are only in the matrix, until the next Graph is built.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hnswlib
import numpy as np
import numpy.typing as npt

from daemon.core.faults import Fault
from daemon.core.values import Vector
from daemon.edges.gallery.matrix import Snapshot
from daemon.edges.gallery.vectors import checked

EF = 400
"""At 100,000 templates an ef of 200 found the nearest as often but missed 3 in 100 close runners-up. 400 misses 1, and none within the
default margin (bench/gallery.py)."""
DEGREE = 16
EF_CONSTRUCTION = 200
CHUNK = 32
"""Rows added at a time, in about 20 ms. A build cannot be stopped meanwhile."""


class GraphError(Fault):
    """The graph cannot answer; the exact search can. `hint` says what the daemon does about it."""


class Stopped(Exception):
    """The work was asked to end before it was done."""


class Graph:
    """Proposes labels near a vector. Used by one thread at a time: the one that builds it, then the one that searches."""

    def __init__(self, dimension: int, capacity: int, seed: int) -> None:
        self._dimension = dimension
        self._alone = threading.Lock()
        self._index = hnswlib.Index(space="ip", dim=dimension)
        self._index.init_index(max_elements=max(1, capacity), M=DEGREE, ef_construction=EF_CONSTRUCTION, random_seed=seed)
        self._index.set_ef(EF)  # init_index and load_index both reset it to 10
        self._index.set_num_threads(1)  # one probe is too little work to share, and a build must leave the cores to the gate
        self.size = 0
        self.deleted = 0

    @property
    def live(self) -> int:
        """Labels that are in the graph and not deleted."""
        return self.size - self.deleted

    def add(self, vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> None:
        """Enter float32 [N, D] under labels int64 [N] that were never used. Raises VectorError or GraphError."""
        sane = checked(vectors, self._dimension)
        if labels.shape != (len(sane),) or labels.dtype != np.int64:
            raise GraphError(f"labels of shape {labels.shape} and type {labels.dtype} do not fit {len(sane)} vectors", "this is a bug")
        with self._one_thread():
            self._index.add_items(sane, labels, num_threads=1)
            self.size = int(self._index.get_current_count())

    def delete(self, label: int) -> None:
        """Never propose this label again. Raises GraphError for a label that is not in the graph."""
        with self._one_thread():
            self._index.mark_deleted(label)
            self.deleted += 1

    def nearest(self, vector: Vector, k: int) -> npt.NDArray[np.int64]:
        """Up to k labels near a vector, nearest first as far as the graph knows. Raises VectorError or GraphError."""
        sane = checked(np.asarray(vector)[None], self._dimension)
        k = min(k, self.live)
        if k < 1:
            return np.empty(0, np.int64)
        with self._one_thread():
            labels, _ = self._index.knn_query(sane, k=k, num_threads=1)
        return np.asarray(labels[0], np.int64)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        # Refusing is safe; waiting would hide that two threads share the graph, which they must not.
        if not self._alone.acquire(blocking=False):
            raise GraphError("two threads used one graph at once", "this is a bug; the exact search serves")
        try:
            yield
        except RuntimeError as error:
            raise GraphError(f"hnswlib: {error}", "the exact search serves") from error
        finally:
            self._alone.release()


def build(snapshot: Snapshot, seed: int, stopped: Callable[[], bool]) -> Graph:
    """A graph of the whole snapshot. Raises VectorError, GraphError, or Stopped once `stopped` returns True."""
    graph = Graph(snapshot.vectors.shape[1], len(snapshot.vectors), seed)
    for start in range(0, len(snapshot.vectors), CHUNK):
        if stopped():
            raise Stopped
        graph.add(snapshot.vectors[start : start + CHUNK], snapshot.labels[start : start + CHUNK])
    return graph
