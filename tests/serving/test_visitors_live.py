"""Pictures of unknown people at a real mosquitto: who hears them, that they end by themselves, and that somebody is enrolled from one."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

from daemon.cli.check import check
from daemon.client.keys import read_visitor_key
from daemon.config import MqttConfig, parse
from daemon.core import sealed_box, signing
from daemon.core.messages import VisitorMessage
from daemon.core.passages.gatekeeper import Decision
from daemon.core.values import Reason, Verdict
from daemon.ctl import __main__ as ostiaryctl
from daemon.demo.frames import jpeg, walking
from daemon.edges.metrics import Metrics
from daemon.edges.mqtt import Lanes
from daemon.serving.signature import unsigned
from daemon.serving.visitors import Sharing
from tests.fixtures.deployed import deployed
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.running import configure, daemon_running, ostiaryd

DESK = sealed_box.private_key(bytes(range(32)))


def until(holds: Callable[[], Any], longest_s: float = 30.0) -> Any:
    deadline = time.monotonic() + longest_s
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Listener:
    """Hears everything: payloads and how long each still lives, by topic, newest last."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, int | None]] = []
        self.there = False
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.on_connect = lambda c, *_: c.subscribe("ostiary/v1/+/+/#", 1)
        client.on_subscribe = lambda *_: setattr(self, "there", True)
        client.on_message = self._on_message
        client.connect("127.0.0.1", port)
        client.loop_start()
        until(lambda: self.there)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        left_s = getattr(properties, "MessageExpiryInterval", None) if isinstance(properties, Properties) else None
        self.heard.append((message.topic, bytes(message.payload), left_s))

    def visitors(self) -> list[tuple[str, bytes, int | None]]:
        return [one for one in list(self.heard) if "/visitor/" in one[0]]

    def said(self, leaf: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload, _ in list(self.heard) if topic.endswith(f"/{leaf}")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()


def retained(port: int) -> list[tuple[str, bytes, int | None]]:
    """What somebody gets who comes now. Retained messages come before the status of a client that connects after them."""
    with listening(port) as listener:
        listener._client.publish("ostiary/v1/hq/north/end", b"x", qos=1)
        until(lambda: any(topic.endswith("/end") for topic, _, _ in list(listener.heard)))
        return listener.visitors()


@contextmanager
def connected(port: int) -> Iterator[Lanes]:
    config = MqttConfig(port=port)
    lanes = Lanes(config, site="hq", gate="north", client_id="n", password=None, offline=b"{}", deliver=lambda news: True)
    lanes.start()
    until(lambda: lanes.ready)
    try:
        yield lanes
    finally:
        lanes.stop(None, 2.0)


def shared(lanes: Lanes, seconds: float) -> Sharing:
    """A gate that has shared one picture for so many seconds."""
    sharing = Sharing("hq", "north", seconds / 60, DESK.public_key(), lanes, Metrics(), time.monotonic, time.time, unsigned)
    decision = Decision("north", 1, Verdict.UNKNOWN, Reason.NO_MATCH, None, 0.1, 9, 1.0, 1.0, 1, False)
    sharing.decided(decision, "run-1", "event")
    sharing.take([(1, np.full((120, 120, 3), 90, np.uint8))], [])
    assert not sharing.tend(idle=True)
    return sharing


@pytest.mark.broker
def test_the_broker_ends_it_by_itself_also_when_it_was_restarted_and_no_gate_runs(mosquitto_installed: None, tmp_path: Path) -> None:
    mosquitto = Mosquitto(tmp_path, persistent=True).start()
    try:
        with connected(mosquitto.port) as lanes:
            shared(lanes, 600)
            until(lambda: retained(mosquitto.port))
        mosquitto.stop()
        mosquitto.start()
        ((_, payload, left_s),) = retained(mosquitto.port)
        assert payload and left_s is not None and 0 < left_s <= 600
        with connected(mosquitto.port) as lanes:
            shared(lanes, 2)
            until(lambda: len(retained(mosquitto.port)) == 2, 2.0)
        until(lambda: len(retained(mosquitto.port)) == 1)
    finally:
        mosquitto.stop()


@pytest.mark.broker
def test_while_the_gate_runs_those_who_listen_hear_that_it_is_gone(broker: int) -> None:
    with listening(broker) as listener, connected(broker) as lanes:
        sharing = shared(lanes, 2)
        until(listener.visitors)
        until(lambda: not sharing.tend(idle=True) and len(listener.visitors()) == 2)
        (first, picture, _), (second, nothing, _) = listener.visitors()
        assert first == second and picture and nothing == b"" and retained(broker) == []


@pytest.mark.broker
@pytest.mark.parametrize("login", ["gate-north", "gate-south"])
def test_check_finds_a_broker_that_takes_no_pictures(mosquitto_installed: None, tmp_path: Path, login: str) -> None:
    """As one does whose access list is of an earlier version: the daemon itself would not hear of it."""
    (tmp_path / "password").write_text(f"secret of {login}\n")
    (tmp_path / "password").chmod(0o600)
    with deployed(tmp_path) as mosquitto:
        config = parse({
            "site": "acme", "gates": {"north": {"source": "x"}}, "state_dir": str(tmp_path / "state"), "metrics": {"port": 0},
            "decision": {"share_unknown": 15, "share_unknown_to": sealed_box.public_text(DESK)},
            "mqtt": {"port": mosquitto.port, "username": login, "password_file": str(tmp_path / "password")},
        })  # fmt: skip
        (found,) = [finding for finding in check(config, cameras=False) if finding[0] == "broker north"]
    _, works, said = found
    assert works is (login == "gate-north"), found
    assert works or ("takes no pictures of unknown people (Not authorized)" in said and "make-acl.sh" in said), said


@pytest.mark.broker
def test_a_stranger_before_a_camera_can_be_enrolled_from_the_picture(
    tmp_path: Path, broker: int, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """The whole way: the gate sees somebody, the desk opens the picture with its key, and enrolled from it the same person is let in."""
    pytest.importorskip("skimage.data")
    walk = tmp_path / "walk"
    walk.mkdir()
    for number in range(60):
        (walk / f"{number:03}.jpg").write_bytes(jpeg(walking("collins" if number < 50 else None, number, 1).image))
    assert ostiaryctl.main(["keygen", "--visitors", "--out", str(tmp_path / "desk.key")]) == 0
    key, lines = read_visitor_key(tmp_path / "desk.key"), capsys.readouterr().out
    config = configure(tmp_path, broker, walk, extra=lines)
    config.write_text(config.read_text().replace("[mqtt]", "fps = 5\n[mqtt]"))  # by the time somebody is near, the broker is connected
    said = ostiaryd("check", "--local", "--config", config).stdout
    shares = f"pictures of unknown people are at the broker for 15 min, for the holder of key {sealed_box.fingerprint(key.public_key())}"
    assert shares in said

    with listening(broker) as listener, daemon_running(config):
        until(lambda: listener.visitors() and listener.said("decision"), 90)
        (decision,), status = listener.said("decision"), listener.said("status")[-1]
    assert shares in (tmp_path / "daemon.log").read_text()
    assert (decision["decision"], decision["reason"]) == ("unknown", "no_match")
    assert (status["share_unknown"], status["calibration"], status["metrics"], status["gates"]) == (15.0, "photos", None, ["north"])
    ((topic, payload, left_s),) = retained(broker)
    message = msgspec.json.decode(payload, type=VisitorMessage)
    assert message.event_id == decision["event_id"] and left_s is not None and 0 < left_s <= 900
    assert signing.said_by(signing.public_key(status["public_key"]), topic, payload)

    picture = sealed_box.open_sealed(key, topic, message.sealed)
    (tmp_path / "stranger.jpg").write_bytes(picture)
    assert picture.startswith(b"\xff\xd8\xff") and len(picture) <= 100_000
    again = ostiaryd("replay", walk, "--enroll", f"E1={tmp_path / 'stranger.jpg'}")
    assert [(d["decision"], d["person"]) for d in map(json.loads, again.stdout.splitlines())] == [("accept", "E1")], again.stderr
