"""The daemon tells Home Assistant about its gates, says it again when the broker forgot, and clears what no longer holds."""

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.config import Config, EnrolmentConfig, GateConfig, HomeAssistantConfig, MqttConfig
from daemon.edges.mqtt import client_id
from daemon.edges.store import Store
from daemon.serving.home_assistant import AGAIN_S, HomeAssistant
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.running import configure, daemon_running

NORTH = "homeassistant/sensor/ostiary-acme-north/state/config"


def configured(port: int, *gates: str, others: tuple[str, ...] = (), names: bool = False, **own: object) -> Config:
    return Config(
        site="acme", gates={gate: GateConfig(source="x") for gate in gates}, other_gates=others, mqtt=MqttConfig(port=port),
        enrolment=EnrolmentConfig(publish_names=names), home_assistant=HomeAssistantConfig(**{"enabled": True, **own}),  # type: ignore[arg-type]
    )  # fmt: skip


def home(
    config: Config, store: Store, up: Callable[[str], int] = lambda gate: 1, clock: Callable[[], float] = time.monotonic
) -> HomeAssistant:
    return HomeAssistant(config, store, lambda gate: client_id("acme", gate, ":00"), "1.2.3", up, clock)


def turn(one: HomeAssistant) -> None:
    """Until there is nothing to do."""
    deadline_s = time.monotonic() + 30
    one.tend()
    while one._tried is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
        one.tend()
        if one._tried is None:
            one.tend()


def retained(port: int, topics: str = "#") -> dict[str, bytes]:
    """What the broker retains."""
    found: dict[str, bytes] = {}
    over: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda c, u, message: found.__setitem__(message.topic, bytes(message.payload))
    client.on_subscribe = lambda c, u, mid, reasons, p: c.unsubscribe("never")
    client.on_unsubscribe = lambda c, u, mid, reasons, p: over.append(mid)
    client.on_connect = lambda c, u, f, r, p: c.subscribe(topics, 1)
    client.connect("127.0.0.1", port)
    deadline_s = time.monotonic() + 10
    while not over:
        assert client.loop(0.05) == paho.MQTT_ERR_SUCCESS and time.monotonic() < deadline_s
    client.disconnect()
    return found


@pytest.mark.broker
def test_it_is_told_once_and_cleared_when_it_is_switched_off(broker: int, store: Store) -> None:
    turn(home(configured(broker, "north", "south"), store))
    told = retained(broker)
    assert len(told) == 14 and all(topic.startswith("homeassistant/") for topic in told)
    assert json.loads(told[NORTH])["device"]["sw_version"] == "1.2.3"
    turn(home(configured(broker, "north", "south", enabled=False), store))
    assert retained(broker) == {} and store.discovered() == {}


@pytest.mark.broker
def test_a_box_that_was_never_asked_says_nothing(broker: int, store: Store) -> None:
    visits = home(configured(broker, "north", enabled=False), store)
    visits.tend()
    assert visits._tried is None and retained(broker) == {} and store.discovered() == {}


@pytest.mark.broker
def test_a_gate_that_is_gone_an_option_that_is_off_and_another_prefix_leave_nothing_behind(broker: int, store: Store) -> None:
    full = configured(broker, "north", "south", capture_button=True)
    turn(home(full, store))
    assert len(retained(broker)) == 20
    turn(home(configured(broker, "north"), store))
    assert len(retained(broker)) == 7 and store.discovered().keys() == {"north"}
    turn(home(configured(broker, "north", prefix="other/ha"), store))
    assert {topic.split("/sensor")[0] for topic in retained(broker) if "/sensor/" in topic} == {"other/ha"} and len(retained(broker)) == 7


@pytest.mark.broker
def test_a_gate_that_moved_to_another_box_is_left_to_it(broker: int, store: Store) -> None:
    turn(home(configured(broker, "north", "south"), store))
    turn(home(configured(broker, "north", others=("south",)), store))
    assert len(retained(broker)) == 14 and store.discovered().keys() == {"north"}


