"""Stories about a change of model: the old one serves until all at once the other one does, and their vectors never meet.

The two models see the same faces and turn them opposite ways: to the other model's vectors, a face of 100 is one of 155.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.commands import reembedding
from daemon.config import DecisionConfig, GateConfig
from daemon.core.values import Delivery
from daemon.edges.store import Store, StoreError, open_store
from tests.fixtures.changes import GRANTS, Box, need_one_model
from tests.fixtures.desk import DIMENSION, MODELS, NoThreshold, PaintedEmbedder, command, model
from tests.fixtures.engine_site import CONFIG

ALICE, MIRRORED, BOB = 100, 155, 240


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def box(store: Store) -> Box:
    made = Box(store)
    assert made.enrol("E1", ALICE)["status"] == "done"
    return made


def test_the_old_model_serves_until_all_at_once_the_other_one_does(box: Box) -> None:
    assert box.ask("reembed") == [] and box.wire.acknowledged == [(1, 1, 1)], "it is answered, and acknowledged, when it is done"
    status = box.status()
    assert status["model"] == "painted-1" and status["reembedding"] == {"model": "painted-2", "done": 0, "of": 1}
    assert (box.knows(ALICE), box.knows(MIRRORED)) == ("E1", None)
    (answer,) = box.goes_on()
    assert (answer["status"], answer["gallery_revision"]) == ("done", 2) and "painted-2 serves: 1 template embedded" in answer["detail"]
    assert box.wire.acknowledged == [(1, 1, 1), (1, 2, 1)] and box.store.serving() == "painted-2"
    assert (box.status()["model"], box.status()["reembedding"], box.status()["state"]) == ("painted-2", None, "serving")
    assert (box.knows(ALICE), box.knows(MIRRORED)) == ("E1", None)


def test_and_back_again_without_embedding_anything(box: Box) -> None:
    box.changes()
    box.ask("reembed")
    assert not box.waits
    answer = box.to_the_end()
    assert answer["status"] == "done" and "painted-1 serves: 0 templates embedded, 1 already" in answer["detail"]
    assert box.current.serving.model.id == "painted-1" and (box.knows(ALICE), box.knows(MIRRORED)) == ("E1", None)


def test_who_is_enrolled_meanwhile_or_since_comes_along(box: Box) -> None:
    box.ask("reembed")
    assert box.enrol("E2", BOB)["status"] == "done"
    assert box.knows(BOB) == "E2"
    assert box.goes_on() == [] and box.waits, "the newcomer's template is still to be done"
    assert "2 templates embedded" in box.to_the_end()["detail"]
    assert (box.knows(ALICE), box.knows(BOB)) == ("E1", "E2")
    box.enrol("E3", 180)
    assert "painted-1 serves: 1 template embedded, 2 already" in box.changes()["detail"]
    assert [box.knows(face) for face in (ALICE, BOB, 180)] == ["E1", "E2", "E3"]


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_who_is_revoked_meanwhile_is_absent_after_it(box: Box, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoked before their template is embedded, while it is, and when it is in the new gallery already."""
    monkeypatch.setattr(reembedding, "BATCH", 1)
    box.enrol("E2", BOB), box.enrol("E3", 180)
    box.ask("reembed")
    for _ in range(batches):
        box.goes_on()
    box.ask("revoke", "E2")
    assert box.to_the_end()["status"] == "done"
    assert [box.knows(face) for face in (ALICE, BOB, 180)] == ["E1", None, "E3"]
    assert box.current.serving.gallery.templates == 2 and sorted(t.person for t in box.store.vectors("painted-2")) == ["E1", "E3"]


def test_who_is_replaced_or_loses_a_template_meanwhile_has_only_what_is_left(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "BATCH", 2)
    box.enrol("E2", 180, 182, 184, 186), box.enrol("E3", 30 + 40)
    box.ask("reembed")
    box.goes_on(), box.goes_on()
    assert box.enrol("E1", BOB, replace=True)["status"] == "done"
    assert "removed" in box.enrol("E2", 188)["detail"]
    assert box.to_the_end()["status"] == "done"
    assert [box.knows(face) for face in (ALICE, BOB, 180, 70)] == [None, "E1", "E2", "E3"]
    need_one_model(box)


