"""The graph aside: its checks, its build in a thread, its audit, and that removal is at once whatever it is doing."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from daemon.edges.gallery import CANDIDATES, Gallery, VectorError, audit, graph
from daemon.edges.gallery.background import Background
from daemon.edges.gallery.gallery import AUDIT_EVERY_S, RETRY_S, Built
from daemon.edges.gallery.graph import Graph, GraphError, Stopped, build
from daemon.edges.gallery.matrix import Matrix, Snapshot
from tests.conftest import ROOT
from tests.edges.held import Held
from tests.fixtures.unit_vectors import DIMENSION, grown, units


def snapshot(count: int, dimension: int = DIMENSION) -> Snapshot:
    return Snapshot(units(count, dimension=dimension), np.arange(count, dtype=np.int64), np.arange(count, dtype=np.int64) + 1000)


def never() -> bool:
    return False


def state_of(gallery: Gallery) -> str:
    return gallery.graph_state.state


def filled(count: int, aside: Any = None, exact_below: int = 0, each: int = 2) -> tuple[Gallery, np.ndarray]:
    gallery, vectors = Gallery(DIMENSION, exact_below, aside), units(count)
    for number, vector in enumerate(vectors):
        gallery.add(number, f"p{number // each}", vector)
    return gallery, vectors


def served(count: int) -> tuple[Gallery, np.ndarray, Held[Built]]:
    """The same with a graph that serves."""
    aside = Held[Built]()
    gallery, vectors = filled(count, aside)
    gallery.tend(0.0)
    aside.run()
    gallery.tend(0.0)
    return gallery, vectors, aside


# ---- the wrapper


def test_the_wrapper_asks_for_much_and_always() -> None:
    made = build(snapshot(50), 1, never)
    assert made._index.ef >= 200 and CANDIDATES >= 16
    assert made._index.num_threads == 1


@pytest.mark.parametrize(
    "vector",
    [
        units(1, dimension=DIMENSION - 1)[0],
        units(1, dimension=2 * DIMENSION)[0],
        units(2),
        np.full(DIMENSION, np.nan, np.float32),
        np.full(DIMENSION, np.inf, np.float32),
        np.zeros(DIMENSION, np.float32),
        2 * units(1)[0],
        np.full(DIMENSION, 3e38, np.float32),
    ],
    ids=["short", "long", "two", "nan", "inf", "zero", "twice too long", "huge"],
)
def test_nothing_unsound_reaches_hnswlib(vector: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(snapshot(10), 1, never)

    class Untouched:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"hnswlib's {name} was called")

    monkeypatch.setattr(made, "_index", Untouched())
    with pytest.raises(VectorError):
        made.nearest(vector, 3)
    with pytest.raises(VectorError):
        made.add(vector[None], np.array([7], np.int64))


def test_what_reaches_hnswlib_is_contiguous_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(snapshot(10), 1, never)
    seen: list[np.ndarray] = []

    class Seen:
        def knn_query(self, data: np.ndarray, k: int, num_threads: int) -> tuple[np.ndarray, np.ndarray]:
            seen.append(data)
            return np.zeros((1, k), np.uint64), np.zeros((1, k), np.float32)

    monkeypatch.setattr(made, "_index", Seen())
    wide = np.zeros((DIMENSION, 2))
    wide[:, 0] = units(1)[0]
    probe: Any = wide[:, 0]  # float64, and not contiguous
    made.nearest(probe, 3)
    assert seen[0].dtype == np.float32 and seen[0].flags.c_contiguous and seen[0].shape == (1, DIMENSION)


@pytest.mark.parametrize(
    "labels", [np.arange(3), np.arange(2, dtype=np.int32), np.zeros((2, 1), np.int64)], ids=["many", "narrow", "two axes"]
)
def test_labels_fit_their_vectors(labels: np.ndarray) -> None:
    with pytest.raises(GraphError):
        build(snapshot(10), 1, never).add(units(2), labels)


def test_k_is_never_more_than_there_is() -> None:
    made = build(snapshot(5), 1, never)
    assert sorted(made.nearest(units(1)[0], 32)) == [1000, 1001, 1002, 1003, 1004]
    for label in range(1000, 1005):
        made.delete(label)
        assert label not in made.nearest(units(1)[0], 32)
    assert made.live == 0 and len(made.nearest(units(1)[0], 32)) == 0
    assert len(Graph(DIMENSION, 0, 1).nearest(units(1)[0], 1)) == 0


def test_hnswlibs_own_refusals_are_graph_errors() -> None:
    made = build(snapshot(5), 1, never)
    with pytest.raises(GraphError, match="hnswlib"):
        made.delete(1)
    with pytest.raises(GraphError, match="hnswlib"):
        made.add(units(1), np.array([1], np.int64))  # there is no room, and it never grows


def test_two_threads_at_once_are_refused_not_raced() -> None:
    made = build(snapshot(10), 1, never)
    with made._one_thread(), pytest.raises(GraphError, match="two threads"):
        made.nearest(units(1)[0], 1)
    assert len(made.nearest(units(1)[0], 1)) == 1


def test_no_index_file_is_ever_written_or_read() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "daemon/edges/gallery").glob("*.py"))
    assert not any(word in source for word in (".save_index", ".load_index", ".resize_index", "pickle"))


# ---- the rows


def test_labels_are_never_used_twice_though_numbers_are() -> None:
    matrix = Matrix(DIMENSION)
    seen = set()
    for _ in range(5):
        matrix.append([7], [0], units(1))
        label, *_ = matrix.remove(7)
        seen.add(label)
    assert len(seen) == 5 and matrix.count == 0


def test_what_is_taken_out_leaves_no_trace_in_the_matrix() -> None:
    matrix, vectors = Matrix(DIMENSION), units(9)
    for number in range(3):
        matrix.append([number], [0], vectors[number : number + 1])
    matrix.snapshot()
    matrix.serve()
    for number in range(3, 6):
        matrix.append([number], [0], vectors[number : number + 1])
    matrix.snapshot()
    for number in range(6, 9):
        matrix.append([number], [0], vectors[number : number + 1])
    assert matrix.remove(0)[1:] == (True, True) and matrix.remove(4)[1:] == (False, True) and matrix.remove(7)[1:] == (False, False)
    assert (matrix.covered, matrix.copied, matrix.count) == (2, 4, 6)
    assert not matrix._vectors[6:].any() and not matrix._keys[6:].any()
    kept = {1, 2, 3, 5, 6, 8}
    assert {tuple(v) for v in matrix.vectors} == {tuple(vectors[n]) for n in kept}
    assert {tuple(v) for v in matrix.vectors[:2]} == {tuple(vectors[n]) for n in (1, 2)}  # the graph's run is still its own
    assert {tuple(v) for v in matrix.vectors[2:4]} == {tuple(vectors[n]) for n in (3, 5)}


# ---- built aside


def test_exact_search_serves_while_the_graph_is_built_and_what_changed_meanwhile_is_known_after() -> None:
    aside = Held[Built]()
    gallery, vectors = filled(100, aside)
    gallery.tend(0.0)
    assert aside.busy and state_of(gallery) == "building"
    assert gallery.search(vectors[:1])[0].person == "p0"
    newcomer = units(1, seed=9)[0]
    gallery.add(1000, "newcomer", newcomer)
    gallery.remove("p0")
    aside.run()
    gallery.tend(0.0)
    assert state_of(gallery) == "serving" and gallery.graph_state.recall == 1.0
    assert gallery.search(newcomer[None])[0].person == "newcomer"
    assert {m.person for m in gallery.search(vectors[:2])}.isdisjoint({"p0"})
    assert gallery._graph is not None and gallery._graph.live == 98


def test_search_uses_the_graph_only_while_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    nearest = Graph.nearest

    def counted(self: Graph, vector: np.ndarray, k: int) -> np.ndarray:
        nonlocal asked
        asked += 1
        assert k >= 16
        return nearest(self, vector, k)

    aside = Held[Built]()
    gallery, vectors = filled(100, aside)
    gallery.tend(0.0)
    monkeypatch.setattr(Graph, "nearest", counted)
    gallery.search(vectors[:5])
    assert asked == 0
    aside.run()
    gallery.tend(0.0)
    asked = 0
    gallery.search(vectors[:5])
    assert asked == 5


def test_a_growing_gallery_gets_a_new_graph_aside_and_is_searched_meanwhile() -> None:
    gallery, _, aside = served(320)
    first = gallery._graph
    more = units(11, seed=5)
    for number, vector in enumerate(more[:10]):
        gallery.add(1000 + number, f"q{number}", vector)
    gallery.tend(0.0)
    assert not aside.busy  # a few are searched exactly beside the graph
    gallery.add(1010, "q10", more[10])
    gallery.tend(0.0)
    assert aside.busy and gallery._graph is first and state_of(gallery) == "serving"
    assert [m.person for m in gallery.search(more)] == [f"q{n}" for n in range(11)]
    aside.run()
    gallery.tend(0.0)
    assert gallery._graph is not first and gallery._matrix.covered == gallery.templates == 331
    assert [m.person for m in gallery.search(more)] == [f"q{n}" for n in range(11)]


def test_a_graph_of_which_much_is_deleted_is_built_anew() -> None:
    gallery, _, aside = served(100)
    for person in range(12):
        gallery.remove(f"p{person}")
    gallery.tend(0.0)
    assert not aside.busy
    gallery.remove("p12")
    gallery.tend(0.0)
    assert aside.busy


def test_a_gallery_that_shrinks_to_little_is_searched_exactly() -> None:
    aside = Held[Built]()
    gallery, vectors = filled(40, aside, exact_below=30)
    gallery.tend(0.0)
    aside.run()
    gallery.tend(0.0)
    assert state_of(gallery) == "serving"
    for person in range(5):
        gallery.remove(f"p{person}")
    gallery.tend(0.0)
    assert state_of(gallery) == "unneeded" and gallery._graph is None and gallery._matrix.covered == 0
    assert gallery.search(vectors[20:21])[0].person == "p10"


def test_without_tending_no_thread_is_started_and_the_search_is_exact() -> None:
    before = threading.active_count()
    gallery, vectors = filled(200)
    assert gallery.search(vectors[7:8])[0].person == "p3"
    assert threading.active_count() == before and gallery._graph is None


# ---- when it goes wrong


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("bad alloc"), GraphError("hnswlib: no", "none")])
def test_a_build_that_fails_leaves_exact_search_and_a_reason_and_is_tried_again(error: Exception) -> None:
    aside = Held[Built]()
    gallery, vectors = filled(100, aside)
    gallery.tend(0.0)
    gallery.remove("p0")
    aside.fail(error)
    gallery.tend(1.0)
    state = gallery.graph_state
    assert state.state == "failed" and state.reason is not None and "could not be built" in state.reason and "\n" not in state.reason
    assert gallery.search(vectors[9:10])[0].person == "p4"
    gallery.tend(RETRY_S)
    assert not aside.busy
    gallery.tend(1.0 + RETRY_S)
    assert aside.busy and state_of(gallery) == "failed"
    aside.run()
    gallery.tend(1.0 + RETRY_S)
    assert state_of(gallery) == "serving" and gallery.graph_state.reason is None


def test_a_thread_that_cannot_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gallery, vectors = filled(100)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    gallery.tend(0.0)
    assert state_of(gallery) == "failed" and "can't start new thread" in (gallery.graph_state.reason or "")
    assert gallery.search(vectors[:1])[0].person == "p0"
    monkeypatch.undo()
    gallery.tend(RETRY_S)
    grown_later = time.monotonic() + 30
    while state_of(gallery) != "serving":
        assert time.monotonic() < grown_later
        gallery.tend(RETRY_S)


def test_an_answer_that_fails_is_exact_and_has_the_graph_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, vectors, _ = served(100)

    def broken(self: Graph, vector: np.ndarray, k: int) -> np.ndarray:
        raise GraphError("hnswlib: Cannot return the results in a contiguous 2D array", "none")

    monkeypatch.setattr(Graph, "nearest", broken)
    assert [m.person for m in gallery.search(vectors)] == [f"p{n // 2}" for n in range(100)]
    for _ in range(200):
        gallery.tend(1.0)
    assert state_of(gallery) == "failed" and gallery.graph_state.recall == 0.0


def test_labels_the_graph_cannot_know_are_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, vectors, _ = served(100)
    monkeypatch.setattr(Graph, "nearest", lambda self, vector, k: np.array([10**12, -5, 2**62], np.int64))
    assert [m.person for m in gallery.search(vectors)] == [f"p{n // 2}" for n in range(100)]  # no candidate at all: exact


# ---- the audit


class Forgetful:
    """A graph that never proposes what it is told to forget, as hnswlib does with an element that nothing links to."""

    def __init__(self, inner: Graph, forgotten: set[int]) -> None:
        self.inner, self.forgotten = inner, forgotten

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def nearest(self, vector: np.ndarray, k: int) -> np.ndarray:
        found = self.inner.nearest(vector, k)
        return found[~np.isin(found, list(self.forgotten))]


@pytest.mark.parametrize(("forgotten", "state"), [(0, "serving"), (20, "failed")])
def test_a_new_graph_is_audited_before_it_serves(forgotten: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = build

    def poor(*arguments: Any) -> Any:
        return Forgetful(real(*arguments), set(range(forgotten)))

    monkeypatch.setattr("daemon.edges.gallery.gallery.build", poor)
    gallery, vectors, _ = served(200)
    assert state_of(gallery) == state
    assert (gallery.graph_state.recall == 1.0) == (state == "serving")
    if state == "failed":
        assert "of 256 answers right" in (gallery.graph_state.reason or "")
    assert [m.person for m in gallery.search(vectors)] == [f"p{n // 2}" for n in range(200)]


def test_the_audit_comes_back_every_hour_and_a_graph_that_fails_it_is_replaced() -> None:
    gallery, _, aside = served(200)
    assert gallery._graph is not None
    gallery._graph = Forgetful(gallery._graph, set(range(60)))  # type: ignore[assignment]
    for turn in range(500):
        gallery.tend(AUDIT_EVERY_S - 1 + turn / 1000)
    assert state_of(gallery) == "serving"
    turns = 0
    while state_of(gallery) == "serving":
        gallery.tend(AUDIT_EVERY_S)
        turns += 1
    assert turns == 128  # one template each
    assert state_of(gallery) == "failed" and aside.busy and gallery._graph is None
    aside.run()
    gallery.tend(AUDIT_EVERY_S)
    assert state_of(gallery) == "serving"
    for _ in range(128):
        gallery.tend(2 * AUDIT_EVERY_S)
    assert state_of(gallery) == "serving" and gallery.graph_state.recall == 1.0
    assert gallery._audit_at_s == 3 * AUDIT_EVERY_S


def test_many_deletions_bring_the_audit_forward() -> None:
    gallery, _, _ = served(200)
    assert gallery._graph is not None
    gallery._graph = Forgetful(gallery._graph, set(range(200)))  # type: ignore[assignment]
    for person in range(16):
        gallery.remove(f"p{person}")
    for _ in range(200):
        gallery.tend(1.0)
    assert state_of(gallery) == "serving"
    gallery.remove("p16")
    for _ in range(200):
        gallery.tend(1.0)
    assert state_of(gallery) == "failed"


def test_the_audit_counts_a_missed_close_rival_and_not_a_far_one() -> None:
    a, b = units(2)
    near = a + 0.2 * b
    near /= np.linalg.norm(near)
    vectors, owners = np.stack([a, near, -a]), np.array([0, 1, 2], np.int64)
    asked = a[None]
    assert audit.ask(vectors, owners, lambda _: np.array([0, 1]), asked) == audit.Recall(1, 1)
    assert audit.ask(vectors, owners, lambda _: np.array([0, 2]), asked) == audit.Recall(0, 1)
    assert audit.ask(vectors, owners, lambda _: np.array([1, 2]), asked) == audit.Recall(0, 1)
    assert audit.ask(vectors[[0, 2]], owners[[0, 2]], lambda _: np.array([0]), asked) == audit.Recall(1, 1)
    assert audit.ask(vectors, owners, lambda _: np.empty(0, np.int64), asked) == audit.Recall(0, 1)


def test_the_audits_probes_are_templates_and_copies_as_near_as_a_genuine_probe() -> None:
    vectors = units(50, dimension=128)
    made = audit.probes(vectors, np.random.default_rng(1))
    assert (made[:50] == vectors).all() and np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert 0.5 < float((made[50:] * vectors).sum(1).mean()) < 0.7


def test_the_same_face_under_two_names_is_no_miss() -> None:
    vectors = np.repeat(units(1), 40, 0)  # more copies than candidates: whichever are proposed are as near as any
    recall = audit.whole(vectors, np.arange(40), lambda _: np.arange(CANDIDATES), 1, lambda: None)
    assert recall.passed and recall.asked == 80


# ---- the thread


@pytest.fixture
def background() -> Iterator[Background[int]]:
    made = Background[int]()
    yield made
    made.close()


def waited(background: Background[int]) -> int | Exception:
    deadline = time.monotonic() + 10
    while (outcome := background.outcome()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return outcome


def test_an_outcome_is_fetched_once(background: Background[int]) -> None:
    background.start(lambda _: 7)
    assert background.busy and waited(background) == 7
    assert not background.busy and background.outcome() is None


def test_whatever_the_work_raises_is_its_outcome(background: Background[int]) -> None:
    def work(_: Callable[[], bool]) -> int:
        raise MemoryError

    background.start(work)
    assert isinstance(waited(background), MemoryError)


def test_the_thread_gives_way_to_the_gate(background: Background[int]) -> None:
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    background.start(lambda _: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert waited(background) == min(19, own + 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def test_a_sandbox_that_forbids_giving_way_does_not_forbid_the_work(background: Background[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "nice", forbid)
    background.start(lambda _: 7)
    assert waited(background) == 7


def test_closing_in_the_middle_of_a_build_is_quick() -> None:
    gallery, vectors = filled(20_000)
    gallery.tend(0.0)
    time.sleep(0.2)
    started = time.monotonic()
    gallery.close()
    assert time.monotonic() - started < 1.9
    assert not [t for t in threading.enumerate() if t.name == "ostiary-graph"]
    gallery.tend(1.0)
    assert not [t for t in threading.enumerate() if t.name == "ostiary-graph"]
    assert gallery.search(vectors[:1])[0].person == "p0"


def test_a_closed_gallery_starts_nothing() -> None:
    aside = Held[Built]()
    gallery, _ = filled(100, aside)
    gallery.tend(0.0)
    gallery.close()
    gallery.tend(RETRY_S)
    assert not aside.waiting and state_of(gallery) == "building"
    gallery, _ = filled(100, aside := Held[Built]())
    gallery.close()
    gallery.tend(0.0)
    assert not aside.busy


def test_a_build_stops_between_chunks() -> None:
    asked = 0

    def after_two() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(Stopped):
        build(snapshot(1000), 1, after_two)
    assert asked == 3


# ---- revocation (Show 4): how many searches between `remove` and "cannot be returned"

MANY = 100_000


@pytest.fixture(scope="module")
def crowd() -> np.ndarray:
    return units(MANY, dimension=8)


@pytest.fixture
def quick_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 templates take minutes at full effort, and how good the graph is does not matter here."""
    monkeypatch.setattr(graph, "EF_CONSTRUCTION", 20)
    monkeypatch.setattr(graph, "DEGREE", 6)
    monkeypatch.setattr(audit, "TARGET", 0.0)
    monkeypatch.setattr("daemon.edges.gallery.background.NICE", 0)


