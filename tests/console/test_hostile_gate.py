"""Whoever may write to the topics of gates may write anything there. The console goes on, says what is so, and stays small."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.client import link
from daemon.core import messages as m
from daemon.core import signing
from tests.console.conftest import until
from tests.fixtures.console_program import Program, quick_users
from tests.fixtures.fake_gate import decision
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.peopled_gate import PeopledGate

pytestmark = pytest.mark.broker
NO_LIMITS = "allow_anonymous true\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\n"
KEY = signing.private_key(bytes(range(32)))


class Site:
    """A broker, an honest gate with one person, the console's program, and somebody who publishes what they like."""

    def __init__(self, program: Program, gate: PeopledGate, evil: paho.Client) -> None:
        self.program, self.gate, self.evil = program, gate, evil
        self.client = program.logged_in("desk")

    def say(self, where: str, payload: bytes, *, retain: bool = False) -> None:
        self.evil.publish(f"ostiary/v1/acme/{where}", payload, qos=1, retain=retain).wait_for_publish(30)

    def settled(self) -> None:
        """What was said before has been looked at."""
        event = f"settled-{time.monotonic_ns()}"
        self.gate.decide([decision(event_id=event)])
        until(lambda: any(one["event_id"] == event for one in self.get("/api/decisions")["decisions"]), 60)

    def get(self, path: str, **more: Any) -> Any:
        answer: httpx.Response = self.client.get(path, **more)
        assert answer.status_code == 200, (path, answer.text[:300])
        return answer.json()

    def is_well(self) -> None:
        """Everything answers, and the honest gate is there with its person."""
        self.gate.tell()
        self.settled()
        assert [one["gate"] for one in self.get("/api/gates")["gates"] if one["gate"] == "north"] == ["north"]
        assert [one["person"] for one in self.get("/api/people")["people"]] == ["E1"]
        assert self.get("/api/people/E1")["name"] == "Ada"


@pytest.fixture(scope="module", params=["any gate is believed", "gate_key"])
def site(request: pytest.FixtureRequest, mosquitto_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    quick_users(folder / "users.json")
    signed = request.param == "gate_key"
    client = f'gate_key = ["{signing.public_text(KEY)}"]' if signed else ""
    evil = paho.Client(CallbackAPIVersion.VERSION2, "evil", protocol=paho.MQTTv5)
    with Mosquitto(folder, NO_LIMITS) as broker, PeopledGate(broker.port) as gate, Program(folder, broker.port, client=client) as program:
        gate.key = KEY if signed else None
        gate.add("E1", "Ada")
        gate.tell()
        evil.connect("127.0.0.1", broker.port)
        evil.loop_start()
        made = Site(program, gate, evil)
        until(lambda: made.get("/api/gates")["gates"])
        yield made
        evil.disconnect()
        evil.loop_stop()
        assert "Traceback" not in program.log.read_text()


STATUS: dict[str, Any] = {
    "online": True, "state": "serving", "reasons": [], "at": m.utc(4e9), "boot_id": "b", "camera": "up", "model": "faces",
    "provider": "cpu", "people": 3, "templates": 7, "gallery_revision": 94, "threshold": 0.42, "outbox_depth": 0, "version": "0.1.0",
}  # fmt: skip


def with_more(value: bytes) -> bytes:
    return json.dumps(STATUS).encode()[:-1] + b',"more":' + value + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        with_more(b"[" * 300 + b"]" * 300), with_more(b"[" * 100_000 + b"]" * 100_000), with_more(b'{"a":' * 20 + b"1" + b"}" * 20),
        with_more(b"1e999"), with_more(b"9" * 400), with_more(b"9" * 5_000), with_more(b'"\\ud800"'), b'{"\\udc00":1}', b'{"model":"\xff"}',
        b"[1]", b"null", b"{", b"\x00", json.dumps(STATUS | {"at": "0001-01-01T00:00:00+23:59"}).encode(),
        json.dumps(STATUS | {"at": "9999-12-31T23:59:59-23:59", "gallery_revision": 2**63 - 1, "threshold": -1e308}).encode(),
        json.dumps(STATUS | {"said": {"a": 1}, "odd": ["x"], "gate": "other", "sig": 1}).encode(),
        json.dumps(STATUS | {"reasons": ["word: " + "x" * 1_000] * 100}).encode(),
        json.dumps(STATUS | {"version": "y" * 5_000_000}).encode(),
    ],
)  # fmt: skip
def test_a_status_of_any_kind_stops_nothing(site: Site, payload: bytes) -> None:
    site.say("north/status", payload)
    site.settled()
    assert len(site.client.get("/api/gates").content) < 300_000
    site.is_well()


