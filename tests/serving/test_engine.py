"""Stories about the engine: what is published when, and what happens when the broker or the disk fails. Clocks stand still here."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from daemon.config import parse
from daemon.core.boxes import Box
from daemon.core.values import Delivery, Face, Link, Outgoing, Person, Probe, Published, Quality, View
from daemon.edges.gallery import Gallery
from daemon.edges.gallery.gallery import Built
from daemon.edges.store import Store, StoreError, open_store
from daemon.edges.walks import read_walks, write_walks
from daemon.serving.engine import EngineFailed
from daemon.serving.mailbox import CameraState, Mailbox, WorkerFailed
from daemon.serving.rules_in_force import difference
from tests.edges.held import Held
from tests.fixtures.desk import DIMENSION, NOW, command, painted
from tests.fixtures.engine_site import ALICE, CONFIG, STRANGER, Site, Wire
from tests.fixtures.stored import outbox
from tests.fixtures.walks import walks


@dataclass
class Model80:
    """A liveness model that says the same of every face."""

    says: float
    fault: str | None = None

    def lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return np.full(len(faces), self.says)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(tmp_path)
    yield Site(store)
    store.close()


def test_enrolled_from_one_photo_and_accepted_on_the_next_frames(site: Site) -> None:
    (stranger,) = site.sees(ALICE, times=10)
    assert (stranger["decision"], stranger["reason"], stranger["person"]) == ("unknown", "no_match", None)
    (result,) = site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert result["status"] == "done"
    (accept,) = site.sees(ALICE, times=3)
    assert (accept["decision"], accept["person"], accept["live"], accept["supersedes"]) == ("accept", "E1", True, stranger["event_id"])
    assert (accept["sequence"], accept["previous"], accept["gallery_revision"]) == (2, 1, 1)
    assert "name" not in accept


def test_from_the_next_frame_after_a_revocation_nothing_accepts(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(ALICE, times=2)
    site.asks(command("revoke", "E1", issued=101))
    assert [d["decision"] for d in site.sees(ALICE, times=20)] == ["unknown"]


def test_a_revocation_and_a_view_that_wait_together_are_taken_in_that_order(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(ALICE, times=2)
    where = "ostiary/v1/hq/north/command/revoke"
    site.mailbox.deliver(Delivery("north", where, command("revoke", "E1", issued=101), False, (1, 9, 1)))
    assert [d.get("decision") for d in site.sees(ALICE)] == [None]  # the result; the third frame accepts nobody


def test_a_schedule_ends_while_somebody_stands_there(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], schedule="office", issued=100))
    assert [d["reason"] for d in site.sees(ALICE, times=5)] == ["matched"]
    site.now_s = 599.0  # NOW is a Friday, eight o'clock
    assert [d["reason"] for d in site.sees(ALICE, times=5)] == ["matched"]
    (reject,) = site.sees(ALICE, times=20)
    assert (reject["decision"], reject["reason"], reject["person"]) == ("reject", "not_permitted_now", "E1") and reject["supersedes"]


def test_rules_of_time_need_a_clock_in_step(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], schedule="office", issued=100))
    site.asks(command("enroll", "E2", [painted(STRANGER)], issued=100))
    site.in_step = False
    assert [(d["decision"], d["reason"]) for d in site.sees(ALICE, times=5)] == [("reject", "clock_untrusted")]
    site.sees(None, times=8)
    assert [d["reason"] for d in site.sees(STRANGER, times=5)] == ["matched"], "who has no rule of time needs no clock"
    assert any(reason.startswith("clock_untrusted: ") and "1 person" in reason for reason in site.status()["reasons"])


def test_a_suspended_person_is_rejected_by_name(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert [d["decision"] for d in site.sees(ALICE, times=5)] == ["accept"]
    site.asks(command("suspend", "E1", issued=101))
    (reject,) = site.sees(ALICE, times=5)
    assert (reject["decision"], reject["reason"], reject["person"]) == ("reject", "suspended", "E1") and reject["supersedes"]


def test_a_command_is_acknowledged_after_its_result_is_stored(site: Site) -> None:
    site.asks(command("ping", issued=100))
    assert site.wire.acknowledged == [(1, 1, 1)]


def test_decisions_wait_for_the_broker_and_come_in_order_marked_as_late(site: Site) -> None:
    site.wire.connected = False
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(ALICE, times=5), site.sees(None, times=20), site.sees(STRANGER, times=10)
    assert site.wire.sent == []
    site.now_s += 60
    site.wire.connected = True
    site.mailbox.deliver(Link("north", True, ""))
    result, accept, unknown = site.turn()
    assert result["status"] == "done"
    assert (accept["decision"], accept["live"], unknown["decision"], unknown["live"]) == ("accept", False, "unknown", False)
    assert accept["sequence"] < unknown["sequence"] and accept["captured_at"] < accept["valid_until"]
    assert all(m.expiry_s is None for m in site.wire.sent if m.row)


def test_only_an_accept_expires_at_the_broker(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(ALICE, times=5), site.sees(None, times=20), site.sees(STRANGER, times=10)
    assert [m.expiry_s for m in site.wire.sent if m.topic.endswith("decision")] == [3, None]


def test_what_the_broker_did_not_answer_for_is_sent_again_and_what_it_took_is_not(site: Site) -> None:
    site.sees(STRANGER, times=10)
    site.asks(command("ping", issued=100))
    decision, result = [m for m in site.wire.sent if m.row]
    site.broker_took(decision.row)
    assert site.store.depth() == 1
    site.mailbox.deliver(Link("north", False, "gone"))
    site.mailbox.deliver(Link("north", True, ""))
    (again,) = site.turn()
    assert again["command_id"] == json.loads(result.payload)["command_id"]
    site.broker_took(result.row)
    assert site.store.depth() == 0 and site.engine.delivered()


def test_a_refused_publish_stays_in_the_outbox_and_shows_in_the_status(site: Site) -> None:
    site.sees(STRANGER, times=10)
    (row,) = [m.row for m in site.wire.sent if m.row]
    site.mailbox.deliver(Published("north", row, "Not authorized"))
    site.turn()
    assert site.store.depth() == 1 and site.status()["state"] == "degraded" and "publish_refused" in site.status()["reasons"][0]


def test_a_stale_frame_decides_nothing(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert site.sees(ALICE, times=10, age_s=2.1) == []
    assert site.sees(ALICE, times=10, age_s=-0.5) == [], "nor does one from the future"


def test_status_is_retained_and_told_on_change_and_every_half_minute(site: Site) -> None:
    site.turn()
    assert site.wire.sent[-1].retain and site.status()["state"] == "serving"
    count = len(site.wire.sent)
    site.turn()
    assert len(site.wire.sent) == count
    site.now_s += 30
    site.turn()
    assert len(site.wire.sent) == count + 1
    site.mailbox.tell(CameraState("north", "down", "no route", True))
    site.turn()
    assert site.status()["state"] == "degraded" and site.status()["camera"] == "down" and "no route" in site.status()["reasons"][0]


def test_a_camera_that_goes_away_ends_its_passages(site: Site) -> None:
    site.sees(STRANGER, times=5)
    site.mailbox.tell(CameraState("north", "down", "no route", True))
    assert [d["decision"] for d in site.turn()] == ["unknown"]


def test_a_gate_without_a_threshold_is_closed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    site = Site(store, parse({"site": "hq", "gates": {"north": {"source": "x"}}}))
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert site.sees(ALICE, times=30) == []
    assert site.status()["state"] == "closed" and "threshold_unresolved" in site.status()["reasons"][0]
    store.close()


@pytest.mark.parametrize(
    ("says", "decision", "reason", "liveness"),
    [
        (1.0, "accept", "matched", "live"),
        (0.0, "reject", "spoof_suspected", "spoof"),
        (float("nan"), "accept", "matched", "not_evaluated"),
        (None, "accept", "matched", "not_evaluated"),
    ],
)
def test_a_decision_says_what_the_liveness_model_said(
    tmp_path: Path, says: float | None, decision: str, reason: str, liveness: str
) -> None:
    store = open_store(tmp_path)
    site = Site(store, liveness=Model80(says) if says is not None else None)
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    (told,) = site.sees(ALICE, times=20)
    assert (told["decision"], told["reason"], told["person"], told["liveness"]) == (decision, reason, "E1", liveness)
    store.close()


def test_a_liveness_model_that_fails_shows_in_the_status_until_it_works_again(tmp_path: Path) -> None:
    store, model = open_store(tmp_path), Model80(float("nan"), "out of memory")
    site = Site(store, liveness=model)
    site.turn()
    assert site.status()["state"] == "degraded" and "liveness_failed: out of memory" in str(site.status()["reasons"])
    model.fault = None
    site.turn()
    assert "liveness" not in str(site.status()["reasons"])
    store.close()


def test_a_full_disk_closes_the_gate_and_it_opens_again_by_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.asks(command("enroll", "E2", [painted(STRANGER)], issued=100))

    def full(self: Store) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        assert site.sees(ALICE, times=10) == []
        assert site.status()["state"] == "closed" and "disk" in site.status()["reasons"][0]
        assert site.gate.keeper.rules.closed  # nothing is looked at, so nothing can be accepted
        (result,) = site.asks(command("revoke", "E1", issued=101))
        assert (result["status"], result["reason"]) == ("failed", "not_durable")
        assert (1, 3, 1) not in site.wire.acknowledged
    site.now_s += 3
    (result,) = site.turn()
    assert result["status"] == "done" and site.wire.acknowledged[-1] == (1, 3, 1)
    assert [p.person for p in site.store.people()] == ["E2"]
    assert [d["decision"] for d in site.sees(ALICE, times=10)] == ["unknown"]
    assert site.status()["state"] == "serving"


def test_a_flood_on_the_urgent_lane_leaves_room_for_the_other_commands(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = "ostiary/v1/hq/north/command/revoke"
    take = site.mailbox.commands.take

    def endless(closed: frozenset[str] = frozenset()) -> Delivery | None:
        site.mailbox.deliver(Delivery("north", lane, b"{" * 100_000, False, (1, 1, 1)))
        return take(closed)

    monkeypatch.setattr(type(site.mailbox.commands), "take", lambda self, closed=(): endless(closed))
    answers = [result for result in site.asks(command("ping", issued=100)) if result["reason"] != "malformed"]
    assert [result["status"] for result in answers] == ["done"]


def test_an_outbox_that_cannot_be_read_closes_the_gate_and_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    ping = command("ping", issued=100)

    def unreadable(self: Store, gate: str) -> list[int]:
        raise StoreError("the gallery cannot be read: disk I/O error", "look at the disk")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "waiting", unreadable)
        site.mailbox.deliver(Link("north", False, "gone"))
        site.mailbox.deliver(Link("north", True, "back"))
        assert site.asks(ping) == []
        assert site.status()["state"] == "closed" and "disk I/O error" in site.status()["reasons"][0]
    site.now_s += 3
    told = [*site.turn(), *site.turn()]
    assert "done" in [result.get("status") for result in told]
    assert site.status()["state"] == "serving"


def test_while_the_disk_fails_only_what_is_still_to_be_done_waits_for_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is not acknowledged takes one of the few places that a broker has for the messages on their way."""
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    ping = command("ping", issued=100)
    site.asks(ping)
    acknowledged = len(site.wire.acknowledged)

    def full(self: Store) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        (malformed,) = site.asks(b"{")
        assert malformed["reason"] == "malformed"
        assert "database or disk is full" in str(site.status()["reasons"]), "not what a stranger wrote"
        (repeated,) = site.asks(ping)
        assert repeated["status"] == "done", "its answer is kept and still holds"
        assert len(site.wire.acknowledged) == acknowledged + 2 and site.engine.disk.owes == 0
        site.asks(command("revoke", "E1", issued=101))
        assert len(site.wire.acknowledged) == acknowledged + 2 and site.engine.disk.owes == 1