@pytest.mark.broker
def test_names_are_asked_for_only_where_they_are_published(broker: int, store: Store) -> None:
    turn(home(configured(broker, "north"), store))
    assert b"value_json.name" not in b"".join(retained(broker).values())
    turn(home(configured(broker, "north", names=True), store))
    assert b"value_json.name" in b"".join(retained(broker).values())


@pytest.mark.broker
def test_a_broker_that_forgot_is_told_again(own_broker: Callable[..., Mosquitto], store: Store) -> None:
    broker, connections = own_broker(), 1
    one = home(configured(broker.port, "north"), store, lambda gate: connections)
    turn(one)
    broker.stop()
    broker.start()
    assert retained(broker.port) == {}
    turn(one)
    assert retained(broker.port) == {}, "nothing is known of it yet"
    connections = 2
    turn(one)
    assert len(retained(broker.port)) == 7


def test_without_a_connection_nothing_is_tried(store: Store) -> None:
    one = home(configured(9, "north"), store, lambda gate: 0)
    one.tend()
    assert one._tried is None and store.discovered() == {}


@pytest.mark.broker
def test_what_the_acl_forbids_is_said_once_with_the_line_that_is_missing(
    own_broker: Callable[..., Mosquitto], store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite ostiary/#\ntopic read homeassistant/#\n")
    broker, now_s = own_broker(f"allow_anonymous true\nacl_file {acl}\n"), 0.0
    config = configured(broker.port, "north")
    one = home(config, store, clock=lambda: now_s)
    for _ in range(2):
        turn(one)
        now_s += AGAIN_S
    (said,) = [record.getMessage() for record in caplog.records]
    assert "gate north: Home Assistant is not told" in said and "refuses" in said
    assert "homeassistant/+/ostiary-acme-north/+/config" in said
    acl.write_text("topic readwrite ostiary/#\ntopic readwrite homeassistant/+/ostiary-acme-north/+/config\n")
    broker.signal(signal.SIGHUP)
    deadline_s = time.monotonic() + 20
    while not store.discovered() or not retained(broker.port):  # until mosquitto has read the list again
        turn(one)
        now_s += AGAIN_S
        assert time.monotonic() < deadline_s
    turn(home(replace(config, home_assistant=HomeAssistantConfig()), store))
    assert retained(broker.port) == {}


def test_a_broker_that_is_away_is_tried_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    one = home(configured(9, "north"), store, clock=lambda: now_s)
    turn(one)
    one.tend()
    assert one._tried is None, "not at once"
    assert store.discovered().keys() == {"north"}, "what may have been said is known, to be cleared"
    now_s = AGAIN_S
    one.tend()
    assert one._tried is not None
    turn(one)
    assert len(caplog.records) == 1


def test_a_note_that_is_damaged_stops_nothing(store: Store) -> None:
    for value in ("{", "[1]", 7, b"\xff"):
        with store.transaction():
            store.database.execute("INSERT OR REPLACE INTO meta VALUES ('discovered', ?)", (value,))
        assert store.discovered() == {}


@pytest.mark.broker
def test_a_daemon_with_it_and_without(broker: int, tmp_path: Path) -> None:
    """A real daemon: off by default, on, killed, and off again."""
    source = tmp_path / "source"
    source.mkdir()

    def until(found: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 30
        while not found():
            assert time.monotonic() < deadline_s, retained(broker)
            time.sleep(0.1)

    def state() -> object:
        payload = retained(broker, "ostiary/#").get("ostiary/v1/test/north/status")
        return payload and json.loads(payload)["state"]

    def told() -> int:
        return len(retained(broker, "homeassistant/#"))

    with daemon_running(configure(tmp_path, broker, Path("/dev/video77"))):
        until(lambda: state() not in (None, "offline"))
        assert told() == 0
    on = configure(tmp_path, broker, Path("/dev/video77"), extra="[home_assistant]\nenabled = true\n")
    with daemon_running(on) as process:
        until(lambda: told() == 7)
        process.kill()
        until(lambda: state() == "offline")
    assert told() == 7, "an entity stays, and is not available"
    with daemon_running(configure(tmp_path, broker, Path("/dev/video77"))):
        until(lambda: told() == 0)
