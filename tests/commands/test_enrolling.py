"""Stories about enrolments whose photos are looked at aside: order, repetition, what overtakes them, and what goes wrong."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.commands.enrolment import Pictures
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Delivery, Image
from daemon.edges.embedder import EmbedderError
from daemon.edges.store import Store, StoreError, open_store
from daemon.pipeline.serving import Serving
from tests.edges.held import Held
from tests.fixtures.crowds import results
from tests.fixtures.desk import MODELS, PaintedEmbedder, command, fixed, painted, painted_crops
from tests.fixtures.engine_site import Site

ALICE, BOB = 100, 240


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(tmp_path)
    made = Site(store, gates=("north", "south"), pictures_aside=Held)
    made.desk.grants = frozenset({"capture", "reembed", "replace"})
    made.turn()
    yield made
    store.close()


def aside(site: Site) -> "Held[Pictures]":
    held = site.engine._enrolling._aside
    assert isinstance(held, Held)
    return held


def looked_at(site: Site) -> list[dict[str, Any]]:
    """The photos that are aside have been looked at; what the gate says then."""
    try:
        aside(site).run()
    except EnrolError as error:
        aside(site).fail(error)
    return site.turn()


def enroll(person: str, face: int, issued: float = 100.0, **more: Any) -> bytes:
    return command("enroll", person, [painted(face)], issued=issued, **more)


def test_the_gate_goes_on_while_photos_are_looked_at(site: Site) -> None:
    assert site.asks(enroll("E1", ALICE)) == [] and site.wire.acknowledged == [] and site.store.depth() == 0
    assert [t["decision"] for t in site.sees(ALICE, times=12) if "decision" in t] == ["unknown"]
    assert site.asks(command("ping", issued=101)) == [], "commands keep their order"
    assert results(looked_at(site)) == [("done", None)]
    assert results(site.turn()) == [("done", None)]
    assert site.wire.acknowledged == [(1, 1, 1), (1, 2, 1)]
    site.sees(None, times=10)
    assert [t["decision"] for t in site.sees(ALICE, times=8) if "decision" in t] == ["accept"]


def test_enrolments_are_looked_at_one_by_one_in_their_order(site: Site) -> None:
    for number, face in enumerate((ALICE, BOB, 170), 1):
        site.asks(enroll(f"E{number}", face))
    answered = []
    while aside(site).waiting:
        answered += [answer["person"] for answer in looked_at(site)]
        assert site.turn() == []
    assert answered == ["E1", "E2", "E3"]


def test_it_says_whether_an_enrolment_is_under_way(site: Site) -> None:
    enrolling = site.engine._enrolling
    assert not enrolling.holds_others
    site.asks(enroll("E1", ALICE))
    site.asks(enroll("E2", BOB))
    assert enrolling.holds_others
    looked_at(site)
    site.turn()
    assert enrolling.holds_others
    looked_at(site)
    assert not enrolling.holds_others


def test_a_command_that_comes_again_meanwhile_is_done_once_and_both_are_acknowledged(site: Site) -> None:
    payload = enroll("E1", ALICE)
    site.asks(payload)
    site.asks(payload)
    assert results(looked_at(site)) == [("done", None)]
    assert results(site.turn()) == [("done", None)] and not aside(site).busy, "it has its answer by now"
    assert site.wire.acknowledged == [(1, 1, 1), (1, 2, 1)]


def test_a_command_for_all_gates_is_looked_at_once_and_answered_at_each(site: Site) -> None:
    payload = enroll("E1", ALICE)
    for gate in ("north", "south"):
        site.mailbox.deliver(Delivery(gate, "ostiary/v1/hq/all/command", payload, False, (1, 1, 1)))
    site.turn()
    looked_at(site)
    site.turn()
    assert not aside(site).busy
    for wire in site.wires.values():
        told = [json.loads(m.payload) for m in wire.sent if m.topic.endswith("/result")]
        assert results(told) == [("done", None)] and wire.acknowledged == [(1, 1, 1)]


@pytest.mark.parametrize("op", ["revoke", "suspend"])
def test_what_shuts_somebody_out_overtakes_their_enrolment(site: Site, op: str) -> None:
    site.asks(enroll("E1", ALICE))
    where = "ostiary/v1/hq/north/command/revoke"
    site.mailbox.deliver(Delivery("north", where, command(op, "E1", issued=100.5), False, (2, 1, 1)))
    site.turn()
    assert results(looked_at(site)) == [("refused", "superseded")] and site.current.people == {}


def test_a_photo_that_is_no_good_is_refused_and_the_next_enrolment_goes_on(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE), painted()], issued=100))
    site.asks(enroll("E2", BOB))
    (answer,) = looked_at(site)
    assert (answer["reason"], answer["detail"][:8]) == ("no_face", "image 2:")
    site.turn()
    assert results(looked_at(site)) == [("done", None)] and list(site.current.people) == ["E2"]


def test_another_model_that_serves_meanwhile_embeds_the_crops_again(site: Site) -> None:
    site.asks(enroll("E1", ALICE))
    aside(site).run()
    other = MODELS["painted-2"]
    site.current.serve(Serving(other, type(site.current.serving.gallery)(other.dimension), fixed(0.9)))
    assert site.turn() == [] and aside(site).waiting
    assert results(looked_at(site)) == [("done", None)]
    (template,) = site.store.templates_of("E1")
    assert list(template.vectors) == ["painted-2"]
    mirrored = PaintedEmbedder(mirrored=True).embed(np.full((1, 112, 112, 3), ALICE, np.uint8))
    assert np.allclose(template.vectors["painted-2"], mirrored, atol=0.1)


@pytest.mark.parametrize("error", [EmbedderError("out of memory", "restart"), RuntimeError("a bug"), MemoryError()])
def test_an_enrolment_that_the_gate_fails_at_is_answered_once_and_not_tried_again(
    site: Site, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    payload = enroll("E1", ALICE)
    site.asks(payload)
    aside(site).fail(error)
    (answer,) = site.turn()
    assert (answer["status"], answer["reason"]) == ("failed", "internal") and type(error).__name__ in answer["detail"]
    assert "its payload has the SHA-256" in caplog.text
    assert site.wire.acknowledged == [(1, 1, 1)] and site.current.people == {}
    assert results(site.asks(payload)) == [("failed", "internal")], "it is kept"
    site.asks(enroll("E2", BOB))
    assert results(looked_at(site)) == [("done", None)]


def test_a_thread_that_the_system_does_not_give_fails_one_enrolment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(work: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as system:
        system.setattr(aside(site), "start", none)
        assert results(site.asks(enroll("E1", ALICE))) == [("failed", "internal")]
    site.asks(enroll("E2", BOB))
    assert results(looked_at(site)) == [("done", None)]


def test_on_a_full_disk_it_is_not_acknowledged_and_is_done_when_the_disk_works(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    site.asks(enroll("E1", ALICE))
    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        assert results(looked_at(site)) == [("failed", "not_durable")]
        assert site.wire.acknowledged == [] and site.current.people == {}
    site.now_s += 20
    site.turn()
    assert results(looked_at(site)) == [("done", None)] and site.wire.acknowledged == [(1, 1, 1)]


def test_a_capture_is_embedded_aside_too_and_a_repetition_gets_its_answer(site: Site) -> None:
    payload = command("enroll", "E1", capture={"seconds": 1}, issued=100)
    site.asks(payload)
    assert not site.engine._enrolling.holds_others, "while the camera looks, other commands go on"
    assert results(site.sees(ALICE, times=12)) == [] and aside(site).waiting and site.engine._enrolling.holds_others
    site.asks(payload)
    assert results(looked_at(site)) == [("done", None)]
    assert results(site.turn()) == [("done", None)] and site.wire.acknowledged == [(1, 1, 1), (1, 2, 1)]


def test_photos_are_looked_at_aside_and_never_in_a_turn(tmp_path: Path) -> None:
    seen = []

    def crops(jpegs: Sequence[bytes]) -> list[Image]:
        seen.append(len(jpegs))
        raise EnrolError("bad_image", "image 1: no good")

    store = open_store(tmp_path)
    site = Site(store, crops=crops, pictures_aside=Held)
    site.asks(enroll("E1", ALICE))
    site.turn()
    assert seen == []
    assert results(looked_at(site)) == [("refused", "bad_image")] and seen == [1]
    store.close()
    assert painted_crops([painted(ALICE)])[0].shape == (112, 112, 3)
