"""Stories about claims from the command to the decision: what is answered, stored, forgotten and told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.config import ConfigError, GateConfig, parse
from daemon.core.boxes import Box
from daemon.core.bundle import Calibration, FmrPoint
from daemon.core.contract import schemas
from daemon.core.passages.claims import Mode
from daemon.core.values import Delivery, Face, Probe, Quality, View
from daemon.ctl import __main__ as ctl
from daemon.demo.frames import enrolment_photo
from daemon.demo.stage import Stage
from daemon.edges.gallery import Gallery
from daemon.edges.store import Store, StoreError
from daemon.pipeline import steps
from daemon.pipeline.steps import Raised
from daemon.serving.mailbox import CameraState
from tests.fixtures.changes import Box as Changeable
from tests.fixtures.crowds import crowd, results
from tests.fixtures.desk import NOW, NoThreshold, command, model, painted
from tests.fixtures.engine_site import ALICE, CONFIG, STRANGER, Site
from tests.fixtures.running import configure, daemon_running, ostiaryd, result
from tests.fixtures.running import ctl as ostiaryctl

HERE, FOR_ALL = "ostiary/v1/hq/north/command", "ostiary/v1/hq/all/command"
LIKE_ALICE = 112
"""0.989 like Alice: near enough for her badge, and not for a search among all, which wants 0.99."""


class Card(NoThreshold):
    def claim_threshold(self, target_fmr: float) -> float | None:
        return 0.98 if target_fmr >= 0.001 else None


CARDS = {"painted-1": model("painted-1", calibration=Card()), "painted-2": model("painted-2", mirrored=True, calibration=Card())}


VERIFYING = replace(CONFIG, gates={"north": GateConfig(source="x", mode="verify")})


def gate_of(store: Store, mode: Mode, **more: Any) -> Site:
    """A gate of this mode with Alice enrolled, and leave to claim."""
    usual: dict[str, Any] = {"models": CARDS, "config": replace(CONFIG, gates={"north": GateConfig(source="x", mode=mode)})}
    site = Site(store, **usual | more)
    site.desk.grants = frozenset({"verify"})
    site.turn()  # the camera is up
    if "E1" not in site.current.people:
        site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    return site


@pytest.fixture
def site(store: Store) -> Site:
    return gate_of(store, "verify")


def badge(site: Site, person: str = "E1", seconds: float = 10.0, age_s: float = 0.0, **more: Any) -> bytes:
    return command("verify", person, seconds=seconds, issued=site.now_s - age_s, **more)


def decided(told: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(each["decision"], each["reason"], each["person"]) for each in told if "decision" in each]


VERIFIED, MISMATCH, UNKNOWN = ("accept", "verified", "E1"), ("reject", "claim_mismatch", "E1"), ("unknown", "no_match", None)


def claims(site: Site) -> dict[str, float]:
    """How many ended how."""
    counter = site.engine.metrics._counters["ostiary_claims_total"]
    return {s.labels["end"]: s.value for metric in counter.collect() for s in metric.samples if s.name.endswith("_total")}


def test_badge_and_face_open_a_gate_that_verifies(site: Site, store: Store) -> None:
    (answer,) = site.asks(badge(site))
    assert (answer["status"], answer["op"], answer["person"]) == ("done", "verify", "E1") and answer["detail"].startswith("until 2027-")
    (accept,) = site.sees(LIKE_ALICE, times=20)
    assert decided([accept]) == [VERIFIED] and accept["live"] and accept["faces_in_view"] == 1
    assert [m.expiry_s for m in site.wire.sent if m.topic.endswith("decision")] == [3]
    assert claims(site) == {"verified": 1.0}
    records = [json.loads(row[1]) for row in store.audit.rows() if isinstance(row[1], bytes) and row[1]]
    assert [(r["op"], r["status"]) for r in records if r["kind"] == "command"][-1] == ("verify", "done")
    (record,) = [r for r in records if r["kind"] == "decision"]
    assert (record["reason"], record["threshold"]) == ("verified", 0.98) and record["pseudonym"] and "E1" not in json.dumps(records)
    store.audit.verify()


def test_the_wrong_face_does_not_open_and_the_message_says_whose_badge_it_was(site: Site) -> None:
    site.asks(badge(site))
    assert decided(site.sees(STRANGER, times=20)) == [MISMATCH]


def test_without_a_badge_a_gate_that_verifies_searches_for_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(self: Gallery, vectors: np.ndarray) -> list[Any]:
        raise AssertionError("a search among all")

    monkeypatch.setattr(Gallery, "search", search)
    assert decided(site.sees(ALICE, times=30)) == []
    assert decided(site.sees(None, times=10)) == [UNKNOWN]
    site.asks(badge(site))
    assert decided(site.sees(ALICE, times=30)) == [VERIFIED]


def test_a_gate_that_does_both_knows_alice_without_her_badge_and_her_double_only_with_it(store: Store) -> None:
    site = gate_of(store, "both")
    assert decided(site.sees(ALICE, times=10)) == [("accept", "matched", "E1")]
    site.sees(None, times=10)
    assert decided(site.sees(LIKE_ALICE, times=10)) == [UNKNOWN]
    site.asks(badge(site))
    (accept,) = site.sees(LIKE_ALICE)
    assert decided([accept]) == [VERIFIED] and accept["supersedes"]


def test_who_is_suspended_may_not_pass_with_a_badge_either(site: Site) -> None:
    site.asks(command("suspend", "E1", issued=101))
    site.asks(badge(site))
    assert decided(site.sees(ALICE, times=10)) == [("reject", "suspended", "E1")]
    assert claims(site) == {"forbidden": 1.0}


# ---- what is refused


@pytest.mark.parametrize(
    ("mode", "asked", "reason"),
    [
        ("identify", {}, "no_claims"),
        ("verify", {"person": "E9"}, "unknown_person"),
        ("verify", {"topic": FOR_ALL}, "not_for_all"),
        ("verify", {"age_s": 10.0}, "expired"),
        ("verify", {"age_s": 20.0, "life": 10.0}, "expired"),
        ("verify", {"age_s": -61.0}, "from_the_future"),
        ("verify", {"seconds": 61.0}, "malformed"),
        ("verify", {"seconds": 0.5}, "malformed"),
        ("verify", {"seconds": float("nan")}, "malformed"),
        ("verify", {"images": [b"x"]}, "malformed"),
    ],
)
def test_a_claim_that_is_refused_opens_nothing(store: Store, mode: Mode, asked: dict[str, Any], reason: str) -> None:
    site = gate_of(store, mode)
    where = asked.pop("topic", HERE)
    site.mailbox.deliver(Delivery("north", where, badge(site, **asked), False, (1, 99, 1)))
    assert results(site.turn()) == [("refused", reason)] and site.wire.acknowledged[-1] == (1, 99, 1)
    assert not [d for d in decided(site.sees(LIKE_ALICE, times=30)) if d[0] == "accept"] and claims(site) == {}


def test_a_claim_needs_a_grant_a_camera_and_a_threshold(store: Store) -> None:
    site = gate_of(store, "verify")
    site.desk.grants = frozenset({"capture"})
    assert results(site.asks(badge(site))) == [("refused", "not_granted")]
    site.desk.grants = frozenset({"verify"})
    site.mailbox.tell(CameraState("north", "down", "no route", True))
    lost = badge(site)
    assert results(site.asks(lost)) == [("refused", "no_camera")]
    site.mailbox.tell(CameraState("north", "up", None, True))
    assert results(site.asks(lost)) == [("refused", "no_camera")], "who was told no is not taken at another word"
    assert decided(site.sees(ALICE, times=30)) == []
    site = gate_of(store, "verify", models={"painted-1": model("painted-1")})
    assert results(site.asks(badge(site))) == [("refused", "threshold_unresolved")]


def test_a_claims_time_runs_from_when_it_was_issued(site: Site) -> None:
    site.asks(badge(site, age_s=9.0))
    site.sees(None, times=9)
    assert decided(site.sees(ALICE, times=30)) == [] and claims(site) == {"lapsed": 1.0}


# ---- once


def test_the_same_command_never_renews_a_claim(site: Site) -> None:
    payload = badge(site)
    (first,) = site.asks(payload)
    assert decided(site.sees(ALICE, times=10)) == [VERIFIED]
    site.sees(None, times=10)
    assert site.asks(payload) == [first]
    assert decided(site.sees(ALICE, times=30)) == [] and claims(site) == {"verified": 1.0}


def test_the_same_command_does_not_lengthen_a_claim_that_stands(site: Site) -> None:
    payload = badge(site, seconds=2.0)
    site.asks(payload)
    site.sees(None, times=15)
    site.asks(payload)
    site.sees(None, times=5)
    assert decided(site.sees(ALICE, times=30)) == []


def test_a_restart_forgets_a_claim(store: Store) -> None:
    before = gate_of(store, "verify")
    payload = badge(before)
    before.asks(payload)
    after = gate_of(store, "verify")
    told = after.asks(payload)
    assert results([one for one in told if one["command_id"] == json.loads(payload)["command_id"]])[-1] == ("done", None)
    assert decided(after.sees(ALICE, times=30)) == []


def test_a_claim_is_about_one_gate(store: Store) -> None:
    gates = {name: GateConfig(source="x", mode="verify") for name in ("north", "south")}
    site = gate_of(store, "verify", gates=("north", "south"), config=replace(CONFIG, gates=gates))
    site.mailbox.tell(CameraState("south", "up", None, True))
    site.mailbox.deliver(Delivery("south", HERE.replace("north", "south"), badge(site), False, (1, 98, 1)))
    site.turn()
    assert decided(site.sees(ALICE, times=30)) == []


def test_gates_of_different_modes_decide_in_one_turn_each_by_its_own_rules(store: Store) -> None:
    modes: dict[str, Mode] = {"north": "verify", "south": "identify"}
    gates = {name: GateConfig(source="x", mode=mode) for name, mode in modes.items()}
    site = gate_of(store, "verify", gates=tuple(gates), config=replace(CONFIG, gates=gates), models={"painted-1": model("painted-1")})
    site.mailbox.tell(CameraState("south", "up", None, True))
    for _ in range(10):
        site.now_s += 0.1
        for name, faces in (("north", (STRANGER, STRANGER)), ("south", (ALICE,))):
            probes = tuple(
                Probe(Face(Box(100 + 200 * i, 100, 80, 80), 1.0), np.full((112, 112, 3), face, np.uint8), Quality.OK)
                for i, face in enumerate(faces)
            )
            site.mailbox.offer(View(name, 0, site.now_s, NOW + site.now_s, probes), threading.Event())
        site.turn()
    told = [json.loads(m.payload) for m in site.wires["south"].sent if m.topic.endswith("decision")]
    assert decided(told) == [("accept", "matched", "E1")]
    assert site.status()["state"] == "closed" and not [m for m in site.wire.sent if m.topic.endswith("decision")]


@pytest.mark.parametrize("op", ["revoke", "suspend"])
def test_who_is_shut_out_has_no_claim_any_more(site: Site, op: str) -> None:
    site.asks(badge(site))
    site.sees(ALICE, times=2)
    site.asks(command(op, "E1", issued=site.now_s))
    assert decided(site.sees(ALICE, times=30)) == [] and claims(site) == {"barred": 1.0}


def test_several_faces_or_a_lost_camera_end_a_claim(site: Site) -> None:
    site.asks(badge(site))
    crowd(site, ALICE, STRANGER)
    site.sees(None, times=8)
    assert decided(site.sees(ALICE, times=30)) == []
    site.asks(badge(site))
    assert decided(site.sees(ALICE)) == [VERIFIED], "the badge once more, with nobody else there"
    site.sees(None, times=8)
    site.asks(badge(site))
    for state in ("down", "up"):
        site.mailbox.tell(CameraState("north", state, None, True))
        site.turn()
    assert decided(site.sees(ALICE, times=30)) == []
    assert claims(site) == {"several_faces": 1.0, "verified": 1.0, "camera_lost": 1.0}


def test_a_claim_that_the_disk_does_not_take_opens_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store) -> None:
        raise StoreError("database or disk is full", "look at the disk")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        assert results(site.asks(badge(site))) == [("failed", "not_durable")]
        assert decided(site.sees(ALICE, times=10)) == [] and site.status()["state"] == "closed"
    site.now_s += 30
    assert results(site.turn()) == [("refused", "expired")], "when the disk works the claim is long over"
    assert decided(site.sees(ALICE, times=10)) == []


def test_an_accept_that_the_disk_does_not_take_uses_the_claim_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store) -> None:
        raise StoreError("database or disk is full", "look at the disk")

    site.asks(badge(site))
    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        assert decided(site.sees(ALICE, times=6)) == [] and claims(site) == {"verified": 1.0}
    site.now_s += 3
    site.turn()
    assert site.status()["state"] == "serving"
    assert decided(site.sees(ALICE, times=20)) == [], "the badge is shown again"
    site.asks(badge(site))
    assert decided(site.sees(ALICE)) == [VERIFIED]


def test_a_claim_does_not_outlive_the_model(store: Store) -> None:
    box = Changeable(store, models=CARDS, config=VERIFYING)
    box.desk.grants = frozenset({"verify", "reembed"})
    box.enrol("E1", ALICE)
    box.ask("verify", "E1", seconds=60.0)
    box.changes()
    assert claims(box) == {"model_changed": 1.0}
    assert decided(box.sees(ALICE, times=30)) == []
    box.ask("verify", "E1")
    assert decided(box.sees(ALICE, times=3)) == [VERIFIED]


def test_a_model_that_can_verify_nobody_is_not_changed_to_unasked(store: Store) -> None:
    box = Changeable(store, models=CARDS | {"painted-2": model("painted-2", mirrored=True)}, config=VERIFYING)
    box.enrol("E1", ALICE)
    answer = box.changes()
    assert (answer["status"], answer["reason"]) == ("refused", "threshold_unresolved") and box.status()["state"] == "serving"
    assert box.changes(force=True)["status"] == "done"
    assert box.status()["state"] == "closed" and box.status()["reasons"][0].startswith("claims_unresolved")


def test_a_gate_that_searches_for_nobody_is_not_closed_unasked_either(store: Store) -> None:
    config = replace(VERIFYING, decision=replace(VERIFYING.decision, threshold=None))
    box = Changeable(store, models=CARDS | {"painted-2": model("painted-2", mirrored=True)}, config=config)
    box.enrol("E1", ALICE)
    assert box.status()["state"] == "serving"
    answer = box.changes()
    assert (answer["status"], answer["reason"]) == ("refused", "threshold_unresolved") and box.status()["state"] == "serving"
    assert box.changes(force=True)["status"] == "done" and box.status()["state"] == "closed"
    assert box.changes()["status"] == "done" and box.status()["state"] == "serving", "out of a closed gate there is always a way"


# ---- what the gate says of itself


@pytest.mark.parametrize(
    ("mode", "card", "threshold", "state", "says"),
    [
        ("identify", False, 0.99, "serving", []),
        ("identify", False, None, "closed", ["threshold_unresolved"]),
        ("verify", True, None, "serving", []),
        ("verify", True, 0.99, "serving", []),
        ("verify", False, 0.99, "closed", ["claims_unresolved"]),
        ("both", True, 0.99, "serving", []),
        ("both", True, None, "degraded", ["threshold_unresolved"]),
        ("both", False, 0.99, "degraded", ["claims_unresolved"]),
        ("both", False, None, "closed", ["threshold_unresolved", "claims_unresolved"]),
    ],
)
def test_the_status_says_what_the_gate_does_and_what_it_cannot(
    store: Store, mode: Mode, card: bool, threshold: float | None, state: str, says: list[str]
) -> None:
    config = replace(CONFIG, gates={"north": GateConfig(source="x", mode=mode)}, decision=replace(CONFIG.decision, threshold=threshold))
    site = gate_of(store, mode, config=config, models=CARDS if card else {"painted-1": model("painted-1")})
    found = site.status()
    assert (found["mode"], found["state"], [reason.split(":")[0] for reason in found["reasons"]]) == (mode, state, says)
    assert found["threshold"] == (threshold if mode != "verify" else None)
    assert found["claim_threshold"] == (0.98 if card and mode != "identify" else None)


def test_the_threshold_for_claims_is_the_cards_and_a_gates_own_only_raises_it() -> None:
    points = [FmrPoint(fmr, threshold, 900) for fmr, threshold in ((0.1, 0.2), (0.01, 0.4), (0.001, 0.5), (0.0001, None))]
    card = Calibration((), tuple(points), 10, 900)
    assert [card.claim_threshold(fmr) for fmr in (0.1, 0.01, 0.1**3, 0.5)] == [0.2, 0.4, 0.5, 0.2]
    assert card.claim_threshold(0.005) == 0.5, "the next stricter rate"
    assert card.claim_threshold(0.0001) is None and card.claim_threshold(0.0005) is None, "never a looser one, as for pairs"
    assert card.claim_threshold(1e-9) is None and card.claim_threshold(0.0) is None and card.claim_threshold(float("nan")) is None
    assert [Raised(card, floor).claim_threshold(0.001) for floor in (0.4, 0.6, None)] == [0.5, 0.6, None]
    assert Raised(card, 0.6).claim_threshold(0.0001) is None


def test_the_mode_of_a_gate_says_which_thresholds_it_has_and_no_threshold_of_the_operators_serves_claims() -> None:
    def thresholds(mode: Mode) -> tuple[float | None, float | None]:
        rules = steps.rules(CONFIG, Card(), 1, mode)
        return rules.threshold, rules.pair

    assert (thresholds("identify"), thresholds("verify"), thresholds("both")) == ((0.99, None), (None, 0.98), (0.99, 0.98))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"gates": {"x": {"source": "x", "mode": "badge"}}}, "mode"),
        ({"gates": {"x": {"source": "x"}}, "decision": {"target_fmr": 0.0}}, "target_fmr"),
        ({"gates": {"x": {"source": "x"}}, "decision": {"target_fmr": 1.0}}, "target_fmr"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse({"site": "hq", **table})


def test_the_likeness_to_one_person_is_that_of_the_best_template_and_nobodys_is_none() -> None:
    gallery = Gallery(4)
    one, two, other = np.eye(4, dtype=np.float32)[:3]
    assert gallery.likeness(one, "E1") == -1.0
    for number, (person, vector) in enumerate((("E1", one), ("E2", other), ("E1", two)), 1):
        gallery.add(number, person, vector)
    probe = np.array([0.6, 0.8, 0, 0], np.float32)
    assert gallery.likeness(probe, "E1") == pytest.approx(0.8) and gallery.likeness(probe, "E2") == 0.0
    for unsound in (probe * 2, probe * np.float32(np.nan), np.full(4, 1e38, np.float32)):
        assert gallery.likeness(unsound, "E1") == -1.0
    gallery._matrix.vectors[0] = 3.0  # a number of the matrix is damaged: that template is near nobody
    assert gallery.likeness(one, "E1") <= 0.0
    gallery.remove("E1")
    assert gallery.likeness(one, "E1") == -1.0


# ---- at the command line


def test_ostiaryctl_sends_no_claim_of_a_time_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in ("0.5", "61"):
        assert ctl.main(["verify", "E1", "--seconds", seconds, "--site", "hq", "--gate", "north"]) == 2
        assert f"{seconds} s is not a valid length for a claim" in capsys.readouterr().err
    assert "Verify" in schemas()["messages"]


def test_a_gate_that_only_verifies_cannot_be_replayed_and_says_so(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'site = "t"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "x.mkv"\nmode = "verify"\n')
    answer = ostiaryd("replay", "x.mkv", "--config", config)
    assert answer.returncode == 78 and "gate north decides by claims" in answer.stderr and "hint: " in answer.stderr


@contextmanager
def watching(broker: int) -> Iterator[list[dict[str, Any]]]:
    """The decisions of the gate, as they come."""
    heard: list[dict[str, Any]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: heard.append(json.loads(message.payload))
    client.connect("127.0.0.1", broker)
    client.subscribe("ostiary/v1/test/north/decision", 1)
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def reasons(heard: list[dict[str, Any]]) -> set[str]:
    return {one["reason"] for one in heard}


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.broker
def test_a_badge_and_a_face_over_a_real_broker(tmp_path: Path, broker: int) -> None:
    pytest.importorskip("skimage.data")
    stage = Stage()
    stage.start()
    try:
        config = configure(tmp_path, broker, Path("x"), extra='[commands]\ngrants = ["verify"]\n')
        config.write_text(config.read_text().replace('source = "x"', f'source = "{stage.url}"\nmode = "verify"'))
        with daemon_running(config), watching(broker) as heard:
            for person, face in (("E1", "collins"), ("E2", "hopper")):
                photo = tmp_path / f"{person}.jpg"
                photo.write_bytes(enrolment_photo(face))
                assert result(ostiaryctl(config, "enroll", person, "--image", photo))["status"] == "done"
            wait(lambda: json.loads(ostiaryctl(config, "status", "--gate", "north").stdout)["camera"] == "up")
            said = json.loads(ostiaryctl(config, "status", "--gate", "north").stdout)
            assert (said["mode"], said["state"], said["threshold"]) == ("verify", "degraded", None) and said["claim_threshold"] > 0.4
            stage.enter("collins", 1)
            time.sleep(2.5)
            assert reasons(heard) <= {"no_match"}, "nobody is let in without a badge"
            claim = result(ostiaryctl(config, "verify", "E2", "--gate", "north"))
            assert (claim["status"], claim["person"]) == ("done", "E2"), claim
            wait(lambda: "claim_mismatch" in reasons(heard))
            stage.leave()
            time.sleep(2)
            stage.enter("collins", 1)
            claim = result(ostiaryctl(config, "verify", "E1", "--gate", "north", "--seconds", "20"))
            assert claim["status"] == "done", claim
            wait(lambda: "verified" in reasons(heard))
            assert [one for one in decided(heard) if one != UNKNOWN] == [("reject", "claim_mismatch", "E2"), VERIFIED]
            shared = result(ostiaryctl(config, "verify", "E1", "--gate", "all"))
            assert (shared["status"], shared["reason"]) == ("refused", "not_for_all")
    finally:
        stage.close()
