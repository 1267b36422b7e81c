"""A gate that is taken out of the configuration leaves nothing at the broker, and what it still had to say is said."""

import itertools
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.config import Config, GateConfig, MqttConfig
from daemon.core.messages import encode, offline_status
from daemon.ctl import __main__ as ctl
from daemon.edges.mqtt import client_id
from daemon.edges.store import Store, new_tag, open_store
from daemon.serving.former_gates import AGAIN_S, FormerGates
from daemon.serving.signature import unsigned
from tests.fixtures.deployed import TEST, deployed


class Ear:
    """Hears everything that comes, and what is retained."""

    def __init__(self, port: int, username: str | None = None) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if username is not None:
            self.client.username_pw_set(username, f"secret of {username}")
        self.client.on_connect = lambda c, u, f, r, p: c.subscribe("ostiary/#", 1)
        self.client.on_message = lambda c, u, message: self.heard.append((message.topic, bytes(message.payload), message.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def wait(self, found: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 30
        while not found():
            assert time.monotonic() < deadline_s, self.heard
            time.sleep(0.02)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def configured(port: int, *gates: str, **mqtt: str) -> Config:
    return Config(site="acme", gates={gate: GateConfig(source="x") for gate in gates}, mqtt=MqttConfig(port=port, **mqtt))  # type: ignore[arg-type]


def former(config: Config, store: Store, clock: Callable[[], float] = time.monotonic) -> FormerGates:
    return FormerGates(config, store, lambda gate: client_id("acme", gate, ":00"), unsigned, clock)


def turn(gates: FormerGates, until: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 30
    while not until():
        gates.tend()
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.broker
def test_a_gate_that_is_gone_takes_its_leave(broker: int, store: Store) -> None:
    former(configured(broker, "north", "south"), store)
    assert store.gates() == ["north", "south"]
    with store.transaction():
        store.enqueue("south", "ostiary/v1/acme/south/result", b'{"waited": true}')
        store.enqueue("north", "ostiary/v1/acme/north/result", b"{}")
    with closing(Ear(broker)) as ear:
        ear.client.publish("ostiary/v1/acme/south/status", encode(offline_status("1")), qos=1, retain=True).wait_for_publish(5)
        gates = former(configured(broker, "north"), store)
        turn(gates, lambda: store.gates() == ["north"])
        ear.wait(lambda: ("ostiary/v1/acme/south/status", b"", False) in ear.heard)
        assert ("ostiary/v1/acme/south/result", b'{"waited": true}', False) in ear.heard
    assert not store.waiting("south") and store.waiting("north"), "and the other gate's messages wait for the other gate"
    with closing(Ear(broker)) as ear:
        time.sleep(0.3)
        assert not [topic for topic, _, retained in ear.heard if retained], "nothing is retained"


@pytest.mark.broker
def test_its_sessions_go_too(broker: int, store: Store) -> None:
    former(configured(broker, "south"), store)
    waits = paho.Client(CallbackAPIVersion.VERSION2, "ostiary:acme:south:00-urgent", clean_session=False)
    waits.on_connect = lambda c, u, f, r, p: c.subscribe("ostiary/v1/acme/south/command/revoke", 1)
    subscribed: list[int] = []
    waits.on_subscribe = lambda c, u, mid, reasons, p: subscribed.append(mid)
    waits.connect("127.0.0.1", broker)
    waits.loop_start()
    deadline_s = time.monotonic() + 10
    while not subscribed and time.monotonic() < deadline_s:
        time.sleep(0.01)
    waits.disconnect()
    waits.loop_stop()
    gates = former(configured(broker, "north"), store)
    turn(gates, lambda: store.gates() == ["north"])
    flags: list[bool] = []
    again = paho.Client(CallbackAPIVersion.VERSION2, "ostiary:acme:south:00-urgent", clean_session=False)
    again.on_connect = lambda c, u, f, r, p: flags.append(f.session_present)
    again.connect("127.0.0.1", broker)
    again.loop_start()
    while not flags and time.monotonic() < deadline_s + 10:
        time.sleep(0.01)
    again.disconnect()
    again.loop_stop()
    assert flags == [False]


def test_a_broker_that_is_away_is_tried_again_and_nothing_is_lost(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    former(configured(9, "south"), store)
    with store.transaction():
        store.enqueue("south", "ostiary/v1/acme/south/result", b"{}")
    gates = former(configured(9, "north"), store, lambda: now_s)
    for _ in range(2):
        turn(gates, lambda: gates._tried is not None)
        turn(gates, lambda: gates._tried is None)
        assert store.gates() == ["north", "south"] and store.waiting("south")
        gates.tend()
        assert gates._tried is None, "not at once"
        now_s += AGAIN_S
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and "south is no longer configured" in said[0] and "ostiaryctl status --forget south" in said[0]


def test_a_gate_of_another_box_and_one_that_came_back_are_left_alone(store: Store) -> None:
    former(configured(9, "north", "south"), store)
    moved = Config(site="acme", gates={"north": GateConfig(source="x")}, other_gates=("south",))
    assert former(moved, store)._left == [] and store.gates() == ["north"]


def test_gates_from_before_there_was_such_a_memory_are_those_that_decided(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        with store.transaction():
            store.next_sequence("old"), store.next_sequence("north")
        assert former(configured(9, "north"), store)._left == ["old"]


NAMES = ["a", "a-b", "b", "north", "north-check", "acme", "acme-hq", "hq-north", "x.y", "_", "-", "a-"]


def test_client_ids_tell_all_gates_of_all_sites_apart() -> None:
    tag = new_tag()
    pairs = list(itertools.product(NAMES, NAMES))
    assert len({client_id(site, gate, tag) for site, gate in pairs}) == len(pairs)
    assert client_id("acme", "north", "0123") == "ostiary-acme-north-0123", "a box that has sessions under such ids keeps them"


def test_a_box_keeps_its_tag_and_a_new_one_has_a_colon(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        assert store.client_tag().startswith(":") and store.client_tag() == store.client_tag()
        with store.transaction():
            store.database.execute("UPDATE meta SET value = '0123456789abcdef' WHERE key = 'client'")
        assert client_id("acme", "north", store.client_tag()) == "ostiary-acme-north-0123456789abcdef"


@pytest.mark.broker
def test_with_the_shipped_acl(mosquitto_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The administrator may not write a status: the hint says who does. The gate's own login clears it when it leaves the configuration."""
    passwords = tmp_path / "passwords"
    passwords.mkdir()
    for gate in ("north", "south"):
        (passwords / gate).write_text(f"secret of gate-{gate}\n")
        (passwords / gate).chmod(0o600)
    (tmp_path / "admin").write_text("secret of admin\n")
    (tmp_path / "admin").chmod(0o600)
    (tmp_path / "state").mkdir(mode=0o700)
    with deployed(tmp_path) as broker, closing(open_store(tmp_path / "state")) as store:
        login = {"username": "gate-{gate}", "password_file": str(passwords / "{gate}")}
        former(configured(broker.port, "north", "south", **login), store)
        with closing(Ear(broker.port, TEST)) as ear:
            ear.client.publish("ostiary/v1/acme/south/status", encode(offline_status("1")), qos=1, retain=True).wait_for_publish(5)
        forget = ["--site", "acme", "--port", str(broker.port), "--username", "admin", "--password-file", str(tmp_path / "admin"), "status"]
        assert ctl.main([*forget, "--forget", "south", "--timeout", "3"]) == 1
        said = capsys.readouterr().err
        assert "refused to clear" in said and "gate's own login" in said
        turn(former(configured(broker.port, "north", **login), store), lambda: store.gates() == ["north"])
        assert ctl.main([*forget, "--timeout", "1"]) == 3, "no gate has a status"


@pytest.mark.broker
def test_ostiaryctl_forgets_a_gate_that_is_gone_and_no_other(broker: int, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--site", "acme", "--port", str(broker), "status"]
    with closing(Ear(broker)) as ear:
        ear.client.publish("ostiary/v1/acme/south/status", encode(offline_status("1")), qos=1, retain=True).wait_for_publish(5)
        assert ctl.main(common) == 1
        assert ctl.main([*common, "--forget", "south"]) == 0
        assert "cleared" in capsys.readouterr().out
        assert ctl.main([*common, "--forget", "south"]) == 1 and "nothing to forget" in capsys.readouterr().err
        assert ctl.main([*common, "--forget", "no/gate"]) == 2
        live = {**json.loads(encode(offline_status("1"))), "online": True, "state": "serving"}
        ear.client.publish("ostiary/v1/acme/north/status", json.dumps(live), qos=1, retain=True).wait_for_publish(5)
        assert ctl.main([*common, "--forget", "north"]) == 1 and "is online" in capsys.readouterr().err
