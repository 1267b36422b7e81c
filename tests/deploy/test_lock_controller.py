"""The reference lock controller against a hostile broker: of all messages only the one right message opens, once."""

import importlib.util
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from daemon.core import signing
from daemon.core.messages import DecisionMessage
from tests.fixtures.deployed import DEPLOY
from tests.fixtures.gate_says import DECISION, HOSTILE, KEY, START, STATUS, decision, status
from tests.fixtures.mosquitto import Mosquitto

PROGRAM = DEPLOY / "lock_controller.py"


def program() -> Any:
    """The module, as a program of somebody else."""
    spec = importlib.util.spec_from_file_location("lock_controller", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOCK = program()


class Door:
    """A lock whose clocks the test moves. `at` is the true time: the gate's wall clock and the lock's, unless the test says otherwise."""

    def __init__(self, sequence: int = 0) -> None:
        self.kept = sequence
        self.at = START
        self.lock = self.restarted()

    def restarted(self) -> Any:
        """The lock after a restart, with what it has stored."""
        self.lock = LOCK.Lock("acme", "north", KEY.public_key(), self.kept, self._keep)
        return self.lock

    def _keep(self, sequence: int) -> None:
        assert sequence > self.kept
        self.kept = sequence

    def hear(self, payload: bytes, topic: str = DECISION, retained: bool = False, wall: float | None = None) -> str:
        told: str = self.lock.hear(topic, payload, retained, self.at - START + 1000.0, self.at if wall is None else wall)
        return told

    def status(self, **fields: Any) -> str:
        return self.hear(status(self.at, **fields), STATUS)


@pytest.fixture
def door() -> Door:
    made = Door()
    assert made.status() == "heard"
    return made


def test_the_right_message_opens_once(door: Door) -> None:
    door.at += 0.3
    right = decision(door.at - 0.1, 7)
    assert door.hear(right) == "open"
    assert [door.hear(right) for _ in range(3)] == ["repeated, or older than another one"] * 3
    door.restarted()
    door.status()
    assert door.hear(right) != "open" and door.kept == 7


@pytest.mark.parametrize("name", HOSTILE)
def test_no_other_message_opens(door: Door, name: str) -> None:
    make, why = HOSTILE[name]
    door.at += 1.0
    assert why in door.hear(make(door.at)), name
    assert door.hear(decision(door.at, 8)) == "open", "and the next right one does"


def test_a_message_on_another_topic_or_retained_opens_nothing(door: Door) -> None:
    south = "ostiary/v1/acme/south/decision"
    assert "forged" in door.hear(decision(door.at, 7, topic=south), south)
    assert door.hear(decision(door.at, 7), retained=True) != "open"
    assert door.hear(decision(door.at, 7)) == "open", "a retained copy does not use the number up"


def test_what_was_reordered_or_superseded_opens_nothing(door: Door) -> None:
    accept = decision(door.at, 7)
    assert door.hear(decision(door.at, 8, decision="reject", reason="ambiguous", supersedes="e7")) == "no accept"
    assert door.hear(accept) == "repeated, or older than another one"


def test_what_the_gate_takes_back_is_locked_at_once_however_late_it_comes(door: Door) -> None:
    assert door.hear(decision(door.at, 7)) == "open"
    back = decision(door.at + 0.1, 8, decision="reject", reason="ambiguous", supersedes="e7", live=False)
    assert door.hear(decision(door.at, 9, decision="unknown", supersedes="e6")) == "no accept"
    assert door.hear(back) == "relock"
    assert door.hear(back) == "repeated, or older than another one"


def test_after_an_outage_the_newest_opens_and_the_backlog_does_not(door: Door) -> None:
    assert door.hear(decision(door.at, 500)) == "open"
    late = [door.hear(decision(door.at - 600 + number, number, live=False)) for number in range(1, 500)]
    assert set(late) == {"repeated, or older than another one"}


def test_without_a_status_nothing_opens() -> None:
    door = Door()
    assert "no status" in door.hear(decision(door.at, 7))
    assert door.hear(status(door.at), STATUS, retained=True) == "heard"
    assert "no status" in door.hear(decision(door.at, 8)), "a retained status may be of any age"
    door.status()
    door.at += 91
    assert "no status" in door.hear(decision(door.at, 9))
    door.status()
    assert door.hear(decision(door.at, 10)) == "open"
    door.status(online=False, state="offline")
    assert "no status" in door.hear(decision(door.at, 11))


def test_a_status_that_was_held_up_does_not_make_a_late_accept_fresh(door: Door) -> None:
    held = status(door.at), decision(door.at, 7)
    door.at += 30
    door.hear(held[0], STATUS)
    assert "late" in door.hear(held[1])


def test_who_holds_everything_up_from_the_start_is_found_by_the_own_clock() -> None:
    door = Door()
    held = status(door.at), decision(door.at, 7)
    door.at += 30
    assert door.hear(held[0], STATUS) == "heard"
    assert door.hear(held[1]) == "this machine's clock and the gate's differ"


def test_a_recording_from_the_time_of_a_wrong_clock_opens_nothing(door: Door) -> None:
    """The gate's clock stood an hour ahead. Status and accept of that time were recorded and held back, and come together later."""
    recorded = status(door.at + 3600), decision(door.at + 3600, 7)
    door.at += 1000
    door.status()
    assert door.hear(recorded[1]) == "late, or from the future"
    door = Door()
    door.at += 1000
    door.hear(recorded[0], STATUS)
    assert door.hear(recorded[1]) == "this machine's clock and the gate's differ"


def test_a_step_of_the_gates_clock_shuts_the_door_for_ten_minutes_at_most(door: Door) -> None:
    door.hear(status(door.at + 3600), STATUS)
    said = []
    for number in range(25):
        door.at += 30
        door.status()
        said.append(door.hear(decision(door.at, 10 + number)))
    assert said[:19] == ["this machine's clock and the gate's differ"] * 19 and said[-4:] == ["open"] * 4


def test_a_gate_with_another_key_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "north.json"
    assert LOCK.kept(path, "A") == 0
    LOCK.keep(path, "A", 7)
    assert (LOCK.kept(path, "A"), LOCK.kept(path, "B")) == (7, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["north.json"]


def test_what_cannot_be_stored_opens_nothing(door: Door) -> None:
    def full(sequence: int) -> None:
        raise OSError("no space left")

    door.lock.keep = full
    with pytest.raises(OSError, match="no space"):
        door.hear(decision(door.at, 7))
    door.restarted()
    door.status()
    assert door.hear(decision(door.at, 7)) == "open", "and nothing is lost"


@given(st.binary(max_size=300), st.sampled_from([DECISION, STATUS]), st.booleans())
def test_no_bytes_open_or_stop_it(payload: bytes, topic: str, signed: bool) -> None:
    door = Door()
    door.status()
    payload = signing.signed(KEY, topic, b"{" + payload + b"}") if signed else payload
    assert door.hear(payload, topic) in ("forged, or not of this gate", "not understood")


@given(
    st.dictionaries(
        st.sampled_from(DecisionMessage.__struct_fields__), st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    )
)
def test_no_field_of_another_type_opens_or_stops_it(fields: dict[str, Any]) -> None:
    door = Door()
    door.status()
    said = json.loads(decision(door.at, 7)) | fields
    said.pop("sig")
    right = all(said[name] == value for name, value in json.loads(decision(door.at, 7)).items() if name not in ("sig", "person"))
    told = door.hear(signing.signed(KEY, DECISION, json.dumps(said).encode()))
    if told == "open":
        for name in ("decision", "gate", "live", "clock_trusted"):
            assert right or said[name] == json.loads(decision(door.at, 7))[name]
        assert type(said["sequence"]) is int


# ---- the program


class Hostile:
    """Somebody who may publish anything at the broker."""

    def __init__(self, port: int) -> None:
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect("127.0.0.1", port)
        client.loop_start()

    def say(self, payload: bytes, topic: str = DECISION, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def hostile(broker: int) -> Iterator[Hostile]:
    made = Hostile(broker)
    yield made
    made.leave()


class Running:
    """The program, whose commands write into a file."""

    def __init__(self, folder: Path, port: int, opening: str = ": ") -> None:
        self.log = folder / "moved"
        mover = folder / "move.sh"
        then = f'if [ "$1" = opened ]; then {opening}"{self.log}"; fi'
        mover.write_text(f'#!/bin/bash\necho "$1" >> "{self.log}"\n{then}\n')
        mover.chmod(0o755)
        command = [
            sys.executable, str(PROGRAM), "--port", str(port), "--site", "acme", "--gate", "north", "--gate-key", signing.public_text(KEY),
            "--state", str(folder / "north.json"), "--open", f"{mover} opened", "--relock", f"{mover} relocked",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        assert self.next() == "listening to gate north of site acme"

    def next(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def moved(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def until(self, moved: list[str]) -> None:
        deadline = time.monotonic() + 10
        while self.moved() != moved and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.moved() == moved

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.broker
def test_the_program_opens_only_on_the_right_message(tmp_path: Path, broker: int, hostile: Hostile) -> None:
    numbers = itertools.count(100)
    running = Running(tmp_path, broker)
    try:
        hostile.say(status(time.time()), STATUS)
        for make, _ in HOSTILE.values():
            hostile.say(make(time.time()))
        hostile.say(decision(time.time(), 7), retain=True)
        right = decision(time.time(), next(numbers))
        hostile.say(right)
        running.until(["opened"])
        for _ in range(50):
            hostile.say(right)
        hostile.say(decision(time.time(), 101, decision="reject", reason="ambiguous", supersedes="e100"))
        running.until(["opened", "relocked"])
        running.end()
        running = Running(tmp_path, broker)  # after a restart what was heard before opens nothing
        hostile.say(status(time.time()), STATUS)
        hostile.say(right)
        hostile.say(decision(time.time(), 102))
        running.until(["opened", "relocked", "opened"])
        assert json.loads((tmp_path / "north.json").read_text()) == {"key": signing.public_text(KEY), "sequence": 102}
    finally:
        running.end()


@pytest.mark.broker
def test_a_relock_ends_an_opening_that_goes_on(tmp_path: Path, broker: int, hostile: Hostile) -> None:
    running = Running(tmp_path, broker, opening="exec sleep 30 # ")
    try:
        hostile.say(status(time.time()), STATUS)
        began_s = time.monotonic()
        hostile.say(decision(time.time(), 1))
        running.until(["opened"])
        hostile.say(decision(time.time(), 2, decision="reject", reason="ambiguous", supersedes="e1"))
        running.until(["opened", "relocked"])
        assert time.monotonic() - began_s < 5
    finally:
        running.end()


@pytest.mark.broker
def test_the_program_comes_back_to_a_broker_that_was_away(tmp_path: Path, own_broker: Callable[..., Mosquitto]) -> None:
    mosquitto = own_broker()
    running = Running(tmp_path, mosquitto.port)
    try:
        mosquitto.stop()
        mosquitto.start()
        somebody = Hostile(mosquitto.port)
        deadline, number = time.monotonic() + 20, 0
        while not running.moved() and time.monotonic() < deadline:
            number += 1
            somebody.say(status(time.time()), STATUS)
            somebody.say(decision(time.time(), number))
            time.sleep(0.2)
        assert set(running.moved()) == {"opened"}
        somebody.leave()
    finally:
        running.end()


def started(folder: Path, *options: str) -> list[str]:
    right = ["--site", "a", "--gate", "b", "--gate-key", signing.public_text(KEY), "--state", str(folder / "s"), "--open", "true"]
    return [sys.executable, str(PROGRAM), *right, *options]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--state", "/nowhere/s"], "--state"),
        (["--username", "door-north", "--password-file", "/nowhere/secret"], "/nowhere/secret"),
        (["--ca-file", "/nowhere/ca.crt"], "--ca-file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_at_the_start(tmp_path: Path, options: list[str], named: str) -> None:
    ended = subprocess.run(started(tmp_path, *options), capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1 and named in ended.stderr


def test_another_key_at_the_start_does_not_forget_the_numbers(tmp_path: Path) -> None:
    """A mistyped key must not make old accepts new again."""
    (tmp_path / "s").write_text(json.dumps({"key": "the right one", "sequence": 7}))
    subprocess.run(started(tmp_path, "--ca-file", "/nowhere/ca.crt"), capture_output=True, timeout=20)
    assert json.loads((tmp_path / "s").read_text())["sequence"] == 7


def test_a_broker_that_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    with subprocess.Popen(started(tmp_path, "--port", port), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"no broker at 127.0.0.1:{port}, or its certificate is not good\n"
        finally:
            process.kill()


@pytest.mark.parametrize("option", [["--gate-key", "x"], ["--gate-key", "AAAA"]])
def test_a_key_that_is_none_is_one_line(tmp_path: Path, option: list[str]) -> None:
    command = [sys.executable, str(PROGRAM), "--site", "a", "--gate", "b", "--state", str(tmp_path / "s"), "--open", "true", *option]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1 and "32 bytes in base64" in ended.stderr