@pytest.mark.parametrize(
    "where", ["/status", "all/status", "\u202egate/status", "x" * 5_000 + "/status", "a b/status", "north/visitor/\u202e",
     "north/visitor/" + "x" * 999]
)  # fmt: skip
def test_a_gate_whose_name_is_none_is_not_listened_to(site: Site, where: str) -> None:
    site.say(where, json.dumps(STATUS).encode())
    site.settled()
    assert [one["gate"] for one in site.get("/api/gates")["gates"]] == ["north"]


@pytest.mark.parametrize("person", ["../../x", "E1\n", "\u202eE1", "x" * 1_000_000, "", None, "+", "E1/../E2"])
def test_an_answer_about_nobody_asks_the_gates_nothing(site: Site, person: str | None) -> None:
    """It once made the list of people fail until the next start."""
    site.is_well()
    forged = {
        "command_id": "6b1f6f0e-0000-4000-8000-000000000001", "op": "suspend", "status": "done", "reason": None, "detail": None,
        "person": person, "gallery_revision": 95, "took_ms": 1.0, "people": [{"person": "E1", "name": "Mallory", "state": "active",
        "templates": 1, "enrolled_at": m.utc(0)}],
    }  # fmt: skip
    site.say("north/result", json.dumps(forged).encode())
    site.say("north/result", json.dumps(forged | {"person": "E1"}).encode())
    site.is_well()


def test_giant_messages_do_not_stay(site: Site) -> None:
    before_mb = site.program.memory_mb
    for number in range(60):
        one = json.loads(decision(event_id=f"giant-{number}", policy="x" * 1_000_000))
        site.say("north/decision", json.dumps(one).encode())
        gap = {"gate": "north", "at": "x" * 1_000_000, "reason": "old", "decisions": 1, "first": number, "last": number, "answers": 0}
        site.say("north/gap", json.dumps(gap).encode())
    site.is_well()
    assert len(site.client.get("/api/decisions", params={"limit": 1000}).content) < 2_000_000
    assert site.program.memory_mb < before_mb + 60


def test_a_flood_is_answered_with_patience_and_few_lines(site: Site) -> None:
    log_bytes, before_mb = site.program.log.stat().st_size, site.program.memory_mb
    good, payload = json.loads(decision()), b""
    for number in range(8_000):
        payload = json.dumps(good | {"event_id": f"flood-{number}", "sequence": number}).encode() if number % 2 else b'{"x":' + b"y" * 300
        site.evil.publish("ostiary/v1/acme/north/decision", payload, qos=0)
    begun_s = time.monotonic()
    assert site.client.get("/api/session").status_code == 200 and time.monotonic() - begun_s < 20
    site.is_well()
    assert len(site.get("/api/decisions", params={"limit": 1000})["decisions"]) <= 1000
    assert site.program.memory_mb < before_mb + 100
    assert site.program.log.stat().st_size < log_bytes + 20_000


def test_with_a_key_nobody_else_is_a_gate_and_without_one_gates_have_a_number(site: Site) -> None:
    for number in range(link.MOST_GATES + 500):
        site.evil.publish(f"ostiary/v1/acme/g{number}/status", json.dumps(STATUS | {"online": False}).encode(), qos=1)
    site.evil.publish("ostiary/v1/acme/north/decision", b"{}", qos=1).wait_for_publish(60)
    site.is_well()
    told = len(site.get("/api/gates")["gates"])
    assert told == (1 if site.gate.key is not None else link.MOST_GATES)


def test_a_gates_own_text_makes_no_line_of_the_log(site: Site) -> None:
    site.gate.answer = lambda command: {"status": "refused", "reason": "x\nINFO login user=admin role=admin from 10.0.0.1", "detail": "y\n"}
    answer = site.client.post("/api/people/E1/suspend").json()["answers"][0]
    site.gate.answer = site.gate._answer
    assert answer["reason"].startswith("x\nINFO"), "the gate's own answer is told as it is"
    assert not [line for line in site.program.log.read_text().splitlines() if line.startswith("INFO login user=admin")]


def test_another_gate_speaks_only_for_itself(site: Site) -> None:
    said = json.loads(decision(event_id="of another", gate="south"))
    site.say("north/decision", json.dumps(said).encode())
    site.settled()
    assert not [one for one in site.get("/api/decisions")["decisions"] if one["event_id"] == "of another"]
