from dataclasses import replace

import numpy as np
import pytest

from daemon.core.passages.match import NOBODY
from daemon.core.values import Embedded
from daemon.edges.gallery import Gallery, VectorError
from tests.fixtures.unit_vectors import DIMENSION, grown, units


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
    if not exact_below:
        grown(gallery)
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
    if not exact_below:
        grown(gallery)
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
    grown(gallery)
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


def test_a_damaged_number_in_the_matrix_is_near_nobody() -> None:
    gallery = Gallery(DIMENSION)
    a, b = units(2)
    gallery.add(1, "alice", a)
    gallery.add(2, "bob", b)
    gallery._matrix.vectors[0, 0] = 1e30
    probe = a if a[0] > 0 else -a  # the damaged row's similarity is a huge positive number
    (match,) = gallery.search(probe[None])
    assert match.person == "bob" and match.similarity == pytest.approx(float(b @ probe), abs=1e-6) and match.rival == -1.0


def test_an_unsound_vector_names_its_fault_in_one_line_and_a_hint() -> None:
    with pytest.raises(VectorError) as caught:
        Gallery(DIMENSION).add(1, "alice", np.ones(DIMENSION, np.float32))
    assert "\n" not in caught.value.message and caught.value.hint


def test_the_vectors_of_one_person_wherever_they_lie() -> None:
    gallery = Gallery(DIMENSION)
    vectors = units(9)
    for number, vector in enumerate(vectors):
        gallery.add(number, "abc"[number % 3], vector)
    gallery.remove("a")
    assert sorted(map(tuple, gallery.vectors_of("b"))) == sorted(map(tuple, vectors[1::3]))
    assert gallery.vectors_of("a").shape == (0, DIMENSION) and gallery.vectors_of("nobody").shape == (0, DIMENSION)


def test_a_template_number_is_used_once() -> None:
    gallery = Gallery(DIMENSION)
    gallery.add(1, "alice", units(1)[0])
    with pytest.raises(VectorError, match="in use"):
        gallery.add(1, "bob", units(1)[0])


def test_what_enrolled_people_have_in_common_counts_everybody_once() -> None:
    gallery, (a, b, c) = Gallery(DIMENSION), units(3)
    assert gallery.common().people == 0 and not gallery.common().mean.any()
    for number, (person, vector) in enumerate([("alice", a), ("alice", a), ("alice", b), ("bob", c)]):
        gallery.add(number, person, vector)
    alice = (2.0 * a + b) / np.linalg.norm(2.0 * a + b)
    assert gallery.common().people == 2 and np.allclose(gallery.common().mean, (alice + c) / 2, atol=1e-6)
    gallery.remove("alice")
    assert gallery.common().people == 1 and np.allclose(gallery.common().mean, c, atol=1e-6)


def test_what_people_have_in_common_follows_every_change_as_if_it_were_made_anew() -> None:
    random, vectors = np.random.default_rng(3), units(400)
    gallery = Gallery(DIMENSION)
    gallery.common()  # from here on it follows
    for number, vector in enumerate(vectors):
        person = f"p{random.integers(0, 40)}"
        if random.random() < 0.2:
            gallery.remove(person)
        else:
            gallery.add(number, person, vector)
    anew = Gallery(DIMENSION)
    anew.add_all([Embedded(n, person, vectors[n]) for n, person in gallery.owners().items()])
    assert gallery.common().people == anew.common().people == gallery.people > 20
    assert np.allclose(gallery.common().mean, anew.common().mean, atol=1e-9)


def test_many_are_entered_at_once_or_none() -> None:
    vectors = units(500)
    gallery = Gallery(DIMENSION)
    gallery.add(1_000, "p0", units(1, seed=7)[0])
    common = gallery.common()
    whole = [Embedded(n, f"p{n // 4}", vector) for n, vector in enumerate(vectors)]
    for spoilt in (replace(whole[3], vector=2 * vectors[3]), replace(whole[3], number=1_000), replace(whole[3], number=4)):
        with pytest.raises(VectorError):
            gallery.add_all([*whole[:3], spoilt, *whole[4:]])
    with pytest.raises(VectorError, match="different shapes"):
        gallery.add_all([whole[0], replace(whole[1], vector=vectors[1][:3])])
    assert (gallery.templates, gallery.people) == (1, 1) and np.array_equal(gallery.common().mean, common.mean)
    gallery.add_all([])
    gallery.add_all(whole)
    assert (gallery.templates, gallery.people) == (501, 125)
    assert [match.person for match in gallery.search(vectors)] == [template.person for template in whole]
    assert gallery.remove("p0") == 5 and gallery.templates == 496
