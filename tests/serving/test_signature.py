"""What a gate says is signed with the key of its box, from the first start on, and also when the gate is gone."""

import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.cli.check import check
from daemon.client.keys import read_signer
from daemon.commands.authority import Key
from daemon.config import load
from daemon.core import signing
from daemon.ctl import __main__ as ctl_main
from daemon.edges.store import Store, StoreError, open_store, rotate_key
from daemon.serving.signature import box_key, signer
from tests.conftest import ROOT
from tests.fixtures.asking import done
from tests.fixtures.desk import command
from tests.fixtures.engine_site import Site
from tests.fixtures.running import configure, ctl, daemon_running, ostiaryd, result
from tests.fixtures.signers import EVERY_OP, keyed_desk

STATUS = "ostiary/v1/hq/north/status"


def test_the_key_is_made_once_and_outlives_a_restart_and_another_key_of_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = signing.public_text(box_key(store))
    assert signing.public_text(box_key(store)) == first
    store.close()
    rotate_key(tmp_path)
    store = open_store(tmp_path)
    assert signing.public_text(box_key(store)) == first
    store.close()
    other = open_store(tmp_path / "other")
    assert signing.public_text(box_key(other)) != first
    other.close()


def test_the_secret_is_sealed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    secret = box_key(store).private_bytes_raw()
    store.close()
    assert secret not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_damaged_secret_signs_nothing_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = signing.public_text(box_key(store))
    store.close()
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        db.execute("UPDATE meta SET value = zeroblob(60) WHERE key = 'signing_key'")
    db.close()
    rotate_key(tmp_path)
    store = open_store(tmp_path)
    second = signing.public_text(box_key(store))
    assert second != first and signing.public_text(box_key(store)) == second
    store.close()


def test_while_the_disk_takes_nothing_a_key_serves_until_the_next_start(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full", "")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "put_signing_key", full)
        assert signing.public_text(box_key(store)) != signing.public_text(box_key(store))
    assert signing.public_text(box_key(store)) == signing.public_text(box_key(store))


def test_a_status_is_signed_for_its_topic_and_says_with_which_key(store: Store) -> None:
    key = box_key(store)
    site = Site(store, sign=signer(key), public_key=signing.public_text(key))
    site.turn()
    said = site.wire.sent[-1]
    assert said.topic == STATUS and list(json.loads(said.payload))[-1] == "sig"
    assert json.loads(said.payload)["public_key"] == signing.public_text(key) and json.loads(said.payload)["commands"] == "unsigned"
    assert signing.said_by(key.public_key(), STATUS, said.payload)
    assert not signing.said_by(key.public_key(), STATUS, said.payload.replace(b'"online":true', b'"online":null'))
    count = len(site.wire.sent)
    site.turn()
    assert len(site.wire.sent) == count, "a signature is no news"


# ---- a whole daemon


@contextmanager
def listening(port: int) -> Iterator[list[tuple[str, bytes]]]:
    """Every message of the site, in order; `wait` for the one that is meant."""
    heard: list[tuple[str, bytes]] = []
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _, __, message: heard.append((message.topic, bytes(message.payload)))
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("ostiary/v1/#", 1)
    assert ready.wait(5)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def wait_for(heard: list[tuple[str, bytes]], **fields: Any) -> tuple[str, bytes]:
    """The newest message with these fields, within ten seconds."""
    for _ in range(200):
        for topic, payload in reversed(heard):
            try:
                said = json.loads(payload)
            except ValueError:
                continue
            if all(said.get(name) == value for name, value in fields.items()):
                return topic, payload
        threading.Event().wait(0.05)
    raise AssertionError((fields, heard))


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    """A recording of an empty entrance."""
    folder = tmp_path / "dark"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((240, 320, 3), np.uint8))
    return folder


def keygen(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert ctl_main.main(["keygen", "--out", str(path)]) == 0
    return capsys.readouterr().out


@pytest.mark.broker
def test_the_flight_of_a_signed_command(tmp_path: Path, broker: int, dark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a key file to the answer, the audit chain and the status; and what others send meanwhile does nothing."""
    table = keygen(tmp_path / "hr-1.key", capsys)
    keygen(tmp_path / "stranger.key", capsys)
    config = configure(tmp_path, broker, dark, extra=table)
    with listening(broker) as heard:
        with daemon_running(config) as process:
            answer = result(ctl(config, "resume", "E9", "--key", tmp_path / "hr-1.key"))
            assert (answer["op"], answer["reason"], answer["key"]) == ("resume", "unknown_person", "hr-1")
            ((topic, envelope),) = [(topic, payload) for topic, payload in heard if "/command" in topic]
            assert topic == "ostiary/v1/test/north/command/enrolment" and signing.envelope(envelope) is not None
            assert result(ctl(config, "ping"))["reason"] == "unsigned"
            assert result(ctl(config, "ping", "--key", tmp_path / "stranger.key"))["reason"] == "unknown_key"
            assert result(ctl(config, "ping", "--key", tmp_path / "hr-1.key"))["status"] == "done"
            status = json.loads(wait_for(heard, online=True)[1])
            key = signing.public_key(status["public_key"])
            assert status["commands"] == "signed" and signing.said_by(key, *wait_for(heard, online=True))
            for said_on, payload in list(heard):
                if said_on.endswith("/status"):
                    assert signing.said_by(key, said_on, payload), payload
            shown = ctl(config, "status")
            assert status["public_key"] in shown.stdout
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            assert signing.said_by(key, *wait_for(heard, state="offline", reasons=["connection_lost"])), "the last will is signed too"
        with daemon_running(config) as process:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
            assert signing.said_by(key, *wait_for(heard, state="offline", reasons=["stopped"])), "and the farewell, with the same key"
    records = ostiaryd("audit", "--config", config).stdout
    assert "  key hr-1" in records, records
    found = {part: seen for part, _, seen in check(load(config))}
    assert found["commands"] == "signed by hr-1" and status["public_key"] in found["signing key"]


@pytest.mark.broker
def test_without_keys_commands_are_taken_and_the_status_says_so(tmp_path: Path, broker: int, dark: Path) -> None:
    config = configure(tmp_path, broker, dark)
    with daemon_running(config):
        answer = result(ctl(config, "ping"))
        assert answer["status"] == "done" and answer["key"] is None
        said = ctl(config, "status")
        assert json.loads(said.stdout)["commands"] == "unsigned" and json.loads(said.stdout)["state"] != "closed"
    found = {part: seen for part, _, seen in check(load(config))}
    assert "whoever may publish" in found["commands"]


def test_a_command_of_another_program_is_signed_as_the_readme_says(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keygen(tmp_path / "hr-1.key", capsys)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "daemon" / "README.md").read_text("utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    names: dict[str, Any] = {"topic": "ostiary/v1/hq/north/command", "command": json.loads(command("ping"))}
    exec(code, names)
    public = read_signer(tmp_path / "hr-1.key").key.public_key()
    the_desk = keyed_desk(store, {"hr-1": Key(public, EVERY_OP, gates=(), grants=frozenset(), rate=600.0)})
    assert done(the_desk, names["payload"].encode()).key == "hr-1"
