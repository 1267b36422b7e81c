"""The Node-RED flow: its functions by the rules of the contract, and in Node-RED itself at a broker with the shipped access list."""

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.core import signing
from daemon.core.messages import parse_command
from tests.faults.rig import ALICE
from tests.fixtures.deployed import DEPLOY, TEST, Visitor, deployed
from tests.fixtures.desk import command, painted
from tests.fixtures.gate_says import DECISION, HOSTILE, KEY, START, STATUS, decision, status
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.node_red import NodeRed, Step, functions_told
from tests.fixtures.watching import rig

FILE = DEPLOY / "integrations" / "node-red" / "flow.json"
FLOW: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
LOCK = next(node["func"] for node in FLOW if node.get("name") == "may the lock move?")
STATE = next(node["func"] for node in FLOW if node.get("name") == "state of the gate")
CLAIM = next(node["func"] for node in FLOW if node.get("name") == "claim")
PUBLIC = {"GATE_KEY": signing.public_text(KEY)}
COMMANDS, CLAIMS = "ostiary/v1/acme/north/command", "ostiary/v1/acme/north/command/verify"


def test_the_flow_holds_no_secret_and_no_path_and_every_wire_ends_somewhere() -> None:
    ids = {node["id"] for node in FLOW}
    assert len(ids) == len(FLOW)
    for node in FLOW:
        assert not {"credentials", "user", "password"} & set(node), node["id"]
        assert {end for output in node.get("wires", ()) for end in output} <= ids
        assert node.get("broker") in {*ids, "127.0.0.1", None} and node.get("z") in {*ids, None}
        assert not any(re.match(r"/\w", str(value)) for value in node.values()), "no path of a machine"
    assert not any(entry["value"] for node in FLOW for entry in node.get("env", ()))


# ---- the functions


def heard(at: float, **fields: Any) -> Step:
    return Step(status(at, **fields), STATUS, at=at)


def said(payload: bytes, at: float, topic: str = DECISION, retain: bool = False) -> Step:
    return Step(payload, topic, retain, at)


def verdicts(*cases: list[Step], env: dict[str, str] = PUBLIC) -> list[list[str | None]]:
    """What the flow does about the messages: `open`, `lock`, or why nothing."""
    found = []
    for answers in functions_told(LOCK, cases, env):
        for answer in answers:  # the lock hears only what the second output names too
            assert answer is None or (answer[0] is not None) is (answer[1]["payload"] in ("open", "lock")), answer
            assert answer is None or answer[0] in (None, answer[1])
        found.append([None if answer is None else answer[1]["payload"] for answer in answers])
    return found


def test_the_right_message_opens_once_and_hostile_ones_never() -> None:
    at = START
    cases = [[heard(at), said(decision(at, 6), at), said(decision(at, 6), at)]]
    cases += [[heard(at), said(make(at), at), said(decision(at, 8), at)] for make, _ in HOSTILE.values()]
    right, *wrong = verdicts(*cases)
    assert right == [None, "open", "repeated, or older than another one"]
    for name, (_, first, then) in zip(HOSTILE, wrong, strict=True):
        assert first not in ("open", "lock", None), name
        assert then == "open", f"{name}: the next right one opens"


def test_what_is_retained_late_reordered_or_from_a_silent_gate_opens_nothing() -> None:
    at = START
    accept = decision(at, 7)
    reject = decision(at, 8, decision="reject", reason="ambiguous", supersedes="e7")
    other = decision(at, 8, decision="reject", reason="ambiguous", supersedes="e3")
    retained, reordered, silent, offline, relocked, unknown, early = verdicts(
        [heard(at), said(accept, at, retain=True), said(accept, at)],
        [heard(at), said(other, at), said(accept, at)],
        [heard(at - 91), said(accept, at)],
        [heard(at), heard(at, online=False, state="offline"), said(accept, at)],
        [heard(at), said(accept, at), said(reject, at + 60), said(accept, at)],
        [said(accept, at), Step(status(at), STATUS, True, at), said(decision(at, 8), at)],
        [heard(at), said(decision(at + 2.5, 7), at)],
    )
    assert retained[1] == "repeated, or older than another one" and retained[2] == "open"
    assert reordered[1:] == ["no accept", "repeated, or older than another one"]
    assert silent[1] == "no status of the gate for too long" == offline[2]
    assert relocked[1:] == ["open", "lock", "repeated, or older than another one"]
    assert "open" not in unknown, "a status that the broker kept says nothing about now"
    assert early[1] == "late, or the clocks differ"


