"""Coming up, staying up and coming up again, with brokers and networks that misbehave."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config import MqttConfig
from daemon.core.values import Link, Outgoing, Published
from tests.fixtures.fake_broker import FakeBroker
from tests.fixtures.link_ends import (
    COMMAND,
    DECISION,
    Engine,
    Protocol,
    both_protocols,
    down,
    linked,
    up,
)
from tests.fixtures.mosquitto import Mosquitto, free_port
from tests.fixtures.tcp_proxy import TcpProxy


@pytest.mark.broker
@both_protocols
def test_a_network_that_swallows_everything_is_noticed(broker: int, proxy: TcpProxy, protocol: Protocol) -> None:
    engine = Engine()
    with linked(proxy.port, engine, config=MqttConfig(port=proxy.port, protocol=protocol, keepalive_s=1)) as link:
        proxy.freeze()
        engine.next(Link, where=down)
        proxy.freeze(False)
        engine.next(Link, where=up)
        assert link.publish(Outgoing(1, DECISION, b"x"))
        assert engine.next(Published).row == 1


@pytest.mark.broker
def test_a_broker_that_is_away_is_waited_for(own_broker: Callable[..., Mosquitto]) -> None:
    engine = Engine()
    port = free_port()
    with linked(port, engine, wait=False) as link:
        assert "cannot reach the broker" in engine.next(Link, where=down).detail
        assert not link.connected
        assert link.is_alive()
        own_broker(port=port)
        engine.next(Link, where=up)
        assert link.connected


@pytest.mark.broker
def test_a_wrong_password_says_where_to_look(tmp_path: Path, own_broker: Callable[..., Mosquitto]) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    engine = Engine()
    port = own_broker(f"allow_anonymous false\npassword_file {passwords}\n").port
    with linked(port, engine, wait=False, config=MqttConfig(port=port, username="ostiary"), password="wrong"):
        assert "mqtt.password_file" in engine.next(Link, where=down).detail


def test_a_refused_subscription_says_what_to_do() -> None:
    """mosquitto's ACL file refuses no subscriptions; other brokers do."""
    engine = Engine()
    with FakeBroker(granted=b"\x87" + b"\x01" * 5) as broker, linked(broker.port, engine, wait=False) as link:
        detail = engine.next(Link).detail
        assert COMMAND in detail
        assert "Not authorized" in detail
        assert "ACL" in detail
        assert not link.connected
        assert not link.publish(Outgoing(1, DECISION, b"x"))


def test_a_connection_that_never_lasts_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.edges.mqtt.backoff.SHORTEST_S", 1.0)
    engine = Engine()
    with FakeBroker(hangs_up=True) as broker, linked(broker.port, engine, wait=False):
        broker.wait(lambda: len(broker.sessions) >= 3, 15)
        assert 'mqtt.protocol = "3.1.1"' in engine.next(Link, where=down).detail
    first, second, third = [session.began_s for session in broker.sessions[:3]]
    assert 0.8 < second - first < 1.6
    assert 1.8 < third - second < 4.5


@pytest.mark.broker
def test_a_second_daemon_for_the_same_gate_is_named(broker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.edges.mqtt.backoff.STEADY_S", 30.0)
    first, second = Engine(), Engine()
    with linked(broker, first), linked(broker, second):
        first.next(Link, 20, where=lambda link: "another client may be using the id ostiary-north" in link.detail)