def test_what_is_embedded_of_a_template_that_goes_meanwhile_is_dropped(box: Box) -> None:
    box.ask("reembed")
    assert box.enrol("E1", BOB, replace=True)["status"] == "done"
    assert "1 template embedded" in box.to_the_end()["detail"]
    assert [box.knows(face) for face in (ALICE, BOB)] == [None, "E1"] and len(box.store.vectors("painted-2")) == 1


def test_the_status_tells_how_far_it_has_come_but_not_with_every_batch(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "BATCH", 1)
    box.enrol("E2", BOB), box.enrol("E3", 180)
    box.ask("reembed")
    assert box.status()["reembedding"]["done"] == 0
    box.goes_on()
    assert box.status()["reembedding"]["done"] == 0
    box.now_s += 2
    box.goes_on()
    assert box.status()["reembedding"] == {"model": "painted-2", "done": 2, "of": 3}
    box.goes_on()
    assert box.status()["reembedding"] is None and box.status()["model"] == "painted-2", "that is told at once"


def test_nobody_waits_between_pages_that_need_no_embedding(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "PAGE", 1)
    box.enrol("E2", BOB), box.enrol("E3", 180)
    box.changes()
    box.ask("reembed")
    turns = 0
    while box.mailbox.wake.is_set():
        assert box.current.serving.model.id == "painted-2"
        box.turn()
        turns += 1
    assert box.current.serving.model.id == "painted-1" and turns == 3


# ---- what is under way when the model changes


def test_a_change_at_whose_end_the_gate_fails_is_answered_once_and_the_old_model_goes_on(
    box: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    box.ask("reembed")
    with monkeypatch.context() as fault:
        fault.setattr("daemon.commands.reembedding.Reembedder._catch_up", broken)
        answer = box.to_the_end()
    assert (answer["status"], answer["reason"]) == ("failed", "internal") and "its log says more" in answer["detail"]
    assert "its payload has the SHA-256" in caplog.text and "a fault of ours" in caplog.text
    assert box.current.serving.model.id == "painted-1" and box.knows(ALICE) == "E1"
    assert box.changes()["status"] == "done"


def test_what_the_old_model_saw_of_a_face_counts_no_more(box: Box) -> None:
    box.ask("reembed")
    assert box.sees(ALICE, times=4) == []
    box.asides[-1].run()
    assert [t.get("decision") for t in box.turn()] == [None]
    assert box.sees(ALICE, times=4) == [], "four frames of one model and four of the other are no five of either"
    (accept,) = box.sees(ALICE)
    assert (accept["decision"], accept["model"], accept["supersedes"]) == ("accept", "painted-2", None)


def test_a_passage_that_was_answered_is_not_answered_twice_and_another_face_is_another_passage(box: Box) -> None:
    box.enrol("E2", BOB)
    box.ask("reembed")
    (accept,) = box.sees(ALICE, times=5)
    box.goes_on()
    assert box.sees(ALICE, times=6) == [], "the same answer"
    told = box.sees(BOB, times=12)
    assert [(t["decision"], t["person"], t["supersedes"]) for t in told] == [("accept", "E2", None)]
    assert told[0]["passage"] != accept["passage"]


class Says(NoThreshold):
    def __init__(self, threshold: float) -> None:
        self.says = threshold

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        return self.says


def test_threshold_standards_and_judgement_are_the_new_models_from_then_on(store: Store) -> None:
    strict = replace(MODELS["painted-2"].standards, known=0.9999)
    other = replace(model("painted-2", mirrored=True, calibration=Says(0.999)), standards=strict)
    models = {"painted-1": model("painted-1", calibration=Says(0.9)), "painted-2": other}
    box = Box(store, config=replace(CONFIG, decision=DecisionConfig(patience=5, lost_s=0.5)), models=models)
    box.enrol("E1", ALICE)
    assert box.knows(118) == "E1" and box.status()["threshold"] == 0.9
    old = box.current.serving.gallery
    box.changes()
    assert box.status()["threshold"] == 0.999 and box.current.serving.rules().threshold == 0.999
    assert old._closed and not box.current.serving.gallery._closed
    assert (box.knows(118), box.knows(ALICE)) == (None, "E1")
    assert box.enrol("E1", 118)["reason"] == "inconsistent"


def test_a_model_whose_card_has_no_threshold_does_not_close_the_gate_unasked(store: Store) -> None:
    models = {"painted-1": model("painted-1", calibration=Says(0.9)), "painted-2": MODELS["painted-2"]}
    box = Box(store, config=replace(CONFIG, decision=DecisionConfig(patience=5, lost_s=0.5)), models=models)
    box.enrol("E1", ALICE)
    assert box.changes()["reason"] == "threshold_unresolved" and box.knows(ALICE) == "E1"
    assert box.changes(force=True)["status"] == "done"
    assert box.status()["state"] == "closed" and box.sees(ALICE, times=10) == []
    assert box.changes()["status"] == "done" and box.status()["state"] == "serving", "out of a closed gate there is always a way"


# ---- a crash


def start(folder: Path) -> Box:
    """As the daemon starts: with the model that the store notes."""
    return Box(open_store(folder))


def test_a_crash_at_any_instant_leaves_one_model_with_everybody_and_the_change_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "BATCH", 1)
    box = start(tmp_path / "state")
    for person, face in (("E1", ALICE), ("E2", BOB), ("E3", 180)):
        box.enrol(person, face)
    taken: list[Path] = []

    def take(_: str) -> None:
        taken.append(tmp_path / f"cut-{len(taken)}")
        taken[-1].mkdir(0o700)
        for path in (tmp_path / "state").iterdir():
            with path.open("rb") as source, (taken[-1] / path.name).open("wb") as sink:
                shutil.copyfileobj(source, sink)
            (taken[-1] / path.name).chmod(0o600)

    box.store.database.connection.set_trace_callback(take)
    payload = command("reembed", issued=150)
    box.asks(payload)
    while box.waits:
        box.goes_on()
    box.store.database.connection.set_trace_callback(None)
    take("")
    assert box.store.serving() == "painted-2"
    box.store.close()
    served = []
    for folder in taken:
        again = start(folder)
        served.append(again.current.serving.model.id)
        need_one_model(again)
        assert sorted(again.current.people) == ["E1", "E2", "E3"]
        (answer,) = again.asks(payload) or [again.to_the_end()]
        assert answer["status"] == "done" and again.current.serving.model.id == "painted-2"
        need_one_model(again)
        again.store.close()
    assert served == sorted(served) and set(served) == {"painted-1", "painted-2"}, "it changes once"