def test_no_changed_bit_and_no_cut_opens() -> None:
    at, right = START, decision(START, 7)
    flipped = [right[:place] + bytes([right[place] ^ 1 << place % 8]) + right[place + 1 :] for place in range(len(right))]
    cut = [right[:length] for length in range(len(right))]
    others = [b"", b"\0", b'{"a":1}', b"[" * 100_000, right * 2, right[:-1] + b',"a":1}']
    wrong = verdicts(*([heard(at), said(payload, at)] for payload in (*flipped, *cut, *others)))
    assert {told[1] for told in wrong} == {"forged, or not of this gate"}


def test_without_the_gates_key_nothing_opens() -> None:
    at = START
    for env in ({}, {"GATE_KEY": ""}, {"GATE_KEY": "no key"}, {"GATE_KEY": signing.public_text(signing.private_key(bytes(32)))}):
        assert "open" not in verdicts([heard(at), said(decision(at, 7), at)], env=env)[0], env


def test_the_state_is_said_when_it_changes() -> None:
    closed = status(START, state="closed", reasons=["disk: the disk is full; make room"])
    (told,) = functions_told(STATE, [[Step(one) for one in (status(START), status(START + 30), closed, status(START))]], {})
    assert [said and said["payload"] for said in told] == ["serving", None, "closed: disk: the disk is full; make room", "serving"]


def test_a_badge_becomes_a_claim_that_the_gate_reads() -> None:
    secret = base64.b64encode(bytes([1]) * 32).decode()
    for env in ({}, {"BADGE_KEY": f"badge {secret}\n"}):
        (((plain),),) = functions_told(CLAIM, [[Step("E1042", at=START)]], env)
        assert plain["topic"] == CLAIMS
        body = plain["payload"]
        if env:
            envelope = signing.envelope(body.encode())
            assert envelope is not None and envelope.key == "badge"
            assert signing.holds(KEY.public_key(), CLAIMS, envelope.body.encode(), envelope.sig)
            body = envelope.body
        claim: Any = parse_command(body.encode())
        assert (claim.person, claim.seconds, claim.issued_at.timestamp()) == ("E1042", 10, START)
        assert (claim.expires_at - claim.issued_at).total_seconds() == 10


# ---- in Node-RED


def at_broker(port: int, gate_key: str) -> list[dict[str, Any]]:
    """The flow after what the guide says: broker, logins and key are filled in."""
    flow: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    for node in flow:
        if node["type"] == "mqtt-broker":
            node |= {"port": str(port), "credentials": {"user": node["name"], "password": f"secret of {node['name']}"}}
        if node["type"] == "tab":
            node["env"] = [{"name": "GATE_KEY", "value": gate_key, "type": "str"}]
    return flow


@pytest.fixture
def door_broker(tmp_path: Path, mosquitto_installed: None) -> Iterator[Mosquitto]:
    """The shipped access list, with the line of the guide."""
    guide = (DEPLOY / "integrations" / "README.md").read_text("utf-8")
    (line,) = re.findall(r"^topic write locks/north$", guide, re.M)
    (tmp_path / "broker").mkdir()
    broker = deployed(tmp_path / "broker")
    access = tmp_path / "broker" / "ostiary.acl"
    access.write_text(access.read_text().replace("user door-north\n", f"user door-north\n{line}\n"))
    with broker:
        yield broker


