"""Stories about unknown people whose picture a gate shares: with whom, for how long, how many, and never more than that."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from daemon.config import DecisionConfig
from daemon.core import sealed_box, signing
from daemon.core.boxes import Box
from daemon.core.key_texts import secret_line
from daemon.core.messages import VisitorMessage
from daemon.core.passages.claims import Mode
from daemon.core.values import Face, Outgoing, Probe, Quality, View
from daemon.edges.store import Store, open_store
from daemon.pipeline import steps
from daemon.serving.signature import signer
from daemon.serving.visitors import AT_ONCE, EVERY_S, MOST, PATIENCE_S
from tests.conftest import ROOT
from tests.fixtures.desk import NOW, NoThreshold, command, model, painted
from tests.fixtures.engine_site import ALICE, CONFIG, STRANGER, Site

DESK, BOX = sealed_box.private_key(bytes(range(32))), signing.private_key(bytes(range(1, 33)))
MINUTES = 2.0
DECISION = replace(CONFIG.decision, share_unknown=MINUTES, share_unknown_to=sealed_box.public_text(DESK))


class Street(Site):
    """A gate before which strangers pass. Each has a portrait in a shade of their own."""

    def passes(self, *faces: int, times: int = 12, shown: bool = True) -> list[dict[str, Any]]:
        """These faces are there for so many frames, beside each other; what was said of them."""
        told = []
        for _ in range(times):
            self.now_s += 0.1
            probes = tuple(self.probe(place, shade, shown) for place, shade in enumerate(faces))
            self.mailbox.offer(View("north", 0, self.now_s, NOW + self.now_s, probes), threading.Event())
            told += self.decisions(self.turn())
        return told

    def probe(self, place: int, shade: int, shown: bool) -> Probe:
        crop, portrait = (np.full((side, side, 3), shade, np.uint8) for side in (112, 160))
        return Probe(Face(Box(100 + 90 * place, 100, 80, 80), 1.0), crop, Quality.OK, None, portrait if shown else None)

    def leaves(self) -> list[dict[str, Any]]:
        self.now_s += 5
        self.mailbox.offer(View("north", 0, self.now_s, NOW + self.now_s, ()), threading.Event())
        return self.decisions(self.turn())

    def turn(self) -> list[dict[str, Any]]:
        """What was said besides pictures."""
        before = len(self.wire.sent)
        self.engine.turn(0)
        return [json.loads(m.payload) for m in self.wire.sent[before:] if m.payload and "/visitor/" not in m.topic and m.row]

    @staticmethod
    def decisions(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [each for each in told if "decision" in each]

    @property
    def pictures(self) -> list[Outgoing]:
        return [m for m in self.wire.sent if "/visitor/" in m.topic and m.payload]

    @property
    def cleared(self) -> list[str]:
        return [m.topic for m in self.wire.sent if "/visitor/" in m.topic and not m.payload and m.retain]

    def counted(self, outcome: str) -> float:
        return float(self.metrics._counters["ostiary_visitors_total"].labels("north", outcome)._value.get())


class Card(NoThreshold):
    def claim_threshold(self, target_fmr: float) -> float | None:
        return 0.98


CARDS = {"painted-1": model("painted-1", calibration=Card())}


def street(store: Store, decision: DecisionConfig = DECISION, mode: Mode = "identify") -> Street:
    gates = {"north": replace(CONFIG.gates["north"], mode=mode)}
    made = Street(store, config=replace(CONFIG, decision=decision, gates=gates), models=CARDS, sign=signer(BOX))
    made.desk.grants = frozenset({"replace"})
    made.turn()
    return made


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def site(opened: Store) -> Street:
    return street(opened)


def read(message: Outgoing) -> VisitorMessage:
    return msgspec.json.decode(message.payload, type=VisitorMessage)


def shade(message: Outgoing) -> int:
    data = sealed_box.open_sealed(DESK, message.topic, read(message).sealed)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return round(float(image.mean()))


def test_somebody_unknown_is_shared_once_sealed_signed_and_for_some_minutes(site: Street) -> None:
    (said,) = site.passes(STRANGER)
    assert (said["decision"], said["reason"]) == ("unknown", "no_match")
    site.passes(STRANGER, times=60)
    site.leaves()
    (message,) = site.pictures
    told = read(message)
    assert message.topic == f"ostiary/v1/hq/north/visitor/{told.id}" and message.retain and message.expiry_s == 60 * MINUTES
    assert signing.said_by(BOX.public_key(), message.topic, message.payload)
    assert (told.gate, told.passage, told.event_id) == ("north", said["passage"], said["event_id"])
    assert said["decided_at"] < told.seen_at < told.gone_at and told.key == sealed_box.fingerprint(DESK.public_key())
    assert abs(shade(message) - STRANGER) < 3
    assert site.counted("shared") == 1 and site.cleared == []


def test_only_the_desk_opens_it_and_only_there(site: Street) -> None:
    site.passes(STRANGER)
    (message,) = site.pictures
    sealed = read(message).sealed
    assert b"\xff\xd8" not in sealed[:64] and len(message.payload) < 140_000
    for key, topic in ((sealed_box.private_key(b"\x09" * 32), message.topic), (DESK, message.topic[:-1] + "x"), (DESK, "")):
        with pytest.raises(sealed_box.BoxError):
            sealed_box.open_sealed(key, topic, sealed)
    assert not signing.said_by(BOX.public_key(), message.topic + "x", message.payload)


def test_the_program_in_the_readme_opens_it(site: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.passes(STRANGER)
    (message,) = site.pictures
    chapter = (ROOT / "daemon" / "README.md").read_text("utf-8").split("## Unknown visitors", 1)[1]
    program = chapter.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "desk.key").write_text(secret_line("desk", bytes(range(32)), visitors=True))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"message": json.loads(message.payload), "topic": message.topic}
    exec(program, names)
    assert names["picture"] == sealed_box.open_sealed(DESK, message.topic, read(message).sealed)


def test_nothing_of_it_touches_the_disk(site: Street, opened: Store, tmp_path: Path) -> None:
    site.passes(STRANGER)
    (message,) = site.pictures
    assert message.row == 0 and opened.depth() == 1, "the decision alone waits in the outbox"
    opened.settle()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    picture = sealed_box.open_sealed(DESK, message.topic, read(message).sealed)
    for trace in (picture[100:140], read(message).sealed[32:72], read(message).id.encode()):
        assert trace not in kept


def test_off_by_default_and_whoever_is_known_is_never_shared(opened: Store) -> None:
    off = street(opened, CONFIG.decision)
    off.passes(STRANGER)
    assert off.pictures == [] and off.counted("shared") == 0 and off.status()["share_unknown"] == 0
    on = street(opened)
    assert on.status()["share_unknown"] == MINUTES
    on.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    assert [d["decision"] for d in on.passes(ALICE)] == ["accept"]
    on.leaves()
    on.asks(command("suspend", "E1", issued=110))
    assert [d["reason"] for d in on.passes(ALICE)] == ["suspended"]
    assert on.pictures == []


def test_of_whoever_is_known_no_picture_is_kept_even_in_memory(site: Street) -> None:
    site.engine._visitors.tend = lambda *, idle: False  # type: ignore[method-assign]
    keeper = site.gate.keeper
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.passes(ALICE, times=20)
    assert [passage.best.image for passage in keeper.passages.values()] == [None]
    site.leaves()
    assert keeper.strangers == []
    site.passes(STRANGER, times=20)
    assert [passage.best.image for passage in keeper.passages.values()] == [None] and len(keeper.strangers) == 1, "nor after it was given"


def test_a_face_that_was_never_good_enough_is_not_shared(site: Street) -> None:
    for _ in range(20):
        site.now_s += 0.1
        poor = replace(site.probe(0, STRANGER, True), quality=Quality.BLURRED)
        site.mailbox.offer(View("north", 0, site.now_s, NOW + site.now_s, (poor,)), threading.Event())
        site.turn()
    assert [d["reason"] for d in site.leaves()] == ["unscorable"] and site.pictures == []
    assert [d["reason"] for d in site.passes(STRANGER, shown=False)] == ["no_match"] and site.pictures == [], "too small to enrol"


def test_who_walks_up_is_shared_when_the_face_is_large_enough(site: Street) -> None:
    (said,) = site.passes(STRANGER, shown=False)
    assert site.pictures == []
    assert site.passes(STRANGER, times=5) == [] and site.pictures == [], "there is more to choose from in a moment"
    site.leaves()
    (message,) = site.pictures
    assert read(message).event_id == said["event_id"]


def test_a_gate_that_takes_its_time_shares_nothing_before_its_answer(opened: Store) -> None:
    site = street(opened, replace(DECISION, patience=40, min_frames=40))
    assert site.passes(STRANGER, times=39) == [] and site.pictures == []
    assert [d["reason"] for d in site.passes(STRANGER, times=2)] == ["no_match"] and len(site.pictures) == 1


def test_a_gate_that_only_verifies_shares_nobody(opened: Store) -> None:
    """It searches for nobody, so somebody enrolled who forgot the badge is unknown to it."""
    site = street(opened, mode="verify")
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.passes(ALICE)
    assert [d["reason"] for d in site.leaves()] == ["no_match"] and site.pictures == []


def test_who_is_enrolled_meanwhile_is_cleared(site: Street) -> None:
    site.passes(STRANGER)
    (message,) = site.pictures
    site.asks(command("enroll", "E1", [painted(STRANGER)], issued=101))
    assert [d["decision"] for d in site.passes(STRANGER)] == ["accept"]
    assert site.cleared == [message.topic]
    site.asks(command("revoke", "E1", issued=110))
    assert [d["decision"] for d in site.passes(STRANGER)] == ["unknown"] and len(site.pictures) == 1, "a passage is shared once"


def test_it_is_gone_after_its_minutes_and_a_lost_broker_is_asked_again(site: Street) -> None:
    site.passes(STRANGER)
    (message,) = site.pictures
    site.leaves()
    site.now_s += 60 * MINUTES - 8
    site.turn()
    assert site.cleared == []
    site.wire.connected = False
    site.now_s += 5
    site.turn()
    assert site.cleared == []
    site.wire.connected = True
    site.turn()
    site.turn()
    assert site.cleared == [message.topic]


def test_while_the_broker_is_away_it_is_lost_and_the_decision_is_not(site: Street, opened: Store) -> None:
    site.wire.connected = False
    site.passes(STRANGER)
    site.wire.connected = True
    site.turn()
    assert site.pictures == [] and site.counted("unsent") == 1 and opened.depth() == 1


def strangers(site: Street, count: int, pause_s: float) -> None:
    for number in range(count):
        site.passes(70 + number * 3 % 180)
        site.leaves()
        site.now_s += pause_s


def test_a_crowd_does_not_flood_the_broker(site: Street) -> None:
    site.passes(*range(70, 250, 9), times=15)
    for _ in range(30):
        site.turn()
    assert len(site.pictures) == site.counted("shared") == AT_ONCE and site.counted("limited") == 20 - AT_ONCE
    site.leaves()
    site.now_s += EVERY_S
    assert [d["reason"] for d in site.passes(100)] == ["no_match"]
    assert len(site.pictures) == AT_ONCE + 1


def test_of_very_many_the_oldest_are_cleared(opened: Store) -> None:
    site = street(opened, replace(DECISION, share_unknown=600.0))
    strangers(site, MOST + 3, EVERY_S)
    site.turn()
    assert len(site.pictures) == MOST + 3 and site.cleared == [m.topic for m in site.pictures[:3]]


def test_one_of_them_a_turn_and_only_when_no_face_waits(site: Street) -> None:
    while not site.pictures:
        site.passes(80, 120, 160, 200, times=1)
    assert len(site.pictures) == 1
    site.turn()
    assert len(site.pictures) == 2
    waiting: Callable[[], bool] = site.mailbox.views_wait
    site.mailbox.views_wait = lambda: True  # type: ignore[method-assign]
    for _ in range(5):
        site.turn()
    assert len(site.pictures) == 2
    site.now_s += PATIENCE_S
    site.turn()
    assert len(site.pictures) == 3, "a box that is always busy shares it all the same"
    site.mailbox.views_wait = waiting  # type: ignore[method-assign]
    site.turn()
    assert sorted(map(shade, site.pictures)) == pytest.approx([80, 120, 160, 200], abs=2)


def test_the_rules_that_decisions_name_are_the_same_with_and_without(opened: Store) -> None:
    rules = street(opened).current.serving.rules()
    assert steps.policy_digest(replace(CONFIG, decision=DECISION), rules) == steps.policy_digest(CONFIG, rules)
    other = replace(CONFIG, decision=replace(CONFIG.decision, tries=3))
    assert steps.policy_digest(other, rules) != steps.policy_digest(CONFIG, rules)
