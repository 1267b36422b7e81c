"""A hostile client and a bad network at a real broker: a gate that decides goes on deciding, a revocation is answered within seconds, and
nothing is lost, late and called live, or answered twice.

`pytest -s tests/faults/test_hostile.py` prints the figures. `make faults` runs everything in full: 5,000 commands, 20,000 decisions.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.core import messages as m
from daemon.edges.store import open_store
from tests.faults.rig import ALICE
from tests.fixtures.desk import command, painted
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.tcp_proxy import TcpProxy
from tests.fixtures.watching import COMMAND, Said, Watcher, rig, rss_mb

FULL = int(os.environ.get("OSTIARY_FAULTS", "1000")) >= 20_000
URGENT = f"{COMMAND}/revoke"
BROKER = "allow_anonymous true\nmax_queued_messages 50000\nautosave_interval 1\n"

pytestmark = pytest.mark.broker

Start = Callable[..., Mosquitto]


def ident(payload: bytes) -> str:
    return str(json.loads(payload)["command_id"])


def asked(op: str, person: str | None = None, images: list[bytes] | None = None, **more: Any) -> bytes:
    return command(op, person, images, now=time.time(), life=590, **more)


def begin(watcher: Watcher) -> None:
    """The gate serves, and ALICE is enrolled."""
    watcher.wait(lambda: any(s.body["online"] for s in watcher.of("status")))
    payload = asked("enroll", "E1", [painted(ALICE)])
    watcher.say(payload)
    assert watcher.answer(ident(payload))[0]["status"] == "done"
    watcher.wait(lambda: any(d.body["decision"] == "accept" for d in watcher.of("decision")))


def ages_ms(decisions: list[Said]) -> tuple[float, float]:
    """The median and the 99th percentile of the time from capture to arrival."""
    ages = sorted(1000 * (d.at - d.seconds("captured_at")) for d in decisions)
    assert ages
    return ages[len(ages) // 2], ages[int(0.99 * (len(ages) - 1))]


def need_complete(decisions: list[Said]) -> None:
    """No number is missing; what came more than once is the same decision."""
    events = {d.body["sequence"]: d.body["event_id"] for d in decisions}
    assert sorted(events) == list(range(1, max(events) + 1))
    assert all(events[d.body["sequence"]] == d.body["event_id"] for d in decisions)


def late_but_live(decisions: list[Said]) -> list[Said]:
    return [d for d in decisions if d.body["live"] and d.at > d.seconds("valid_until")]


def need_recovered(watcher: Watcher, timeout_s: float = 30.0) -> None:
    """The gate serves without a hand, and answers."""
    ping = asked("ping")
    watcher.say(ping)
    watcher.answer(ident(ping), timeout_s)
    watcher.wait(lambda: watcher.of("status")[-1].body["online"], timeout_s)
    reasons = watcher.of("status")[-1].body["reasons"]
    assert all(reason.startswith("session_") for reason in reasons), reasons


def mixed(count: int) -> list[bytes]:
    """Valid commands of all sizes: questions, changes, and photos."""
    rng = random.Random(1)
    photo = painted(ALICE)
    made = []
    for i in range(count):
        op = ("ping", "list", "get", "update", "suspend", "resume", "enroll")[i % 7]
        person = None if op in ("ping", "list") else f"B{i % 20}" if op == "enroll" else "E2"
        more: dict[str, Any] = {"name": "x" * rng.randrange(1, 200)} if op == "update" else {}
        if op == "enroll":
            more = {"consent": "y" * rng.randrange(1, 500), "force": True}
        made.append(asked(op, person, [photo] * rng.randrange(1, 4) if op == "enroll" else None, **more))
    return made


def tell(what: str, watcher: Watcher, quiet: list[Said], during: list[Said], gate: "subprocess.Popen[bytes]", **more: object) -> None:
    (q50, q99), (d50, d99) = ages_ms(quiet), ages_ms(during)
    figures = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in more.items())
    print(  # noqa: T201
        f"\n{what}: {len(during)} decisions, capture to arrival p50/p99 {d50:.0f}/{d99:.0f} ms (undisturbed {q50:.0f}/{q99:.0f}),"
        f" memory {rss_mb(gate.pid):.0f} MB, {figures}"
    )


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarts"])
def test_a_backlog_is_answered_in_turn_and_a_revocation_waits_behind_nothing(tmp_path: Path, own_broker: Start, restarts: bool) -> None:
    count = 5_000 if FULL else 600
    broker = own_broker(BROKER, persistent=True)
    state = tmp_path / "state"
    with Watcher(broker.port) as watcher, ExitStack() as stack:
        gate = stack.enter_context(rig(state, broker.port))
        begin(watcher)
        time.sleep(6 if FULL else 2)
        quiet = watcher.of("decision")
        commands = mixed(count)
        began_s = time.monotonic()
        for payload in commands:
            watcher.say(payload)
        revoke = asked("revoke", "E1")
        watcher.say(revoke, URGENT)
        answer, took_s = watcher.answer(ident(revoke))
        waiting = count - len(watcher.of("result"))
        assert answer["status"] == "done"
        assert took_s < 5
        assert waiting > count / 4, "the revocation was answered while most of the others waited"
        if restarts:
            gate.kill()
            gate.wait()
            broker.stop()
            broker.start()
            gate = stack.enter_context(rig(state, broker.port))
        ids = {ident(payload) for payload in commands}
        watcher.wait(lambda: ids <= {r.body["command_id"] for r in watcher.of("result")}, 600)
        all_s = time.monotonic() - began_s
        during = [d for d in watcher.of("decision")[len(quiet) :] if d.body["live"]]
        assert not [d for d in during if d.body["person"] == "E1" and d.seconds("captured_at") > answer_at(watcher, revoke)]
        for one in ids:
            assert len({r.body["status"] for r in watcher.of("result") if r.body["command_id"] == one}) == 1
        need_recovered(watcher)
        need_complete(watcher.of("decision"))
        assert gate.poll() is None
        tell(f"{count} commands", watcher, quiet, during, gate, revoke_s=took_s, waiting=waiting, answered_s=all_s)


def answer_at(watcher: Watcher, payload: bytes) -> float:
    return next(r.at for r in watcher.of("result") if r.body["command_id"] == ident(payload))


FLOOD = """
import sys, time
import paho.mqtt.client as paho
port, rate, seconds, topic = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
client = paho.Client(paho.CallbackAPIVersion.VERSION2, "hostile", protocol=paho.MQTTv311)
client.max_inflight_messages = client.max_queued_messages = 0
client.connect("127.0.0.1", port)
client.loop_start()
began, n = time.monotonic(), 0
while (left := began + seconds - time.monotonic()) > 0:
    client.publish(topic, (b"{", b"\\xff" * 300, b'{"op":"enroll"}', b"[" * 5000)[n % 4], qos=1)
    n += 1
    time.sleep(max(0.0, began + n / rate - time.monotonic()))