@contextmanager
def node_red(folder: Path, port: int, gate_key: str, env: dict[str, str]) -> Iterator[NodeRed]:
    """Node-RED with the flow imported and connected."""
    with NodeRed(folder / "node-red", env) as red:
        known = {kind for module in red.ask("/nodes") for kind in module["types"]}
        assert {node["type"] for node in FLOW} - {"tab"} <= known
        red.ask("/flows", at_broker(port, gate_key))
        red.wait_for("Connected to broker", 2)
        yield red
        assert "[error]" not in red.log() and "missing types" not in red.log(), red.log()


class Ear:
    """Somebody who hears what the lock is told."""

    def __init__(self, port: int) -> None:
        self._visitor = Visitor(port, TEST)
        self._visitor.listen("locks/north")

    def told(self, count: int, longest_s: float = 30.0) -> list[str]:
        self._visitor.loop_until(lambda: len(self._visitor.payloads) >= count, longest_s)
        return [payload.decode() for payload in self._visitor.payloads]


@pytest.mark.broker
def test_node_red_opens_on_an_accept_and_on_nothing_else(tmp_path: Path, door_broker: Mosquitto) -> None:
    north, ear = Visitor(door_broker.port, "gate-north"), Ear(door_broker.port)
    replayed = decision(time.time(), 1)
    north.say(DECISION, replayed, retain=True)  # kept by the broker: it comes when the flow subscribes
    with node_red(tmp_path, door_broker.port, PUBLIC["GATE_KEY"], {}):
        deadline, number = time.monotonic() + 30, 10
        while not ear.told(1, 0.5):  # until it has subscribed
            assert time.monotonic() < deadline
            number += 1
            north.say(STATUS, status(time.time()), retain=True)
            north.say(DECISION, decision(time.time(), number))
        assert ear.told(1) == ["open"]
        for make, _ in HOSTILE.values():
            north.say(DECISION, make(time.time()))
        north.say(DECISION, decision(time.time(), number))
        north.say(DECISION, replayed)
        north.say(DECISION, decision(time.time(), 50, decision="reject", reason="ambiguous", supersedes=f"e{number}"))
        assert ear.told(2) == ["open", "lock"]
        north.say(DECISION, decision(time.time(), 51))
        assert ear.told(3) == ["open", "lock", "open"]
    north.leave()


@pytest.mark.broker
def test_a_badge_in_node_red_opens_the_lock_at_a_real_gate(tmp_path: Path, door_broker: Mosquitto) -> None:
    (tmp_path / "rig").mkdir()
    key = f"desk-1={signing.public_text(KEY)}"
    with rig(tmp_path / "rig" / "gate", door_broker.port, "--site", "acme", "--login", "gate-north", "--mode", "verify", "--key", key):
        desk = Visitor(door_broker.port, TEST)
        desk.listen(STATUS, DECISION, "ostiary/v1/acme/north/result")
        desk.loop_until(lambda: any(json.loads(payload).get("online") for payload in desk.payloads), 60)
        gate_key = json.loads(desk.payloads[-1])["public_key"]
        secret = base64.b64encode(bytes([1]) * 32).decode()
        with node_red(tmp_path, door_broker.port, gate_key, {"BADGE_KEY": f"desk-1 {secret}"}) as red:
            # Only now: the status that follows is the first one that the flow hears live. The next would come half a minute later.
            enrol = command("enroll", "E1042", [painted(ALICE)], now=time.time())
            desk.say(COMMANDS, signing.sealed("desk-1", KEY, COMMANDS, enrol))
            desk.loop_until(lambda: any(json.loads(payload).get("status") == "done" for payload in desk.payloads), 30)
            ear, deadline = Ear(door_broker.port), time.monotonic() + 90
            badge = next(node["id"] for node in FLOW if node["type"] == "inject")
            while not ear.told(1, 1.0):  # the claim meets whoever comes next: Alice, or a stranger
                assert time.monotonic() < deadline, red.log()
                red.ask(f"/inject/{badge}", {})
        assert ear.told(1)[0] == "open"
        desk.loop_until(lambda: any(json.loads(payload).get("reason") == "verified" for payload in desk.payloads), 10)
        desk.leave()
