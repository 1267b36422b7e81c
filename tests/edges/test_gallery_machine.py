"""A gallery whose graphs are built, lost, swapped in and distrusted at arbitrary moments, against a dictionary and numpy."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.core.passages.match import NOBODY
from daemon.core.values import Match
from daemon.edges.gallery import Gallery, VectorError, audit
from daemon.edges.gallery.gallery import AUDIT_EVERY_S, Built
from daemon.edges.gallery.graph import GraphError
from tests.edges.held import Held
from tests.fixtures.unit_vectors import DIMENSION, units

PEOPLE = st.sampled_from("abcdefgh")
SEEDS = st.integers(0, 10_000)
PASSES, FAILS = audit.TARGET, 2.0


class AgainstADictionary(RuleBasedStateMachine):
    """Below 3 templates, while a graph is built and after one has failed the search is exact; else the graph proposes."""

    @initialize()
    def begin(self) -> None:
        self.aside = Held[Built]()
        self.gallery = Gallery(DIMENSION, exact_below=2, aside=self.aside)
        self.truth: dict[int, tuple[str, np.ndarray]] = {}
        self.now_s = 0.0

    def teardown(self) -> None:
        audit.TARGET = PASSES
        self.gallery.close()

    @rule(person=PEOPLE, seed=SEEDS, count=st.sampled_from([1, 1, 3, 60]))
    def add(self, person: str, seed: int, count: int) -> None:
        """One or more templates; 60 are more than the graph proposes. Numbers that are free again are used again."""
        for vector in units(count, seed):
            number = next(n for n in range(10_000) if n not in self.truth)
            self.gallery.add(number, person, vector)
            self.truth[number] = (person, vector)

    @precondition(lambda self: self.truth)
    @rule(person=PEOPLE, data=st.data())
    def add_under_a_number_in_use(self, person: str, data: st.DataObject) -> None:
        with pytest.raises(VectorError):
            self.gallery.add(data.draw(st.sampled_from(sorted(self.truth))), person, units(1)[0])

    @rule(person=PEOPLE)
    def remove(self, person: str) -> None:
        own = [vector for p, vector in self.truth.values() if p == person]
        self.truth = {n: (p, v) for n, (p, v) in self.truth.items() if p != person}
        assert self.gallery.remove(person) == len(own)
        for match in self.gallery.search(np.array(own[:3], np.float32).reshape(-1, DIMENSION)):
            assert match.person != person

    @rule(seed=SEEDS)
    def search(self, seed: int) -> None:
        self.check(units(1, seed)[0])

    @precondition(lambda self: self.truth)
    @rule(seed=SEEDS, data=st.data())
    def search_near_a_template(self, seed: int, data: st.DataObject) -> None:
        vector = self.truth[data.draw(st.sampled_from(sorted(self.truth)))][1] + 0.3 * units(1, seed)[0]
        self.check(np.asarray(vector / np.linalg.norm(vector), np.float32))

    @rule(seconds=st.sampled_from([0.0, 1.0, 700.0, AUDIT_EVERY_S]), turns=st.sampled_from([1, 1, 5, 140]))
    def tend(self, seconds: float, turns: int) -> None:
        """Time passes, and the engine turns; 140 turns hold a whole audit."""
        self.now_s += seconds
        for _ in range(turns):
            self.gallery.tend(self.now_s)

    @precondition(lambda self: self.aside.waiting)
    @rule()
    def the_build_is_done(self) -> None:
        self.aside.run()

    @precondition(lambda self: self.aside.waiting)
    @rule(error=st.sampled_from([MemoryError(), RuntimeError("bad"), GraphError("hnswlib: bad", "none")]))
    def the_build_fails(self, error: Exception) -> None:
        self.aside.fail(error)

    @rule(passes=st.booleans())
    def audits_pass(self, passes: bool) -> None:
        audit.TARGET = PASSES if passes else FAILS

    def check(self, probe: np.ndarray) -> None:
        (match,) = self.gallery.search(probe[None])
        best: dict[str, float] = {}
        for person, vector in self.truth.values():
            best[person] = max(best.get(person, -1.0), float(vector @ probe))
        if not best:
            assert match == NOBODY
            return
        assert isinstance(match, Match) and match.person is not None
        # Two people may hold the very same vector: either is right, a third is not.
        assert match.similarity == pytest.approx(best[match.person], abs=1e-5) == pytest.approx(max(best.values()), abs=1e-5)
        rest = [s for p, s in best.items() if p != match.person]
        assert match.rival == pytest.approx(max(rest, default=-1.0), abs=1e-5)

    @invariant()
    def counts(self) -> None:
        assert self.gallery.templates == len(self.truth)
        assert self.gallery.people == len({p for p, _ in self.truth.values()})

    @invariant()
    def everybodys_vectors_are_theirs(self) -> None:
        for person in "ah":
            kept = sorted(tuple(v) for p, v in self.truth.values() if p == person)
            assert sorted(map(tuple, self.gallery.vectors_of(person))) == kept

    @invariant()
    def the_graph_knows_whom_it_covers_and_serves_only_when_believed(self) -> None:
        state, graph, matrix = self.gallery.graph_state, self.gallery._graph, self.gallery._matrix
        assert (graph is not None) == (state.state == "serving")
        assert (state.state == "failed") == (state.reason is not None)
        assert matrix.covered == (graph.live if graph is not None else 0)
        assert matrix.covered <= matrix.count and matrix.copied <= matrix.count


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