def test_what_was_embedded_before_the_crash_is_not_embedded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "BATCH", 1)
    box = start(tmp_path)
    box.enrol("E1", ALICE), box.enrol("E2", BOB)
    box.ask("reembed")
    box.goes_on()
    box.engine.close()
    box.store.close()
    again = start(tmp_path)
    assert again.current.serving.model.id == "painted-1"
    assert "1 template embedded, 1 already" in again.changes()["detail"]
    again.store.close()


# ---- what it is refused for


def damage(box: Box, *numbers: int) -> None:
    """The crops of these templates do not open any more."""
    with box.store.transaction():
        box.store.database.execute_each("UPDATE crops SET sealed = zeroblob(60) WHERE number = ?", [(number,) for number in numbers])


def test_somebody_who_would_be_left_without_a_template_is_named_and_the_old_model_goes_on(box: Box) -> None:
    box.enrol("E2", BOB), box.enrol("E3", 180, 184)
    damage(box, 2, 3)
    answer = box.changes()
    assert (answer["status"], answer["reason"]) == ("refused", "incomplete") and "E2" in answer["detail"] and "E3" not in answer["detail"]
    assert box.current.serving.model.id == "painted-1" and box.store.serving() is None and box.knows(BOB) == "E2"
    forced = box.changes(force=True)
    assert forced["status"] == "done" and "2 could not be embedded; without a template now: E2" in forced["detail"]
    assert [box.knows(face) for face in (ALICE, BOB, 180)] == ["E1", None, "E3"]
    assert box.status()["state"] == "degraded" and "other_model: 2 templates" in box.status()["reasons"][0]
    assert box.changes()["status"] == "done"
    assert box.knows(BOB) == "E2" and box.status()["state"] == "serving", "their vector of the other model is still there"
    box.changes(force=True)
    box.ask("revoke", "E2")
    assert "other_model: 1 template" in box.status()["reasons"][0]
    box.ask("revoke", "E3")
    assert box.status()["state"] == "serving"


