"""People and their templates, the search among them, and the upkeep of the graph that makes it fast."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from daemon.core.passages.cohort import Common
from daemon.core.passages.match import NOBODY, best_two
from daemon.core.values import Embedded, Match, Vector
from daemon.edges.gallery import audit
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.gallery.graph import Graph, GraphError, Stopped, build
from daemon.edges.gallery.matrix import Matrix, Snapshot
from daemon.edges.gallery.vectors import GREATEST_SIMILARITY, VectorError, checked, shaped, sound

EXACT_NUMBERS = 4_000_000
"""The search is exact while the matrix holds no more numbers than this: 31,250 templates of 128 dimensions, 7,812 of 512.

The time of the exact search grows with the matrix, that of the graph much less. Here they are about equal (bench/gallery.py: graph / exact
is 2.9 at 16,000 templates of 128 dimensions, 0.8 at 32,000).
"""

CANDIDATES = 32
AUDIT_EVERY_S = 3600.0
AUDIT_AFTER_DELETED = 0.05  # of the graph, since the last audit
REBUILD_AFTER_DELETED = 0.25  # of the graph: deleted entries still cost time and memory
REBUILD_AFTER_ADDED = 1 / 32  # of the graph: what it does not know is searched exactly
SLICE = 1
"""Templates audited in a turn, so that no turn takes long."""
RETRY_S = 600.0


@dataclass(frozen=True, slots=True)
class GraphState:
    """How the search works: exactly (`unneeded` for few templates, `building`, `failed`), or with candidates of the graph (`serving`).

    `recall` is the share of the last audit's probes that the graph answered as the exact search does; `reason` says why the graph failed.
    """

    state: Literal["unneeded", "building", "serving", "failed"]
    recall: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Built:
    """A new graph and the result of its audit."""

    graph: Graph
    recall: audit.Recall


@dataclass(slots=True)
class Shares:
    """How many people count for what all have in common, and the sum of their directions, float64 [D]."""

    people: int
    total: npt.NDArray[np.float64]


class Gallery:
    """Templates of one model. Not thread-safe: the engine owns it. Without `tend` it searches exactly and starts no thread."""

    def __init__(self, dimension: int, exact_below: int | None = None, aside: Aside[Built] | None = None) -> None:
        """`exact_below` is the number of templates up to which the search is exact, if not the usual one; `aside` builds graphs."""
        self.dimension = dimension
        self.exact_below = EXACT_NUMBERS // dimension if exact_below is None else exact_below
        self._matrix = Matrix(dimension)
        self._owner_of: dict[str, int] = {}
        self._name_of: dict[int, str] = {}
        self._numbers_of: dict[int, list[int]] = {}  # template numbers by owner
        self._next_owner = 0
        self._aside: Aside[Built] = Background() if aside is None else aside
        self._graph: Graph | None = None
        self._gone: list[int] = []  # labels that the graph being built knows and that have been removed meanwhile
        self._builds = 0
        self._build_from_s = -math.inf
        self._audit_at_s = math.inf
        self._audited_deleted = 0
        self._audit = audit.Recall(0, 0)
        self._random = np.random.default_rng(1)
        self._recall: float | None = None
        self._reason: str | None = None
        self._closed = False
        self._shares: Shares | None = None

    @property
    def templates(self) -> int:
        return self._matrix.count

    @property
    def people(self) -> int:
        return len(self._owner_of)

    @property
    def graph_state(self) -> GraphState:
        if self._reason is not None:
            return GraphState("failed", self._recall, self._reason)
        if self._graph is not None:
            return GraphState("serving", self._recall, None)
        return GraphState("unneeded" if self._matrix.count <= self.exact_below else "building", None, None)

    # ---- who is enrolled

    def owners(self) -> dict[int, str]:
        """Whose each template is, by number."""
        return {number: self._name_of[owner] for owner, numbers in self._numbers_of.items() for number in numbers}

    def add(self, number: int, person: str, vector: Vector) -> None:
        """Enter a template under its own number. The next search finds it. Raises VectorError and then changes nothing."""
        self.add_all([Embedded(number, person, vector)])

    def add_all(self, templates: Sequence[Embedded]) -> None:
        """Enter templates, all or none; a start enters a hundred thousand. Raises VectorError and then changes nothing."""
        if not templates:
            return
        given = [np.asarray(template.vector, np.float32) for template in templates]
        if len({vector.shape for vector in given}) > 1:
            raise VectorError("vectors of different shapes", "vectors of two models are never compared")
        vectors = checked(np.stack(given), self.dimension)
        numbers = [template.number for template in templates]
        if len({*numbers}) < len(numbers) or any(number in self._matrix for number in numbers):
            raise VectorError(f"a template number of {numbers[:10]} is in use", "every template has a number of its own")
        people = {template.person for template in templates} if self._shares is not None else ()
        for person in people:
            self._count(person, -1)
        owners = [self._owner(template.person) for template in templates]
        self._matrix.append(numbers, owners, vectors)
        for number, owner in zip(numbers, owners, strict=True):
            self._numbers_of[owner].append(number)
        for person in people:
            self._count(person, 1)

    def _owner(self, person: str) -> int:
        owner = self._owner_of.get(person)
        if owner is None:
            owner = self._owner_of[person] = self._next_owner
            self._name_of[owner], self._numbers_of[owner] = person, []
            self._next_owner += 1
        return owner

    def remove(self, person: str) -> int:
        """Remove a person: the next search does not find them. Returns how many templates were removed."""
        self._count(person, -1)
        owner = self._owner_of.pop(person, None)
        if owner is None:
            return 0
        del self._name_of[owner]
        numbers = self._numbers_of.pop(owner)
        for number in numbers:
            label, served, copied = self._matrix.remove(number)
            if copied and self._aside.busy:
                self._gone.append(label)
            if served and self._graph is not None:
                try:
                    self._graph.delete(label)
                except GraphError as error:
                    self._fail(f"{error.message}", -math.inf)
        return len(numbers)

    def vectors_of(self, person: str) -> npt.NDArray[np.float32]:
        """The person's vectors, float32 [K, D], K >= 0."""
        numbers = self._numbers_of.get(self._owner_of.get(person, -1), [])
        return np.take(self._matrix.vectors, self._matrix.rows_of(numbers), axis=0)

    def common(self) -> Common:
        """What all enrolled people have in common; everybody counts once, with however many templates. What is not finite is left out."""
        if self._shares is None:  # later changes are added to it: the sum over a large gallery takes longer than a decision
            self._shares = self._all_shares()
        people, total = self._shares.people, self._shares.total
        return Common(people, total / people if people else np.zeros(self.dimension))

    def _all_shares(self) -> Shares:
        if not self._matrix.count:
            return Shares(0, np.zeros(self.dimension))
        order = np.argsort(self._matrix.owners, kind="stable")
        owners = self._matrix.owners[order]
        starts = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
        sums = np.add.reduceat(self._matrix.vectors[order], starts, axis=0, dtype=np.float64)
        lengths = np.linalg.norm(sums, axis=1)
        usable = np.isfinite(lengths) & (lengths > 0)
        return Shares(int(usable.sum()), (sums[usable] / lengths[usable, None]).sum(0))

    def _count(self, person: str, sign: int) -> None:
        """Add a person's direction to what people have in common, or take it out again."""
        if self._shares is None or person not in self._owner_of:
            return
        direction = self.vectors_of(person).sum(0, np.float64)
        length = float(np.linalg.norm(direction))
        if math.isfinite(length) and length > 0:
            self._shares.people += sign
            self._shares.total += sign / length * direction

    def nearest_besides(self, vectors: npt.NDArray[np.float32], person: str) -> tuple[str | None, float]:
        """The nearest person other than `person` to any of float32 [N, D], N >= 1, and the similarity; (None, -1) where there is nobody.

        Always exact: it is used for enrolment, where a miss would let one face have two names.
        """
        matrix = self._matrix
        similarities = (matrix.vectors @ vectors.T).max(1)
        others = (similarities <= GREATEST_SIMILARITY) & (matrix.owners != self._owner_of.get(person, -1))
        if not others.any():
            return None, -1.0
        row = int(np.where(others, similarities, -np.inf).argmax())
        return self._name_of[int(matrix.owners[row])], float(similarities[row])

    # ---- the search

    def likeness(self, vector: Vector, person: str) -> float:
        """The best similarity of a vector, float32 [D], to a person's templates; -1 where there are none, or where the vector is not finite
        or not of unit length. Always exact. Raises VectorError for another shape."""
        (probe,) = shaped(np.asarray(vector)[None], self.dimension)
        if not sound(probe[None])[0]:
            return -1.0
        similarities = self.vectors_of(person) @ probe
        believable = similarities[similarities <= GREATEST_SIMILARITY]  # what is above, or NaN, is a damaged number of the matrix
        return float(believable.max()) if believable.size else -1.0

    def search(self, vectors: npt.NDArray[np.float32]) -> list[Match]:
        """The nearest person to each of float32 [N, D]; nobody for a vector that is not finite or not of unit length.

        Raises VectorError for another shape.
        """
        vectors = shaped(np.asarray(vectors), self.dimension)
        return [self._nearest(vector) if ok else NOBODY for vector, ok in zip(vectors, sound(vectors), strict=True)]

    def _nearest(self, vector: Vector) -> Match:
        matrix = self._matrix
        if not matrix.count:
            return NOBODY
        vectors, owners = matrix.vectors, matrix.owners
        if self._graph is not None:
            try:
                rows = self._proposed(self._graph, vector)
            except GraphError:
                self._audit_at_s = -math.inf  # this answer is exact; the audit tells whether more is wrong
            else:
                later = slice(matrix.covered, matrix.count)
                near = np.concatenate([owners[rows], owners[later]])
                # With one person's templates alone the runner-up would be unknown.
                if len(near) and (near != near[0]).any():
                    return self._match(np.concatenate([vectors[rows] @ vector, vectors[later] @ vector]), near)
        return self._match(vectors @ vector, owners)

    def _proposed(self, graph: Graph, vector: Vector) -> npt.NDArray[np.int64]:
        """The rows that the graph proposes, to be compared exactly; those of removed people are left out. Raises GraphError."""
        return self._matrix.rows(graph.nearest(vector, CANDIDATES))

    def _match(self, similarities: npt.NDArray[np.float32], owners: npt.NDArray[np.int64]) -> Match:
        owner, best, rival = best_two(similarities, owners)
        if max(best, rival) > GREATEST_SIMILARITY:  # a number in the matrix is damaged: that template matches nobody
            believable = np.where(similarities <= GREATEST_SIMILARITY, similarities, np.float32(np.nan))
            owner, best, rival = best_two(believable, owners)
        return Match(self._name_of[owner], best, rival)

    # ---- the graph's upkeep

    def tend(self, now_s: float) -> None:
        """A short turn of upkeep, to be called often: build a graph in the background, exchange it, audit it. `now_s` never steps back."""
        if self._closed:
            return
        self._fetch(now_s)
        if self._matrix.count <= self.exact_below:
            self._drop()
            self._reason, self._build_from_s = None, -math.inf
            return
        if self._graph is not None:
            self._review(self._graph, now_s)
        if not self._aside.busy and now_s >= self._build_from_s and self._outgrown():
            self._begin(now_s)

    def close(self) -> None:
        """End the background thread, without a long wait. The search goes on, exactly or with the present graph."""
        self._closed = True
        self._aside.close()

    def _outgrown(self) -> bool:
        graph, matrix = self._graph, self._matrix
        if graph is None:
            return True
        added = matrix.count - matrix.covered
        return added > max(self.exact_below // 8, graph.size * REBUILD_AFTER_ADDED) or graph.deleted > graph.size * REBUILD_AFTER_DELETED

    def _begin(self, now_s: float) -> None:
        self._builds += 1
        self._gone.clear()
        seed = self._builds
        try:
            snapshot = self._matrix.snapshot()
            self._aside.start(lambda stopped: _make(snapshot, seed, stopped))
        except (RuntimeError, MemoryError) as error:
            self._fail(f"no thread or no memory to build the graph: {error}", now_s + RETRY_S)

    def _fetch(self, now_s: float) -> None:
        outcome = self._aside.outcome()
        if outcome is None or isinstance(outcome, Stopped):
            return
        if isinstance(outcome, Exception):
            self._fail(f"the graph could not be built: {outcome or type(outcome).__name__}", now_s + RETRY_S)
            return
        self._recall = outcome.recall.share
        if not outcome.recall.passed:
            self._fail(_verdict(outcome.recall), now_s + RETRY_S)
            return
        try:
            for label in self._gone:
                outcome.graph.delete(label)
        except GraphError as error:
            self._fail(error.message, now_s + RETRY_S)
            return
        self._graph, self._reason = outcome.graph, None
        self._matrix.serve()
        self._plan_audit(outcome.graph, now_s)

    def _review(self, graph: Graph, now_s: float) -> None:
        """Continue the audit, if one is due: a few templates in a turn, compared with the matrix as it is now."""
        matrix = self._matrix
        if graph.deleted - self._audited_deleted > max(CANDIDATES, graph.size * AUDIT_AFTER_DELETED):
            self._audit_at_s = now_s
            self._audited_deleted = graph.deleted
        if now_s < self._audit_at_s or not matrix.covered:
            return
        rows = self._random.choice(matrix.covered, min(SLICE, matrix.covered), replace=False)
        known = slice(0, matrix.covered)
        self._audit += audit.ask(
            matrix.vectors[known],
            matrix.owners[known],
            lambda vector: self._proposed(graph, vector),
            audit.probes(matrix.vectors[rows], self._random),
        )
        if self._audit.asked < 2 * min(audit.TEMPLATES, matrix.covered):
            return
        recall = self._audit
        self._recall = recall.share
        if recall.passed:
            self._plan_audit(graph, now_s)
        else:
            self._fail(_verdict(recall), now_s)

    def _plan_audit(self, graph: Graph, now_s: float) -> None:
        self._audit_at_s, self._audited_deleted, self._audit = now_s + AUDIT_EVERY_S, graph.deleted, audit.Recall(0, 0)

    def _fail(self, reason: str, again_s: float) -> None:
        """Search exactly from now on, note the reason, and build a new graph from `again_s` on."""
        self._drop()
        self._reason, self._build_from_s = reason, again_s

    def _drop(self) -> None:
        self._graph = None
        self._matrix.uncover()
        self._audit_at_s, self._audit = math.inf, audit.Recall(0, 0)


def _verdict(recall: audit.Recall) -> str:
    return f"the search graph failed its self-recall audit ({recall.right} of {recall.asked} answers right)"


def _make(snapshot: Snapshot, seed: int, stopped: Callable[[], bool]) -> Built:
    """Build and audit a graph, in the background thread. Raises Stopped, GraphError, VectorError."""
    graph = build(snapshot, seed, stopped)
    rows = {label: row for row, label in enumerate(snapshot.labels.tolist())}

    def candidates(vector: Vector) -> npt.NDArray[np.int64]:
        # A label that the snapshot does not have is not a candidate here either.
        found = (rows.get(label) for label in graph.nearest(vector, CANDIDATES).tolist())
        return np.array([row for row in found if row is not None], np.int64)

    def pause() -> None:
        if stopped():
            raise Stopped

    return Built(graph, audit.whole(snapshot.vectors, snapshot.owners, candidates, seed, pause))
