"""What a broker's answer to the connection (CONNACK) allows, and that the link keeps to it."""

import time

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from daemon.core.values import Link, Outgoing, Published
from daemon.edges.mqtt.connection import IN_FLIGHT
from daemon.edges.mqtt.limits import Limits, limits
from tests.fixtures.fake_broker import MAXIMUM_QOS, RECEIVE_MAXIMUM, RETAIN_AVAILABLE, FakeBroker
from tests.fixtures.link_ends import DECISION, STATUS, Engine, down, linked


def test_the_limits_are_those_of_the_connack() -> None:
    properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize, properties.ReceiveMaximum, properties.MaximumQoS, properties.RetainAvailable = 10_000, 9, 1, 0
    assert limits(properties) == Limits(packet_bytes=10_000, receive_maximum=9, maximum_qos=1, retain_available=False)


def test_a_broker_that_names_no_limits_has_the_ones_of_the_standard() -> None:
    nothing = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    assert limits(nothing) == limits(None) == Limits(packet_bytes=None, receive_maximum=65_535, maximum_qos=2, retain_available=True)


@pytest.mark.parametrize("receive_maximum", [1, 9])
def test_a_strict_broker_gets_no_more_unanswered_messages_than_its_receive_maximum(receive_maximum: int) -> None:
    engine = Engine()
    with FakeBroker({RECEIVE_MAXIMUM: receive_maximum}) as broker:
        broker.answers = False
        with linked(broker.port, engine) as link:
            assert all(link.publish(Outgoing(row, DECISION, b"%d" % row)) for row in range(1, 31))
            (session,) = broker.sessions
            broker.wait(lambda: len(session.unanswered) == receive_maximum)
            time.sleep(0.2)
            assert len(session.published) == receive_maximum
            while len(session.published) < 30:
                broker.answer(1)
                broker.wait(lambda: session.unanswered)
            broker.answer(receive_maximum)
            assert [engine.next(Published) for _ in range(30)] == [Published("north", row) for row in range(1, 31)]
            assert session.published == [b"%d" % row for row in range(1, 31)]
            assert session.most_unanswered == receive_maximum
            assert link.connected
        broker.wait(lambda: session.said_goodbye)


def test_a_broker_that_allows_more_gets_no_more_than_we_think_safe() -> None:
    engine = Engine()
    with FakeBroker({RECEIVE_MAXIMUM: 1000}) as broker:
        broker.answers = False
        with linked(broker.port, engine) as link:
            assert all(link.publish(Outgoing(row, DECISION, b"x")) for row in range(1, 31))
            time.sleep(0.2)
            assert broker.sessions[0].most_unanswered == IN_FLIGHT


def test_the_farewell_waits_for_its_place() -> None:
    engine = Engine()
    with FakeBroker({RECEIVE_MAXIMUM: 2}) as broker, linked(broker.port, engine) as link:
        for row in range(1, 6):
            assert link.publish(Outgoing(row, DECISION, b"x"))
        link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 5)
        (session,) = broker.sessions
        assert session.published[-1] == b"goodbye"
        assert session.most_unanswered <= 2
        broker.wait(lambda: session.said_goodbye)


@pytest.mark.parametrize(
    ("limit", "says"), [({MAXIMUM_QOS: 0}, "QoS 0 only"), ({RETAIN_AVAILABLE: 0}, "stores no retained messages")], ids=["QoS", "retain"]
)
def test_a_broker_that_cannot_serve_a_gate_is_told_apart(limit: dict[int, int], says: str) -> None:
    engine = Engine()
    with FakeBroker(limit) as broker, linked(broker.port, engine, wait=False) as link:
        assert says in engine.next(Link, where=down).detail
        assert not link.connected
        assert broker.sessions[0].published == []