"""


@pytest.mark.parametrize("leaf", ["command", "command/revoke"])
def test_a_flood_of_malformed_messages_costs_a_few_answers(tmp_path: Path, own_broker: Start, leaf: str) -> None:
    seconds = 30.0 if FULL else 3.0
    broker = own_broker(BROKER, persistent=True)
    with Watcher(broker.port) as watcher, rig(tmp_path / "state", broker.port) as gate:
        begin(watcher)
        time.sleep(6 if FULL else 2)
        quiet, memory = watcher.of("decision"), rss_mb(gate.pid)
        topic = COMMAND.replace("command", leaf)
        with subprocess.Popen([sys.executable, "-c", FLOOD, str(broker.port), "1000", str(seconds), topic]) as flood:
            time.sleep(seconds / 2)
            revoke = asked("revoke", "E1")
            watcher.say(revoke, URGENT)
            answer, took_s = watcher.answer(ident(revoke))
            assert answer["status"] == "done"
            assert took_s < 5
            assert flood.wait(60) == 0
        need_recovered(watcher)
        during = watcher.of("decision")[len(quiet) :]
        refused = [r for r in watcher.of("result") if r.body["reason"] == "malformed"]
        assert 0 < len(refused) < 20 + 5 * (seconds + 10), "a few are answered, and no more"
        assert rss_mb(gate.pid) < memory + 50
        assert gate.poll() is None
        tell(f"{1000 * seconds:.0f} malformed on {leaf}", watcher, quiet, during, gate, revoke_s=took_s, answered=len(refused))


POISON = [
    ("ping", None, {"issued_at": "9999-12-31T23:59:59Z", "expires_at": "9999-12-31T23:59:59Z"}),
    ("resume", "E1", {"expires_at": "0001-01-01T00:00:00Z"}),
    ("update", "E1", {"valid_until": "9999-12-31T23:59:59-12:00"}),
    ("update", "E1", {"valid_from": "0001-01-01T00:00:00+14:00"}),
    ("enroll", "E1\n", {"images": ["AAAA"]}),
    ("verify", "E1", {"seconds": 1e308}),
    ("list", None, {"limit": 10**30}),
]


def test_no_message_ends_the_process(tmp_path: Path, own_broker: Start) -> None:
    broker = own_broker(BROKER, persistent=True)
    with Watcher(broker.port) as watcher, rig(tmp_path / "state", broker.port) as gate:
        begin(watcher)
        for op, person, more in POISON:
            payload = json.dumps(json.loads(asked(op, person)) | more).encode()
            watcher.say(payload)
            assert watcher.answer(ident(payload))[0]["reason"] == "malformed"
        for payload in (b"", b"null", b"[" * 200_000, b'{"op":"ping","command_id":' + b"9" * 5_000 + b"}", "💥".encode("utf-16")):
            watcher.say(payload)
        need_recovered(watcher)
        assert gate.poll() is None


def test_fresh_decisions_do_not_wait_behind_an_outage(tmp_path: Path, own_broker: Start) -> None:
    count = 20_000 if FULL else 1_500
    broker = own_broker(BROKER + "max_inflight_messages 0\n")
    state = tmp_path / "state"
    fill(state, count)
    with Watcher(broker.port) as watcher, rig(state, broker.port) as gate:
        watcher.wait(lambda: any(s.body["online"] for s in watcher.of("status")))
        began_s = time.monotonic()
        watcher.wait(lambda: sum(not d.body["live"] for d in watcher.of("decision")) >= count, 300)
        took_s = time.monotonic() - began_s
        while_catching_up = [d for d in watcher.of("decision") if d.body["live"]]
        late = [d.body["sequence"] for d in watcher.of("decision") if not d.body["live"]]
        assert late == list(range(1, count + 1)), "the backlog is in order, once, and marked late"
        assert while_catching_up
        time.sleep(3)
        quiet = [d for d in watcher.of("decision") if d.body["live"]][len(while_catching_up) :]
        need_complete(watcher.of("decision"))
        assert not late_but_live(watcher.of("decision"))
        bare_s = bare(broker.port, count)
        tell(f"outage of {count}", watcher, quiet, while_catching_up, gate, a_second=count / took_s, bare_paho_a_second=count / bare_s)


def fill(folder: Path, count: int) -> None:
    """A store whose outbox holds so many decisions of another day."""
    store = open_store(folder)
    at = time.time() - 86_400
    for first in range(0, count, 500):
        with store.transaction():
            for _ in range(first, min(count, first + 500)):
                sequence = store.next_sequence("north")
                said = m.DecisionMessage(
                    event_id=str(uuid4()), sequence=sequence, previous=sequence - 1, boot_id="old", gate="north", passage="p",
                    supersedes=None, decision="unknown", reason="no_match", person=None, captured_at=m.utc(at), decided_at=m.utc(at),
                    valid_until=m.utc(at + 3), live=True, liveness="not_evaluated", faces_in_view=1, model="painted-1",
                    gallery_revision=0, policy="0",
                )  # fmt: skip
                store.enqueue("north", "ostiary/v1/hq/north/decision", m.encode(said), at + 3, at)
    store.close()


def bare(port: int, count: int) -> float:
    """How long a bare paho client takes to publish so many messages of a decision's size at QoS 1 (seconds)."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "bare", protocol=paho.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began_s = time.monotonic()
    sent = [client.publish("bare/north/decision", b"x" * 650, qos=1) for _ in range(count)]
    sent[-1].wait_for_publish(120)
    took_s = time.monotonic() - began_s
    client.disconnect()
    client.loop_stop()
    return took_s


