"""One connection gives way to the next: what is left of the old one does nothing, and no thread gets in another's way."""

import queue
import threading
import time
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.core.values import Delivery, Link, Outgoing, Published
from daemon.edges.mqtt.connection import State
from tests.fixtures.fake_broker import FakeBroker
from tests.fixtures.link_ends import COMMAND, DECISION, Engine, Protocol, both_protocols, down, linked, office, say, up
from tests.fixtures.tcp_proxy import TcpProxy


def test_late_callbacks_of_an_old_connection_are_ignored() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        broker.answers = False
        assert link.publish(Outgoing(1, DECISION, b"x"))
        broker.wait(lambda: broker.sessions[0].unanswered)
        old = link._connection
        assert old is not None
        (mid,) = old._in_flight
        broker.cut()
        engine.next(Link, where=down)
        engine.next(Link, where=up)
        new = link._connection
        assert new is not None and new is not old
        assert link.publish(Outgoing(2, DECISION, b"y"))
        broker.wait(lambda: broker.sessions[1].unanswered)

        nothing = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
        good, granted = ReasonCode(PacketTypes.CONNACK), ReasonCode(PacketTypes.SUBACK, identifier=1)
        client = paho.Client(CallbackAPIVersion.VERSION2)
        command = paho.MQTTMessage(7, COMMAND.encode())
        command.qos, command.payload = 1, b"late"
        old._on_message(client, None, command)
        old._on_publish(client, None, mid, good, nothing)
        old._on_connect(client, None, paho.ConnectFlags(False), good, nothing)
        old._on_subscribe(client, None, old._subscription or 0, [granted] * 6, nothing)
        old._on_disconnect(client, None, paho.DisconnectFlags(True), good, nothing)
        old.drop("too late")

        assert not old.up
        assert old._state is State.STOPPED
        assert not old.offer(Outgoing(3, DECISION, b"z"))
        assert engine.quiet(0.2) == []
        assert engine.mail.empty()
        assert link.connected
        assert link._connection is new
        broker.answer(1)
        assert engine.next(Published) == Published("north", 2, None)


def test_what_an_old_connection_still_has_is_not_sent_on_the_new_one() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        broker.deliver(COMMAND, b"one", 11)
        first = engine.next(Delivery)
        old = link._connection
        assert old is not None
        broker.cut()
        engine.next(Link, where=down)
        old.acknowledge(11, 1)
        link.acknowledge(first.receipt)  # between two connections
        engine.next(Link, where=up)
        link.acknowledge(first.receipt)
        broker.deliver(COMMAND, b"one", 12)
        link.acknowledge(engine.next(Delivery).receipt)
        broker.wait(lambda: broker.sessions[-1].acknowledged)
        assert [session.acknowledged for session in broker.sessions] == [[], [12]]


@pytest.mark.broker
@both_protocols
def test_acknowledging_while_connections_end_loses_nothing_and_raises_nothing(broker: int, proxy: TcpProxy, protocol: Protocol) -> None:
    engine = Engine()
    got: set[bytes] = set()
    errors: list[BaseException] = []
    over = threading.Event()

    def acknowledge() -> None:
        """The engine: takes every delivery, and acknowledges each one twice, old ones too."""
        old: list[Delivery] = []
        try:
            while not over.is_set():
                try:
                    delivery = engine.next(Delivery, 0.05)
                except queue.Empty:
                    continue
                got.add(delivery.payload)
                old.append(delivery)
                for one in old[-5:]:
                    link.acknowledge(one.receipt)
                link.publish(Outgoing(len(old), DECISION, b"x" * 1000))
        except BaseException as error:
            errors.append(error)
            raise

    with office(broker) as (client, _), linked(proxy.port, engine, protocol) as link:
        worker = threading.Thread(target=acknowledge, daemon=True)
        worker.start()
        try:
            for n in range(60):
                say(client, b"%d" % n)
                if n % 4 == 3 and n < 50:
                    proxy.cut()
            deadline_s = time.monotonic() + 20
            while len(got) < 60 and time.monotonic() < deadline_s:
                time.sleep(0.02)
            time.sleep(0.5)  # the last acknowledgements
        finally:
            over.set()
            worker.join(5)
        assert not worker.is_alive()
        assert errors == []
        assert got == {b"%d" % n for n in range(60)}
        assert link.is_alive()
    engine.mail = queue.Queue()
    with linked(broker, engine, protocol):
        assert engine.quiet() == []  # every command was acknowledged on the connection it came on


def test_only_the_network_thread_uses_paho(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, str]] = set()

    def watch(name: str) -> None:
        real = getattr(paho.Client, name)

        def noted(client: paho.Client, *args: Any, **options: Any) -> Any:
            seen.add((name, threading.current_thread().name))
            return real(client, *args, **options)

        monkeypatch.setattr(paho.Client, name, noted)

    used = ("__init__", "reconnect", "subscribe", "publish", "ack", "disconnect", "loop_read", "loop_write", "loop_misc", "reinitialise")
    for name in used:
        watch(name)
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        broker.deliver(COMMAND, b"one", 1)
        link.acknowledge(engine.next(Delivery).receipt)
        assert link.publish(Outgoing(1, DECISION, b"x"))
        engine.next(Published)
        broker.cut()
        engine.next(Link, where=down)
        engine.next(Link, where=up)
        link.stop(Outgoing(0, DECISION, b"goodbye"), 5)
    assert seen == {(name, "mqtt-north-out") for name in used}


def test_the_engine_is_up_only_once_it_has_heard_of_it() -> None:
    engine = Engine()
    engine.full = True
    with FakeBroker() as broker, linked(broker.port, engine, wait=False) as link:
        broker.wait(lambda: link._connection is not None and link._connection._state is State.SUBSCRIBED)
        assert not link.publish(Outgoing(1, DECISION, b"x"))
        assert not link.connected
        engine.full = False
        assert not link.publish(Outgoing(1, DECISION, b"x"))  # wakes the link, which offers the news again
        engine.next(Link, where=up)
        assert link.connected
