"""A gate's three connections: a flood on one does not hold up the others."""

import time
from collections.abc import Callable

import pytest

from daemon.config import MqttConfig
from daemon.core.messages import topic
from daemon.core.values import Delivery, Link, Outgoing, Published
from daemon.edges.mqtt import Lanes
from tests.fixtures.link_ends import COMMAND, DECISION, OFFLINE, STATUS, Engine, office, say
from tests.fixtures.mosquitto import Mosquitto


class Busy(Engine):
    """Has no room for ordinary commands."""

    def deliver(self, news: Delivery | Published | Link) -> bool:
        if isinstance(news, Delivery) and news.topic == COMMAND and self.full:
            return False
        self.mail.put(news)
        return True


@pytest.mark.broker
def test_a_flood_of_commands_stops_neither_revocations_nor_what_the_gate_says(own_broker: Callable[..., Mosquitto]) -> None:
    engine = Busy()
    engine.full = True
    broker = own_broker("allow_anonymous true\nmax_queued_messages 5000\n").port  # above 1,000, mosquitto's default, it drops
    lanes = Lanes(
        MqttConfig(port=broker), site="acme", gate="north", client_id="ostiary-x", password=None, offline=OFFLINE, deliver=engine.deliver
    )  # fmt: skip
    with office(broker, DECISION) as (client, inbox):
        lanes.start()
        try:
            assert sorted(engine.next(Link).name for _ in range(3)) == ["commands", "out", "urgent"]
            assert lanes.ready and lanes.is_alive()
            sent = [client.publish(COMMAND, b"%d" % number * 50, qos=1) for number in range(1500)]
            sent[-1].wait_for_publish(20)
            say(client, b"revoke", topic("acme", "north", "command/revoke"))
            urgent = engine.next(Delivery)
            assert urgent.payload == b"revoke"
            lanes.acknowledge(urgent.receipt)
            assert lanes.publish(Outgoing(1, DECISION, b"x", live_until_s=time.monotonic() + 3))
            assert inbox.get(timeout=5).payload == b"x"
            assert engine.next(Published) == Published("north", 1)
            engine.full = False
            for number in range(1500):
                delivery = engine.next(Delivery)
                assert delivery.payload == b"%d" % number * 50, "in order, each once, over one connection"
                lanes.acknowledge(delivery.receipt)
            assert not [news for news in list(engine.mail.queue) if isinstance(news, Link)]
        finally:
            lanes.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 2.0)
    assert not lanes.is_alive()


@pytest.mark.broker
def test_a_broker_that_forgot_the_session_is_noticed(own_broker: Callable[..., Mosquitto]) -> None:
    engine = Engine()
    broker = own_broker()
    lanes = Lanes(
        MqttConfig(port=broker.port), site="acme", gate="north", client_id="ostiary-x", password=None, offline=OFFLINE,
        deliver=engine.deliver,
    )  # fmt: skip
    lanes.start()
    try:
        assert all(engine.next(Link).incident is None for _ in range(3))
        broker.stop()
        broker.start()
        found = [engine.next(Link, 20, where=lambda link: link.up) for _ in range(3)]
        assert {link.name: link.incident for link in found} == {"out": None, "commands": "session_lost", "urgent": "session_lost"}
    finally:
        lanes.stop(None, 1.0)
