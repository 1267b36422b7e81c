"""Commands on their way from a real broker to the engine."""

import time

import pytest

from daemon.config import MqttConfig
from daemon.core.values import Delivery, Link
from tests.fixtures.fake_broker import FakeBroker
from tests.fixtures.link_ends import (
    COMMAND,
    Engine,
    Protocol,
    both_protocols,
    down,
    linked,
    office,
    say,
    up,
)
from tests.fixtures.tcp_proxy import TcpProxy


@pytest.mark.broker
@both_protocols
def test_a_command_arrives_and_is_not_seen_again_once_acknowledged(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker) as (client, _), linked(broker, engine, protocol) as link:
        say(client, b"\x00raw")
        say(client, b"all", "ostiary/v1/acme/all/command")
        say(client, b"other", "ostiary/v1/acme/south/command")
        first, second = engine.next(Delivery), engine.next(Delivery)
        assert (first.gate, first.topic, first.payload, first.retained) == ("north", COMMAND, b"\x00raw", False)
        assert type(first.payload) is bytes
        assert second.topic == "ostiary/v1/acme/all/command"
        link.acknowledge(first.receipt)
        link.acknowledge(second.receipt)
        assert engine.quiet() == []
    with linked(broker, engine, protocol):
        assert engine.quiet() == []


@pytest.mark.broker
@both_protocols
def test_an_unacknowledged_command_comes_again_and_old_receipts_do_nothing(broker: int, proxy: TcpProxy, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker) as (client, _), linked(proxy.port, engine, protocol) as link:
        say(client, b"one")
        old = engine.next(Delivery)
        proxy.cut()
        assert engine.next(Link).up is False
        again = engine.next(Delivery)
        assert again.payload == b"one"
        assert again.receipt != old.receipt
        link.acknowledge(old.receipt)  # must not be taken for an answer to the new delivery
        proxy.cut()
        third = engine.next(Delivery)
        assert third.payload == b"one"
        engine.next(Link, where=up)
        link.acknowledge(third.receipt)
        time.sleep(0.3)
        proxy.cut()
        engine.next(Link, where=up)
        assert engine.quiet() == []


@pytest.mark.broker
@both_protocols
def test_a_full_mailbox_loses_nothing_and_keeps_the_order(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker) as (client, _), linked(broker, engine, protocol) as link:
        engine.full = True
        for n in range(5):
            say(client, b"%d" % n)
        time.sleep(0.3)
        assert link.connected, "the link reads no further, and stays"
        engine.full = False
        got = []
        for _ in range(5):
            delivery = engine.next(Delivery)
            got.append(delivery.payload)
            link.acknowledge(delivery.receipt)
        assert got == [b"0", b"1", b"2", b"3", b"4"]


def test_while_the_engine_has_no_room_one_command_is_held_and_nothing_more_is_read() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        connection = link._connection
        assert connection is not None
        engine.full = True
        broker.deliver(COMMAND, b"0", 1)
        broker.wait(lambda: connection._held)
        for mid in range(2, 6):
            broker.deliver(COMMAND, b"%d" % (mid - 1), mid)
        time.sleep(0.3)
        assert len(connection._held) == 1
        engine.full = False
        assert [engine.next(Delivery).payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.broker
@both_protocols
def test_a_connection_that_reads_no_further_for_long_is_kept(broker: int, protocol: Protocol) -> None:
    """A photo may take a minute, and the keep-alive is 15 seconds."""
    engine = Engine()
    config = MqttConfig(port=broker, protocol=protocol, keepalive_s=1)
    with office(broker) as (client, _), linked(broker, engine, config=config) as link:
        time.sleep(0.9)  # about to check on the broker
        engine.full = True
        for n in range(300):
            say(client, b"%d" % n)
        time.sleep(4)
        assert link.connected
        for n in range(300):
            engine.full = False
            delivery = engine.next(Delivery)
            engine.full = n % 50 == 0
            assert delivery.payload == b"%d" % n
            time.sleep(1.5 if engine.full and n < 150 else 0)
            link.acknowledge(delivery.receipt)
        time.sleep(3)
        assert link.connected
        assert not [news for news in engine.mail.queue if isinstance(news, Link)], "it was one connection all the time"


@pytest.mark.broker
def test_a_broker_that_freezes_while_nothing_is_read_is_noticed_afterwards(broker: int, proxy: TcpProxy) -> None:
    engine = Engine()
    with office(broker) as (client, _), linked(proxy.port, engine, config=MqttConfig(port=proxy.port, keepalive_s=1)):
        engine.full = True
        for n in range(3):
            say(client, b"%d" % n)
        time.sleep(0.5)
        proxy.freeze()
        time.sleep(2)
        engine.full = False
        assert not engine.next(Link, where=down, timeout_s=6).up


@pytest.mark.broker
def test_an_exception_in_the_engines_code_does_not_silence_the_link(broker: int, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()
    engine.faults = 1
    with office(broker) as (client, _), linked(broker, engine) as link:
        say(client, b"one")
        lost = engine.next(Link, where=down)
        assert "RuntimeError" in lost.detail
        engine.next(Link, where=up)
        delivery = engine.next(Delivery)
        assert delivery.payload == b"one"
        assert link.is_alive()
        link.acknowledge(delivery.receipt)
        say(client, b"two")
        assert engine.next(Delivery).payload == b"two"
    assert "a fault in the engine's code" in caplog.text


@pytest.mark.broker
def test_retained_commands_are_marked(broker: int) -> None:
    engine = Engine()
    with office(broker) as (client, _):
        say(client, b"early", retain=True)
        with linked(broker, engine, "5") as link:
            assert engine.quiet() == []  # retain handling 2
            say(client, b"live", retain=True)
            delivery = engine.next(Delivery)
            assert delivery.retained  # retain as published
            link.acknowledge(delivery.receipt)
        with linked(broker, engine, "3.1.1"):
            assert engine.next(Delivery).retained
        say(client, b"", retain=True)


@pytest.mark.broker
@both_protocols
def test_ten_megabytes_arrive_and_larger_ones_do_not_break_the_line(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker) as (client, _), linked(broker, engine, protocol) as link:
        say(client, b"x" * 10_000_000)
        delivery = engine.next(Delivery)
        assert len(delivery.payload) == 10_000_000
        link.acknowledge(delivery.receipt)
        if protocol == "5":
            say(client, b"x" * 20_000_000)  # above the maximum packet size: the broker keeps it to itself
        say(client, b"small")
        assert engine.next(Delivery).payload == b"small"


@pytest.mark.broker
def test_no_more_commands_than_the_receive_maximum_are_sent_ahead(broker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.edges.mqtt.client.RECEIVE_MAXIMUM", 5)  # below mosquitto's own limit
    engine = Engine()
    with office(broker) as (client, _), linked(broker, engine) as link:
        for n in range(12):
            say(client, b"%d" % n)
        assert len(engine.quiet()) == 5
        for n in range(12):
            delivery = engine.next(Delivery)
            assert delivery.payload == b"%d" % n
            link.acknowledge(delivery.receipt)


@pytest.mark.broker
@both_protocols
def test_without_a_session_no_command_waits(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    config = MqttConfig(port=broker, protocol=protocol, session_expiry_s=0)
    with office(broker) as (client, _):
        with linked(broker, engine, config=config):
            pass
        say(client, b"unheard")
        with linked(broker, engine, config=config):
            assert engine.quiet() == []
