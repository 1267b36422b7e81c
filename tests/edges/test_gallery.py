import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.core.match import NOBODY
from daemon.edges.gallery import Gallery, VectorError

DIMENSION = 16


def units(count: int, seed: int = 0, dimension: int = DIMENSION) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_an_empty_gallery_knows_nobody() -> None:
    assert Gallery(DIMENSION).search(units(2)) == [NOBODY, NOBODY]


def test_the_nearest_person_and_the_rival() -> None:
    gallery = Gallery(DIMENSION)
    a, b, c = units(3)
    for number, (person, vector) in enumerate([("alice", a), ("alice", b), ("bob", c)]):
        gallery.add(number, person, vector)
    (match,) = gallery.search(b[None])
    assert match.person == "alice" and match.similarity == pytest.approx(1.0, abs=1e-6)
    assert match.rival == pytest.approx(float(b @ c), abs=1e-6)


@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_the_graph_and_the_exact_search_agree(exact_below: int) -> None:
    vectors = units(2000)
    gallery = Gallery(DIMENSION, exact_below)
    for number, vector in enumerate(vectors):
        gallery.add(number, f"p{number // 4}", vector)
    probes = units(50, seed=1)
    for probe, match in zip(probes, gallery.search(probes), strict=True):
        similarities = vectors @ probe
        best = int(similarities.argmax())
        assert match.person == f"p{best // 4}" and match.similarity == pytest.approx(float(similarities[best]), abs=1e-6)


@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_a_removed_person_is_never_found_again(exact_below: int) -> None:
    vectors = units(500)
    gallery = Gallery(DIMENSION, exact_below)
    for number, vector in enumerate(vectors):
        gallery.add(number, f"p{number // 5}", vector)
    gallery.search(vectors[:1])
    for gone in range(0, 100, 2):
        assert gallery.remove(f"p{gone}") == 5
        assert all(m.person != f"p{gone}" for m in gallery.search(vectors[5 * gone : 5 * gone + 5]))
    assert gallery.people == 50 and gallery.templates == 250
    assert gallery.remove("p0") == 0
    for kept in range(1, 100, 2):
        assert {m.person for m in gallery.search(vectors[5 * kept : 5 * kept + 5])} == {f"p{kept}"}


def test_one_person_with_more_templates_than_candidates_still_has_a_rival() -> None:
    gallery = Gallery(DIMENSION, exact_below=0)
    (centre,) = units(1)
    near = centre + units(100, seed=2) * 0.05
    for number, vector in enumerate(near / np.linalg.norm(near, axis=1, keepdims=True)):
        gallery.add(number, "alice", vector)
    (other,) = units(1, seed=3)
    gallery.add(1000, "bob", other)
    (match,) = gallery.search(centre[None])
    assert match.person == "alice" and match.rival == pytest.approx(float(centre @ other), abs=1e-6)


@pytest.mark.parametrize(
    "vector",
    [np.zeros(DIMENSION), np.full(DIMENSION, np.nan), np.full(DIMENSION, np.inf), np.ones(DIMENSION), units(1, dimension=DIMENSION + 1)[0]],
    ids=["zero", "nan", "inf", "long", "wrong dimension"],
)
def test_an_unsound_vector_never_enters_and_never_matches(vector: np.ndarray) -> None:
    gallery = Gallery(DIMENSION)
    gallery.add(1, "alice", units(1)[0])
    with pytest.raises(VectorError):
        gallery.add(2, "bob", vector)
    assert gallery.people == 1 and gallery.templates == 1
    if len(vector) == DIMENSION:
        assert gallery.search(vector[None].astype(np.float32)) == [NOBODY]
    else:
        with pytest.raises(VectorError):
            gallery.search(vector[None])


def test_a_template_number_is_used_once() -> None:
    gallery = Gallery(DIMENSION)
    gallery.add(1, "alice", units(1)[0])
    with pytest.raises(VectorError, match="in use"):
        gallery.add(1, "bob", units(1)[0])


class AgainstADictionary(RuleBasedStateMachine):
    """Enrol, revoke and search at random, against a plain dictionary; the graph serves from the third template on."""

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery(DIMENSION, exact_below=2)
        self.truth: dict[int, tuple[str, np.ndarray]] = {}
        self.number = 0

    @rule(person=st.sampled_from("abcdefgh"), seed=st.integers(0, 10_000))
    def add(self, person: str, seed: int) -> None:
        self.number += 1
        vector = units(1, seed)[0]
        self.gallery.add(self.number, person, vector)
        self.truth[self.number] = (person, vector)

    @rule(person=st.sampled_from("abcdefgh"))
    def remove(self, person: str) -> None:
        gone = [n for n, (p, _) in self.truth.items() if p == person]
        assert self.gallery.remove(person) == len(gone)
        for number in gone:
            del self.truth[number]

    @rule(seed=st.integers(0, 10_000))
    def search(self, seed: int) -> None:
        probe = units(1, seed)[0]
        (match,) = self.gallery.search(probe[None])
        best: dict[str, float] = {}
        for person, vector in self.truth.values():
            best[person] = max(best.get(person, -1.0), float(vector @ probe))
        if not best:
            assert match == NOBODY
            return
        assert match.similarity == pytest.approx(max(best.values()), abs=1e-5)
        rest = [s for p, s in best.items() if p != match.person]
        assert match.rival == pytest.approx(max(rest, default=-1.0), abs=1e-5)

    @invariant()
    def counts(self) -> None:
        assert self.gallery.templates == len(self.truth)
        assert self.gallery.people == len({p for p, _ in self.truth.values()})


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