def test_somebody_whom_nobody_knew_before_either_holds_up_nothing(box: Box) -> None:
    box.enrol("E2", BOB)
    damage(box, 2)
    with box.store.transaction():
        box.store.database.connection.execute("DELETE FROM vectors WHERE number = 2")
    box.current.serving.gallery.remove("E2")
    assert box.changes()["status"] == "done"


def test_a_vector_that_does_not_open_is_made_anew(box: Box) -> None:
    box.changes(), box.changes()
    with box.store.transaction():
        box.store.database.connection.execute("UPDATE vectors SET sealed = zeroblob(60) WHERE model = 'painted-2'")
    assert box.store.vectors("painted-2") == [] and box.store.damage().templates == (1,)
    assert "1 template embedded, 0 already" in box.changes()["detail"]
    assert len(box.store.vectors("painted-2")) == 1 and not box.store.damage() and box.knows(ALICE) == "E1"


def test_another_id_another_change_and_no_grant(box: Box) -> None:
    refused = box.ask("reembed", model="faces-0123456789ab")[0]
    assert refused["reason"] == "unknown_model" and "painted-1 and painted-2" in refused["detail"]
    for grants in (GRANTS - {"reembed"}, GRANTS - {"force"}):
        box.desk.grants = grants
        assert box.ask("reembed", force=True)[0]["reason"] == "not_granted"
    box.desk.grants = GRANTS
    box.ask("reembed")
    assert box.ask("reembed", model="painted-2")[0]["reason"] == "busy"
    assert box.to_the_end()["status"] == "done" and box.current.serving.model.id == "painted-2"


def test_an_id_that_another_command_has_used_meanwhile_changes_nothing(box: Box) -> None:
    change = json.loads(command("reembed", issued=150))
    box.asks(json.dumps(change).encode())
    ping = json.loads(command("ping", issued=150)) | {"command_id": change["command_id"]}
    (answered,) = box.asks(json.dumps(ping).encode())
    assert box.goes_on() == [answered], "the stored answer of this id"
    assert box.current.serving.model.id == "painted-1" and box.store.serving() is None and box.knows(ALICE) == "E1"


@pytest.mark.parametrize("what", ["raises", "nan", "short", "long"])
def test_a_model_that_cannot_embed_never_serves(store: Store, what: str) -> None:
    class Broken(PaintedEmbedder):
        def embed(self, crops: np.ndarray) -> np.ndarray:
            match what:
                case "nan":
                    return np.full((len(crops), DIMENSION), np.nan, np.float32)
                case "short":
                    return super().embed(crops)[:, 1:]
                case _:
                    return super().embed(crops) * 2

    box = Box(store, models={**MODELS, "painted-2": replace(MODELS["painted-2"], embedder=Broken())})
    box.enrol("E1", ALICE)
    box.ask("reembed")
    if what == "raises":
        box.asides[-1].fail(ValueError("boom\nand more"))  # what a thread aside makes of it
        (answer,) = box.turn()
    else:
        answer = box.to_the_end()
    assert answer["status"] == "refused" and answer["reason"] == ("model_failed" if what == "raises" else "incomplete")
    assert "\n" not in answer["detail"] and box.current.serving.model.id == "painted-1" and store.vectors("painted-2") == []
    assert box.knows(ALICE) == "E1" and box.status()["reembedding"] is None


# ---- the broker and the disk


def test_a_command_that_is_delivered_again_or_to_every_gate_is_done_once_and_answered_at_each(store: Store) -> None:
    config = replace(CONFIG, gates={name: GateConfig(source="x") for name in ("north", "south")})
    box = Box(store, config=config, gates=("north", "south"))
    box.enrol("E1", ALICE)
    payload = command("reembed", issued=150)
    for gate, receipt in (("north", 7), ("south", 8), ("north", 9)):
        box.mailbox.deliver(Delivery(gate, "ostiary/v1/hq/all/command", payload, False, (1, receipt, 1)))
        assert box.turn() == []
    box.goes_on()
    box.turn()
    assert box.wires["north"].acknowledged[1:] == [(1, 7, 1), (1, 9, 1)] and box.wires["south"].acknowledged == [(1, 8, 1)]
    told = [json.loads(m.payload) for wire in box.wires.values() for m in wire.sent if m.topic.endswith("result")][1:]
    assert [t["status"] for t in told] == ["done", "done"] and len({t["detail"] for t in told}) == 1
    assert box.current.serving.model.id == "painted-2" and len(box.asides) == 1
    box.asks(payload)
    assert box.current.serving.model.id == "painted-2", "afterwards it gets its stored answer"