def test_a_revocation_takes_the_answer_back_with_the_next_good_frame(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    (accept,) = site.sees(ALICE, times=10)
    site.asks(command("revoke", "E1", issued=101))
    (taken_back,) = site.sees(ALICE)
    assert (taken_back["decision"], taken_back["reason"], taken_back["supersedes"]) == ("unknown", "no_match", accept["event_id"])


def test_what_was_published_is_superseded_also_when_the_disk_failed_between(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    (accept,) = site.sees(ALICE, times=10)
    assert (accept["decision"], accept["supersedes"]) == ("accept", None)
    site.asks(command("suspend", "E1", issued=101))

    def full(self: Store) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        for _ in range(30):  # somebody stands there all the time
            assert site.sees(ALICE) == []
        assert site.status()["state"] == "closed"
    told = site.sees(ALICE, times=40)
    assert [(d["decision"], d["reason"], d["supersedes"]) for d in told] == [("reject", "suspended", accept["event_id"])]
    assert told[0]["passage"] == accept["passage"]


def test_the_daemon_does_not_go_on_without_its_threads(site: Site) -> None:
    site.mailbox.tell(WorkerFailed("north", RuntimeError("boom")))
    with pytest.raises(EngineFailed, match="boom"):
        site.turn()
    site.wire.alive = False
    with pytest.raises(EngineFailed, match="MQTT"):
        site.turn()


def test_a_full_mailbox_refuses_and_loses_nothing_it_took() -> None:
    mailbox = Mailbox(1)
    taken = 0
    while mailbox.deliver(Link("north", True, "")):
        taken += 1
    assert taken == len(mailbox.events()) > 100


def test_a_search_graph_that_fails_degrades_the_gate_with_its_reason_and_the_search_goes_on(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    aside = Held[Built]()
    gallery = Gallery(DIMENSION, exact_below=0, aside=aside)
    site.current.serve(replace(site.current.serving, gallery=gallery))
    gallery.add(1, "E1", site.current.serving.model.embedder.embed(np.full((1, 112, 112, 3), ALICE, np.uint8))[0])
    site.turn()
    assert aside.busy and site.status()["state"] == "serving"  # building is no fault
    aside.fail(MemoryError("no room"))
    site.turn()
    assert site.status()["state"] == "degraded"
    assert "exact_search: the graph could not be built: no room" in str(site.status()["reasons"])
    assert site.engine.metrics._gauges["ostiary_graph_state"].labels("failed")._value.get() == 1.0
    assert [d["decision"] for d in site.sees(ALICE, times=6)] == ["accept"]
    site.now_s += 700
    site.turn()
    aside.run()
    site.turn()
    assert site.status()["state"] == "serving" and site.status()["reasons"] == []
    assert site.engine.metrics._gauges["ostiary_graph_state"].labels("serving")._value.get() == 1.0
    assert site.engine.metrics._gauges["ostiary_graph_recall"]._value.get() == 1.0


def test_a_command_that_raises_is_answered_once_and_the_gate_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    poison = command("update", "E1", name="x", issued=101)
    with monkeypatch.context() as fault:
        fault.setattr("daemon.commands.handlers.records.updated", broken)
        for _ in range(2):
            (result,) = site.asks(poison)
            assert (result["status"], result["reason"], result["command_id"]) == ("failed", "internal", json.loads(poison)["command_id"])
            assert site.wire.acknowledged[-1] == (1, site.receipts, 1)
    (again,) = site.asks(poison)
    assert again["status"] == "failed", "the answer is kept: it is not tried again"
    assert caplog.text.count("its payload has the SHA-256") == 1
    assert site.asks(command("update", "E1", name="y", issued=102))[0]["status"] == "done"
    assert [d["decision"] for d in site.sees(ALICE, times=6)] == ["accept"]
    assert site.status()["state"] == "serving"


def test_a_fault_between_store_and_memory_closes_the_gate(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))

    def broken(*_: object) -> None:
        raise RuntimeError("half done")

    monkeypatch.setattr("daemon.pipeline.serving.Current.remove", broken)
    (result,) = site.asks(command("revoke", "E1", issued=101))
    assert result["status"] == "done", "and there is no second answer: the store has forgotten E1"
    assert site.sees(ALICE, times=10) == [], "memory has not, so nobody is accepted"
    assert site.status()["state"] == "closed"
    assert site.status()["reasons"][0].startswith("unsound: 1 record of people in memory")


def test_a_stray_template_is_noticed(site: Site) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert difference(site.current, site.store) is None
    site.current.serving.gallery.add(99, "E1", site.current.serving.model.embedder.embed(np.full((1, 112, 112, 3), 70, np.uint8))[0])
    assert difference(site.current, site.store) == "1 template in memory not as in the store"


def test_a_flood_of_malformed_messages_is_acknowledged_and_hardly_answered(site: Site) -> None:
    answers = [answer for _ in range(300) for answer in site.asks(b"{")]
    assert 10 <= len(answers) <= 30
    assert len(site.wire.acknowledged) == 300
    assert site.engine.metrics._counters["ostiary_commands_unanswered_total"].labels("north")._value.get() == 300 - len(answers)


def test_what_changes_nobody_costs_nothing_that_grows_with_the_people(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Person] = []

    def look(person: Person) -> bool:
        looks.append(person)
        return False

    monkeypatch.setattr("daemon.serving.rules_in_force.timed", look)
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert len(looks) == 1
    site.asks(b"{")
    site.asks(command("ping", issued=101))
    site.asks(command("get", "E1", issued=101))
    assert len(looks) == 1
    site.asks(command("update", "E1", name="x", issued=102))
    assert len(looks) == 2


def test_a_turn_takes_a_few_commands_and_then_the_frames(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.serving.answering.TURN_S", 0.0)
    for number in range(20):
        site.mailbox.deliver(Delivery("north", "ostiary/v1/hq/north/command", command("ping", issued=100), False, (1, number, 1)))
    site.engine.turn(0)
    assert len(site.wire.acknowledged) == 1
    while site.mailbox.commands.waiting():
        assert site.mailbox.wake.is_set(), "the next turn follows at once"
        site.engine.turn(0)
    assert len(site.wire.acknowledged) == 20


def test_after_a_step_of_the_clock_no_accept_is_live_until_it_is_back(site: Site) -> None:
    ahead_s = 0.0
    site.engine._wall = site.engine._deciding._wall = lambda: 1_800_000_000.0 + site.now_s + ahead_s
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    (accept,) = site.sees(ALICE, times=6)
    assert accept["live"] and accept["clock_trusted"]
    site.sees(None, times=8)
    ahead_s = 3600.0
    (accept,) = site.sees(ALICE, times=6)
    assert (accept["decision"], accept["live"], accept["clock_trusted"]) == ("accept", False, False)
    assert any(reason.startswith("clock_stepped") for reason in site.status()["reasons"])
    site.sees(None, times=8)
    ahead_s = 0.0
    (accept,) = site.sees(ALICE, times=6)
    assert accept["live"] and site.status()["state"] == "serving"


def test_what_happened_to_the_session_is_said_for_an_hour(site: Site) -> None:
    site.mailbox.deliver(Link("north", False, "gone", "urgent", "session_taken_over"))
    site.turn()
    reasons = site.status()["reasons"]
    assert any(r.startswith("revocations_down: gone") for r in reasons) and any(r.startswith("session_taken_over: at ") for r in reasons)
    site.mailbox.deliver(Link("north", True, "", "urgent"))
    site.turn()
    assert [r.split(":")[0] for r in site.status()["reasons"]] == ["session_taken_over"]
    site.now_s += 3601
    site.turn()
    assert site.status()["state"] == "serving"


# ---- what a turn costs the disk


def statements(store: Store) -> list[str]:
    """From now on: what SQLite is asked to do."""
    asked: list[str] = []
    store.database.connection.set_trace_callback(asked.append)
    return asked


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Site]:
    store = open_store(tmp_path)
    yield Site(store, gates=("north", "south"))
    store.close()


def at_both(site: Site, times: int = 3) -> None:
    """Somebody stands at both gates; each turn has a view of each."""
    for _ in range(times):
        site.now_s += 0.1
        for gate in ("north", "south"):
            site.mailbox.offer(seen(site, gate), threading.Event())
        site.engine.turn(0)


def seen(site: Site, gate: str) -> View:
    crop = np.full((112, 112, 3), ALICE, np.uint8)
    return View(gate, 0, site.now_s, NOW + site.now_s, (Probe(Face(Box(100, 100, 80, 80), 1.0), crop, Quality.OK),))


def decided(site: Site) -> dict[str, list[str]]:
    return {gate: [m["decision"] for m in decisions_of(wire)] for gate, wire in site.wires.items()}


def decisions_of(wire: Wire) -> list[dict[str, Any]]:
    return [json.loads(m.payload) for m in wire.sent if m.topic.endswith("decision")]


def test_the_decisions_of_a_turn_are_one_transaction(two: Site) -> None:
    at_both(two, 5)
    asked = statements(two.store)
    at_both(two, 1)
    assert decided(two) == {"north": ["unknown"], "south": ["unknown"]}
    assert asked.count("BEGIN IMMEDIATE") == asked.count("COMMIT") == 1
    two.store.audit.verify()


def test_of_the_decisions_of_a_turn_all_are_lost_or_none(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at_both(two, 5)
    count, enqueue = len(outbox(two.store)), Store.enqueue

    def full(self: Store, gate: str, *arguments: Any) -> int:
        if gate == "south":
            raise StoreError("the gallery cannot be written: database or disk is full", "make room")
        return enqueue(self, gate, *arguments)

    monkeypatch.setattr(Store, "enqueue", full)
    at_both(two, 1)
    assert decided(two) == {"north": [], "south": []} and len(outbox(two.store)) == count
    monkeypatch.undo()
    two.now_s += 3
    at_both(two, 8)
    assert decided(two) == {"north": ["unknown"], "south": ["unknown"]}, "each is taken again when the disk works"
    firsts = [message for wire in two.wires.values() for message in decisions_of(wire)]
    assert [(m["sequence"], m["supersedes"]) for m in firsts] == [(1, None), (1, None)]


def test_a_decision_does_not_wait_until_a_revocation_has_left_the_log_and_its_answer_does(
    two: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.asks(command("enroll", "E1", [painted(STRANGER)], issued=100))
    at_both(two, 5)
    said: list[str] = []
    settle = two.store.database.empty_log

    def watched() -> bool:
        said.append("settled")
        return settle()

    monkeypatch.setattr(two.store.database, "empty_log", watched)

    def publish(message: Outgoing) -> bool:
        said.append(message.topic.rsplit("/", 1)[1])
        return True

    for wire in two.wires.values():
        monkeypatch.setattr(wire, "publish", publish)
    two.now_s += 0.1
    revoke = "ostiary/v1/hq/north/command/revoke"
    two.mailbox.deliver(Delivery("north", revoke, command("revoke", "E1", issued=101), False, (1, 99, 1)))
    two.mailbox.offer(seen(two, "south"), threading.Event())
    two.engine.turn(0)
    assert said == ["decision", "settled", "status", "status", "result"]


def test_a_view_that_waits_is_decided_about_before_a_change_of_the_gallery_leaves_the_log(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = site.engine._answering.serve

    def while_somebody_comes() -> None:
        serve()
        site.mailbox.offer(seen(site, "north"), threading.Event())

    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    monkeypatch.setattr(site.engine._answering, "serve", while_somebody_comes)
    assert site.asks(command("suspend", "E1", issued=101)) == [] and site.store.settle_due
    monkeypatch.undo()
    (answer,) = site.turn()
    assert (answer["op"], answer["status"]) == ("suspend", "done") and not site.store.settle_due


def test_a_turn_in_which_nothing_happens_asks_the_store_nothing(two: Site) -> None:
    two.wires["south"].connected = False
    two.turn()
    asked = statements(two.store)
    composed = len(two.wire.sent)
    for _ in range(20):
        two.now_s += 0.1
        for gate in ("north", "south"):
            two.mailbox.offer(View(gate, 0, two.now_s, NOW + two.now_s, ()), threading.Event())
        two.turn()
    assert asked == [] and len(two.wire.sent) == composed


def test_what_is_news_is_said_to_a_gate_that_was_not_connected(two: Site) -> None:
    two.wires["south"].connected = False
    two.turn()
    two.mailbox.tell(CameraState("south", "down", "no signal", True))
    two.turn()
    assert two.wires["south"].sent == []
    two.wires["south"].connected = True
    two.turn()
    two.turn()
    (status,) = [json.loads(m.payload) for m in two.wires["south"].sent if m.topic.endswith("status")]
    assert status["camera"] == "down" and any("no signal" in reason for reason in status["reasons"])


def test_a_revocation_reaches_a_calibration_that_is_not_finished(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, key = tmp_path / "calibration" / "north.walks", store.purpose_key("calibration")
    write_walks(file, key, "faces-1", [replace(walks("A"), person="E1"), replace(walks("B"), person="E2")])
    site = Site(store, replace(CONFIG, state_dir=str(tmp_path)))
    site.asks(command("revoke", "E1", issued=100))
    assert [each.person for each in read_walks(file, key, "faces-1")] == ["E2"]
    file.write_bytes(b"odd")
    site.asks(command("revoke", "E2", issued=101))
    assert "walks of a calibration may hold somebody who was revoked" in caplog.text and "E2" not in caplog.text
