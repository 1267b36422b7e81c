"""Unknown visitors: sealed for this console, seen by the desk, assigned or dismissed, gone in time."""

import base64
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.console import visitors
from daemon.core import messages as m
from daemon.core import sealed_box
from tests.console.conftest import Rig, Rigs, until
from tests.fixtures.bombs import jpeg
from tests.fixtures.fake_gate import FakeGate

pytestmark = pytest.mark.broker

KEY = sealed_box.private_key(bytes(range(32)))


@pytest.fixture
def desk(rigs: Rigs, gate: FakeGate, tmp_path: Path) -> Rig:
    path = tmp_path / "visitors.key"
    path.write_text(f"console {base64.b64encode(bytes(range(32))).decode()} visitors\n")
    path.chmod(0o600)
    rig = rigs('visitor_key = "visitors.key"')
    until(lambda: rig.console.state.statuses)
    return rig


def share(gate: FakeGate, ident: str, picture: bytes, minutes: float = 5.0, **more: Any) -> None:
    topic = m.topic("acme", gate.name, f"visitor/{ident}")
    fields: dict[str, Any] = {
        "id": ident, "gate": gate.name, "passage": "p", "event_id": "e", "seen_at": m.utc(time.time()),
        "gone_at": m.utc(time.time() + minutes * 60), "key": sealed_box.fingerprint(KEY.public_key()),
        "sealed": sealed_box.seal(KEY.public_key(), topic, picture, bytes(32)),
    }  # fmt: skip
    gate.say(f"visitor/{ident}", m.encode(m.VisitorMessage(**fields | more)), retain=True).wait_for_publish(5)


def test_a_visitor_is_seen_assigned_and_then_gone_from_the_broker(desk: Rig, gate: FakeGate) -> None:
    share(gate, "v1", jpeg())
    client = desk.logged_in("desk")
    until(lambda: client.get("/api/visitors").json()["visitors"])
    (one,) = client.get("/api/visitors").json()["visitors"]
    assert (one["id"], one["gate"], one["reason"]) == ("v1", "north", "no_match")
    answer = client.get("/api/visitors/v1/picture")
    assert answer.content == jpeg() and answer.headers["content-type"] == "image/jpeg" and answer.headers["cache-control"] == "no-store"
    answers = client.post("/api/visitors/v1/assign", json={"person": "E7", "name": "Ada"}).json()["answers"]
    assert answers[0]["status"] == "done"
    sent = next(one for one in gate.commands if isinstance(one, m.Enroll))
    assert sent.images == [jpeg()] and (sent.person, sent.name) == ("E7", "Ada")
    assert client.get("/api/visitors").json()["visitors"] == []
    assert client.get("/api/visitors/v1/picture").json()["code"] == "visitor_gone"


def test_a_visitor_is_dismissed_or_taken_back_or_over_in_time(desk: Rig, gate: FakeGate) -> None:
    for ident, minutes in (("a", 5.0), ("b", 5.0), ("c", 0.05), ("d", -1.0)):
        share(gate, ident, jpeg(), minutes)
    client = desk.logged_in("desk")
    until(lambda: {"a", "b"} <= {one["id"] for one in client.get("/api/visitors").json()["visitors"]})
    assert client.post("/api/visitors/a/dismiss").status_code == 204
    gate.say("visitor/b", b"", retain=True).wait_for_publish(5)
    until(lambda: client.get("/api/visitors").json()["visitors"] == [])


def test_what_is_sealed_for_others_or_of_another_gate_is_not_shown(desk: Rig, gate: FakeGate, caplog: pytest.LogCaptureFixture) -> None:
    share(gate, "x", jpeg(), key="0" * 16)
    share(gate, "y", jpeg(), id="other")
    share(gate, "z", jpeg(), sealed=b"moved here from another topic" * 9)
    client = desk.logged_in("desk")
    until(lambda: client.get("/api/visitors").json()["visitors"])
    assert [one["id"] for one in client.get("/api/visitors").json()["visitors"]] == ["z"]
    assert client.get("/api/visitors/z/picture").json()["code"] == "sealed"
    assert "another console" in caplog.text


def test_a_picture_opens_on_its_own_topic_alone_and_stays_a_day_at_most(desk: Rig, gate: FakeGate) -> None:
    share(gate, "own", jpeg())
    other = m.topic("acme", gate.name, "visitor/own")
    share(gate, "moved", jpeg(), sealed=sealed_box.seal(KEY.public_key(), other, jpeg(), bytes(32)))
    share(gate, "long", jpeg(), gone_at="9999-12-31T23:59:59Z")
    for number, gone_at in enumerate(("soon", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "x\n" * 9_000)):
        share(gate, f"odd-{number}", jpeg(), gone_at=gone_at)
    client = desk.logged_in("desk")
    until(lambda: len(client.get("/api/visitors").json()["visitors"]) == 3)
    assert client.get("/api/visitors/own/picture").content == jpeg()
    assert client.get("/api/visitors/moved/picture").json()["code"] == "sealed"
    assert client.post("/api/visitors/moved/assign", json={"person": "E7"}).json()["code"] == "sealed"
    (long,) = (one for one in client.get("/api/visitors").json()["visitors"] if one["id"] == "long")
    assert long["gone_at"] < m.utc(time.time() + 86_460)


def test_of_very_many_the_newest_are_kept(desk: Rig, gate: FakeGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "MOST", 20)
    for number in range(60):
        share(gate, f"v{number}", jpeg())
    client = desk.logged_in("desk")
    until(lambda: client.get("/api/visitors/v59/picture").status_code == 200)
    assert len(client.get("/api/visitors").json()["visitors"]) == 20


def test_without_a_key_there_are_no_visitors(rig: Rig) -> None:
    client = rig.logged_in("desk")
    assert client.get("/api/visitors").json()["code"] == "off" and client.get("/api/session").json()["visitors"] is False
    assert client.get("/visitors").status_code == 404