def searches_until_gone(gallery: Gallery, crowd: np.ndarray, people: range) -> int:
    """Over all people: the searches for their own vectors, after their removal, that still returned them. Removing takes no time."""
    still, took_s = 0, []
    for person in people:
        own = crowd[person::20_000]
        assert {m.person for m in gallery.search(own)} == {f"p{person}"}
        started = time.perf_counter()
        assert gallery.remove(f"p{person}") == 5
        took_s.append(time.perf_counter() - started)
        still += sum(m.person == f"p{person}" for m in gallery.search(own))
    assert len(took_s) < 20 or np.median(took_s) < 0.005  # one alone may have waited for a processor
    return still


@pytest.mark.usefixtures("quick_graph")
def test_a_removed_person_among_100_000_templates_is_gone_at_the_very_next_search(crowd: np.ndarray) -> None:
    gallery = Gallery(8)
    gallery.exact_below = 10_000
    for number, vector in enumerate(crowd):  # the templates of one person do not lie side by side
        gallery.add(number, f"p{number % 20_000}", vector)
    assert searches_until_gone(gallery, crowd, range(20)) == 0  # exact
    gallery.tend(0.0)
    turns = 0

    def during() -> None:
        nonlocal turns
        turns += 1
        assert state_of(gallery) == "building"
        assert searches_until_gone(gallery, crowd, range(100 + turns, 101 + turns)) == 0

    grown(gallery, during)
    assert turns > 10
    # Those who went during the build are not in the graph that has just been swapped in, nor are those who go now.
    for person in [*range(20), *range(101, 101 + turns)]:
        assert f"p{person}" not in {m.person for m in gallery.search(crowd[person::20_000])}
    assert gallery._graph is not None and gallery._graph.live == gallery.templates
    assert searches_until_gone(gallery, crowd, range(10_000, 10_100)) == 0
    gallery.close()