@pytest.mark.parametrize("fault", ["killed", "stopped", "emptied", "cut off", "frozen network"])
def test_a_fault_in_the_middle_loses_nothing_and_calls_nothing_late_live(tmp_path: Path, own_broker: Start, fault: str) -> None:
    decisions, commands = (300, 60) if FULL else (90, 20)
    broker = own_broker(BROKER, persistent=True)
    with Watcher(broker.port) as watcher, TcpProxy(broker.port) as proxy, rig(tmp_path / "state", proxy.port, "--a-second", 20) as gate:
        begin(watcher)
        payloads = [asked("update", "E1", name=f"N{i}") for i in range(commands)]
        died_at = 0.0
        for i, payload in enumerate(payloads):
            watcher.say(payload)
            if i == commands // 2:
                died_at = time.time()
                harm(fault, broker, proxy, tmp_path)
            time.sleep(0.05)
        watcher.wait(lambda: len({d.body["sequence"] for d in watcher.of("decision")}) >= decisions, 120)
        need_recovered(watcher, 60)
        answered = {r.body["command_id"] for r in watcher.of("result")}
        for payload in payloads:
            if ident(payload) not in answered:  # as ostiaryctl's user would
                watcher.say(payload)
        watcher.wait(lambda: {ident(p) for p in payloads} <= {r.body["command_id"] for r in watcher.of("result")}, 60)
        last = max(d.body["sequence"] for d in watcher.of("decision"))
        # What the broker acknowledged and had neither saved nor passed on when it died is nobody's any more.
        orphans = decided_between(watcher.of("decision"), died_at - 1.5, died_at) if fault in ("killed", "emptied") else set()
        watcher.wait(lambda: set(range(1, last + 1)) - {d.body["sequence"] for d in watcher.of("decision")} <= orphans, 60)
        if not orphans:
            need_complete(watcher.of("decision"))
        late = late_but_live(watcher.of("decision"))
        assert not late, [(d.at - d.seconds("valid_until"), d.body["decision"]) for d in late]
        for payload in payloads:
            answers = [r.body for r in watcher.of("result") if r.body["command_id"] == ident(payload)]
            assert len({(a["status"], a["reason"], a["gallery_revision"]) for a in answers}) == 1
        assert gate.poll() is None
        print(f"\n{fault}: {last} decisions, {commands} commands, lost 0, late but live 0, two answers 0")  # noqa: T201


