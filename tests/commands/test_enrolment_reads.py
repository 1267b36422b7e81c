"""What enrolment asks of gallery, store and card, beside an oracle."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.bundle import Card, FmrPoint, read_card
from daemon.core.contract import schemas
from daemon.core.people.enrol import Standards
from daemon.core.values import Person
from daemon.edges.embedder import open_embedder
from daemon.edges.gallery import Gallery
from daemon.edges.store import open_store
from daemon.pipeline.opening import DEFAULT_BUNDLE, standards


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 8)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@given(st.lists(st.sampled_from("ABCD"), max_size=20), st.sets(st.sampled_from("ABCD")), st.integers(1, 4), st.integers(0, 99))
def test_the_nearest_of_all_others_is_found_whoever_came_and_went(owners: list[str], gone: set[str], probes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gallery, enrolled = Gallery(8), list(zip(owners, unit(rng, len(owners)), strict=True))
    for number, (person, vector) in enumerate(enrolled, 1):
        gallery.add(number, person, vector)
    for person in gone:
        gallery.remove(person)
    asked = unit(rng, probes)
    others = [(float((asked @ vector).max()), person) for person, vector in enrolled if person not in {*gone, "A"}]
    found, similarity = gallery.nearest_besides(asked, "A")
    if not others:
        assert (found, similarity) == (None, -1.0)
    else:
        best, whom = max(others)
        assert found == whom and similarity == pytest.approx(best, abs=1e-5)


def test_one_persons_templates_come_oldest_first_with_the_vectors_of_every_model(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.transaction():
        store.put_person(Person("E1"))
        store.put_person(Person("E2"))
        for person, model in (("E1", "old"), ("E2", "new"), ("E1", "new")):
            store.add_template(person, model, np.ones(8, np.float32), model.encode(), 0.0)
        assert store.put_vector(1, "E1", "new", np.zeros(8, np.float32)) and not store.put_vector(1, "E2", "new", np.zeros(8, np.float32))
    assert [(t.person, list(t.vectors), t.crop) for t in store.templates_of("E1")] == [
        ("E1", ["new", "old"], b"old"), ("E1", ["new"], b"new")
    ]  # fmt: skip
    assert [t.number for t in store.vectors("old")] == [1] and [t.number for t in store.vectors("new")] == [1, 2, 3]
    assert not store.damage(), "another model's vectors are not looked at"
    assert store.templates_of("E3") == []
    store.close()


@pytest.fixture(scope="module")
def card() -> Card:
    return read_card(open_embedder(DEFAULT_BUNDLE, "cpu", 1).session)


RATES = (0.1, 0.01, 0.001, 0.0001, 0.00001)


@pytest.mark.parametrize(
    ("resolved", "wanted"),
    [
        (5, Standards(0.2, 0.3, 0.4, 7)),
        (4, Standards(0.2, 0.3, 0.4, 7)),
        (3, Standards(0.2, 0.3, 0.3, 7)),
        (2, Standards(0.2, 0.2, 0.2, 7)),
        (1, Standards(None, None, None, 7)),
        (0, Standards(None, None, None, 7)),
    ],
)
def test_what_a_card_cannot_resolve_is_taken_from_the_next_rate_but_never_from_a_loose_one(
    card: Card, resolved: int, wanted: Standards
) -> None:
    points = tuple(FmrPoint(rate, (i + 1) / 10 if i < resolved else None, 1000) for i, rate in enumerate(RATES))
    calibration = msgspec.structs.replace(card.calibration, fmr=points)
    assert standards(msgspec.structs.replace(card, calibration=calibration), 7) == wanted


def test_every_message_has_its_schema() -> None:
    assert {"Enroll", "Update", "Get", "List", "Result"} <= set(schemas()["messages"])