@pytest.mark.parametrize("at", ["embedding", "end"])
def test_on_a_full_disk_nothing_changes_and_it_is_done_when_the_disk_works(box: Box, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    if at == "end":
        box.changes(), box.changes()
        assert box.current.serving.model.id == "painted-1"
    acknowledged = len(box.wire.acknowledged)
    box.ask("reembed")
    assert box.waits == (at == "embedding")
    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        (answer,) = box.goes_on() if box.waits else box.turn()
        assert (answer["status"], answer["reason"]) == ("failed", "not_durable")
        assert box.current.serving.model.id == "painted-1"
        assert len(box.wire.acknowledged) == acknowledged and box.status()["state"] == "closed"
    box.now_s += 3
    assert box.to_the_end()["status"] == "done"
    assert len(box.wire.acknowledged) == acknowledged + 1 and box.current.serving.model.id == "painted-2" and box.knows(ALICE) == "E1"


def test_a_revocation_that_the_disk_has_not_taken_holds_in_the_new_gallery_too(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store, person: str) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    box.enrol("E2", BOB)
    box.ask("reembed")
    with monkeypatch.context() as disk:
        disk.setattr(Store, "remove_person", full)
        assert box.ask("revoke", "E2")[0]["reason"] == "not_durable"
        box.asides[-1].run()
        assert box.turn() == [], "it rests while the disk does"
        box.engine.disk.trouble = None  # and even if it did not
        assert box.to_the_end()["status"] == "done"
        assert "E2" in dict.fromkeys(t.person for t in box.store.vectors("painted-2"))
        assert box.current.serving.gallery.people == 1 and box.knows(BOB) is None


# ---- models of before


def test_a_bundle_that_took_the_old_ones_place_is_given_everybody_by_one_command(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    box = Box(store)
    box.enrol("E1", ALICE), box.enrol("E2", BOB)
    with store.transaction():
        store.database.connection.execute("DELETE FROM vectors WHERE number = 1")
        store.put_vector(1, "E1", "older", np.ones(5, np.float32))
        store.put_vector(2, "E2", "older", np.ones(5, np.float32))
    store.close()
    store = open_store(tmp_path)
    box = Box(store, models={"painted-1": MODELS["painted-1"]})
    assert (box.knows(ALICE), box.knows(BOB)) == (None, "E2")
    assert "1 template embedded, 1 already" in box.changes()["detail"]
    assert (box.knows(ALICE), box.knows(BOB)) == ("E1", "E2") and store.serving() == "painted-1"
    assert store.vectors("older") == [], "of a bundle that is not configured any more nothing is kept"
    store.close()


def test_an_enrolment_judges_by_the_serving_model_alone(box: Box) -> None:
    box.changes()
    assert box.enrol("E9", MIRRORED)["status"] == "done", "to the other model's vectors that is E1"
    assert box.enrol("E8", ALICE)["reason"] == "duplicate_of"
    assert box.enrol("E1", MIRRORED)["reason"] == "inconsistent"
    assert box.enrol("E1", ALICE + 1)["status"] == "done"
    assert [sorted(t.vectors) for t in box.store.templates_of("E1")] == [["painted-1", "painted-2"], ["painted-2"]]
    box.changes()
    need_one_model(box)


def test_nothing_of_somebody_revoked_is_left_whatever_models_saw_them(box: Box, tmp_path: Path) -> None:
    box.changes()
    box.ask("revoke", "E1")
    with sqlite3.connect(tmp_path / "state" / "gallery.sqlite") as db:
        assert [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("templates", "crops", "vectors")] == [0, 0, 0]
    db.close()