def decided_between(decisions: list[Said], first_s: float, last_s: float) -> set[int]:
    """The numbers of the decisions made between two times (UTC seconds), also of those that never came."""
    before = max((d.body["sequence"] for d in decisions if d.seconds("decided_at") < first_s), default=0)
    after = min(d.body["sequence"] for d in decisions if d.seconds("decided_at") > last_s)
    return set(range(before + 1, after))


def harm(fault: str, broker: Mosquitto, proxy: TcpProxy, folder: Path) -> None:
    match fault:
        case "killed":
            broker.signal(signal.SIGKILL)
            broker.stop()
            time.sleep(1)
            broker.start()
        case "stopped":
            broker.signal(signal.SIGSTOP)
            time.sleep(8)
            broker.signal(signal.SIGCONT)
        case "emptied":
            broker.stop()
            (folder / "mosquitto.db").unlink(missing_ok=True)
            broker.start()
        case "cut off":
            proxy.cut()
        case _:
            proxy.freeze()
            time.sleep(6)
            proxy.freeze(False)


def test_a_takeover_is_said_and_survived(tmp_path: Path, own_broker: Start) -> None:
    """Only somebody who knows the box's own word can do it."""
    broker = own_broker(BROKER, persistent=True)
    with Watcher(broker.port) as watcher, rig(tmp_path / "state", broker.port) as gate:
        begin(watcher)
        with sqlite3.connect(f"file:{tmp_path / 'state' / 'gallery.sqlite'}?mode=ro", uri=True) as db:
            (tag,) = db.execute("SELECT value FROM meta WHERE key = 'client'").fetchone()
        db.close()
        thief = paho.Client(CallbackAPIVersion.VERSION2, f"rig-{tag}-urgent", protocol=paho.MQTTv5)
        thief.connect("127.0.0.1", broker.port, clean_start=True)
        thief.loop_start()
        watcher.wait(lambda: any("session_" in r for r in watcher.of("status")[-1].body["reasons"]))
        thief.disconnect()
        thief.loop_stop()
        revoke = asked("revoke", "E1")
        watcher.wait(lambda: not any("revocations_down" in r for r in watcher.of("status")[-1].body["reasons"]))
        watcher.say(revoke, URGENT)
        assert watcher.answer(ident(revoke))[0]["status"] == "done"
        need_recovered(watcher)
        assert gate.poll() is None
