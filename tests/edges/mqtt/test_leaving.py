"""The end of a link: the farewell, the last will, and how long it takes."""

import json
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from daemon.core.values import Outgoing
from tests.fixtures.fake_broker import FakeBroker
from tests.fixtures.link_ends import (
    DECISION,
    OFFLINE,
    STATUS,
    Engine,
    Protocol,
    both_protocols,
    linked,
    office,
)
from tests.fixtures.mosquitto import Mosquitto, free_port


@pytest.mark.broker
def test_the_last_will_speaks_for_a_killed_daemon(broker: int) -> None:
    code = f"""
import time
from daemon.config import MqttConfig
from daemon.core.values import Outgoing
from daemon.edges.mqtt import MqttLink
link = MqttLink(MqttConfig(port={broker}), site="acme", gate="north", client_id="k", password=None, offline={OFFLINE!r}, deliver=bool)
link.start()
while not link.publish(Outgoing(0, {STATUS!r}, b"online", retain=True)):
    time.sleep(0.02)
time.sleep(60)
"""
    with office(broker, STATUS) as (_, inbox):
        process = subprocess.Popen([sys.executable, "-c", code])
        try:
            assert inbox.get(timeout=15).payload == b"online"
        finally:
            process.kill()
            process.wait()
        assert json.loads(inbox.get(timeout=5).payload) == {"online": False}


@pytest.mark.broker
@both_protocols
def test_stop_says_farewell_and_the_last_will_stays_silent(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker, STATUS) as (_, inbox):
        with linked(broker, engine, protocol) as link:
            link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 5)
            assert inbox.get(timeout=5).payload == b"goodbye"
            assert not link.is_alive()
            assert not link.publish(Outgoing(1, DECISION, b"x"))
        with linked(broker, engine, protocol):
            pass
        with pytest.raises(queue.Empty):
            inbox.get(timeout=0.5)


@pytest.mark.broker
def test_stop_is_bounded_when_the_broker_is_frozen(own_broker: Callable[..., Mosquitto]) -> None:
    engine = Engine()
    broker = own_broker()
    with linked(broker.port, engine) as link:
        broker.signal(signal.SIGSTOP)
        for row in range(1, 60):
            link.publish(Outgoing(row, DECISION, b"x" * 1_000_000))  # more than any socket buffer holds
        begun = time.monotonic()
        link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 1.0)
        assert time.monotonic() - begun < 3
        assert not link.is_alive()
        broker.signal(signal.SIGCONT)
        with office(broker.port, STATUS) as (_, inbox):
            assert inbox.get(timeout=10).payload == OFFLINE  # nobody said goodbye, so the will spoke


def test_a_farewell_without_an_answer_is_left_to_the_last_will() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        broker.answers = False
        link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 0.3)
        (session,) = broker.sessions
        broker.wait(lambda: session.is_over)
        assert session.published == [b"goodbye"]
        assert not session.said_goodbye


def test_stop_is_quick_when_there_is_no_broker() -> None:
    engine = Engine()
    begun = time.monotonic()
    with linked(free_port(), engine, wait=False):
        pass
    assert time.monotonic() - begun < 2
