"""The connection to the broker, against a real mosquitto and against brokers that misbehave."""

import dataclasses
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.config import ConfigError, MqttConfig
from daemon.core.values import Delivery, Link, Outgoing, Published
from daemon.edges import mqtt
from daemon.edges.mqtt import MqttLink
from tests.fixtures.mosquitto import Mosquitto, free_port, make_certificates
from tests.fixtures.tcp_proxy import TcpProxy

COMMAND = "ostiary/v1/acme/north/command"
DECISION = "ostiary/v1/acme/north/decision"
STATUS = "ostiary/v1/acme/north/status"
OFFLINE = b'{"online":false}'
Protocol = Literal["5", "3.1.1"]
both = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


class Engine:
    """The other end of `deliver`: keeps what came, and can be full or faulty."""

    def __init__(self) -> None:
        self.mail: queue.Queue[Delivery | Published | Link] = queue.Queue()
        self.full = False
        self.faults = 0

    def deliver(self, news: Delivery | Published | Link) -> bool:
        if isinstance(news, Delivery) and self.faults:
            self.faults -= 1
            raise RuntimeError("a fault in the engine's code")
        if self.full:
            return False
        self.mail.put(news)
        return True

    def next(self, kind: type[Any], timeout_s: float = 10.0, where: Callable[[Any], bool] = lambda news: True) -> Any:
        """The next news of a kind. News of other kinds stay, because their order among each other is the broker's business."""
        deadline = time.monotonic() + timeout_s
        others = []
        try:
            while True:
                news = self.mail.get(timeout=max(0.01, deadline - time.monotonic()))
                if not isinstance(news, kind):
                    others.append(news)
                elif where(news):
                    return news
        finally:
            with self.mail.mutex:
                self.mail.queue.extendleft(reversed(others))

    def quiet(self, seconds: float = 0.4) -> list[Delivery]:
        """Deliveries that came although none was expected."""
        time.sleep(seconds)
        return [n for n in list(self.mail.queue) if isinstance(n, Delivery)]


def up(link: Link) -> bool:
    return link.up


def down(link: Link) -> bool:
    return not link.up


@contextmanager
def linked(
    port: int, engine: Engine, protocol: Protocol = "5", *, wait: bool = True, config: MqttConfig | None = None, password: str | None = None
) -> Iterator[MqttLink]:
    link = MqttLink(
        config or MqttConfig(port=port, protocol=protocol, keepalive_s=5),
        site="acme",
        gate="north",
        client_id="ostiary-north",
        password=password,
        offline=OFFLINE,
        deliver=engine.deliver,
    )
    link.start()
    try:
        if wait:
            engine.next(Link, where=up)
        yield link
    finally:
        link.stop(None, 1.0)


@contextmanager
def office(port: int, *topics: str) -> Iterator[tuple[paho.Client, "queue.Queue[paho.MQTTMessage]"]]:
    """Somebody else at the broker, subscribed to `topics`."""
    inbox: queue.Queue[paho.MQTTMessage] = queue.Queue()
    ready: queue.Queue[bool] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, "office", protocol=paho.MQTTv5)
    client.on_message = lambda c, u, message: inbox.put(message)
    client.on_subscribe = lambda c, u, mid, reasons, properties: ready.put(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for name in topics:
        client.subscribe(name, 1)
        ready.get(timeout=5)
    try:
        yield client, inbox
    finally:
        client.disconnect()
        client.loop_stop()


def say(client: paho.Client, payload: bytes, topic: str = COMMAND, retain: bool = False, qos: int = 1) -> None:
    client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the real wait for the next connection, which no connection that a test breaks makes longer."""
    monkeypatch.setattr(mqtt, "_SHORTEST_RETRY_S", 0.1)
    monkeypatch.setattr(mqtt, "_STEADY_S", 0.0)


@pytest.fixture
def proxy(broker: int) -> Iterator[TcpProxy]:
    made = TcpProxy(broker)
    yield made
    made.close()


@pytest.fixture
def own_broker(tmp_path: Path, broker: int) -> Iterator[Callable[..., Mosquitto]]:
    """Makes brokers with options of the test's own (`broker` is asked for its skip)."""
    made: list[Mosquitto] = []

    def make(options: str = "allow_anonymous true\n", **rest: Any) -> Mosquitto:
        made.append(Mosquitto(tmp_path, options, **rest))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


# ---- commands in


@pytest.mark.broker
@both
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
@both
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
@both
def test_a_full_mailbox_loses_nothing_and_keeps_the_order(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker) as (client, _), linked(broker, engine, protocol) as link:
        engine.full = True
        for n in range(5):
            say(client, b"%d" % n)
        time.sleep(0.3)
        assert not link.connected
        engine.full = False
        got = []
        for _ in range(5):
            delivery = engine.next(Delivery)
            got.append(delivery.payload)
            link.acknowledge(delivery.receipt)
        assert got == [b"0", b"1", b"2", b"3", b"4"]


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
@both
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
    monkeypatch.setattr(mqtt, "RECEIVE_MAXIMUM", 5)  # below mosquitto's own limit
    engine = Engine()
    with office(broker) as (client, _), linked(broker, engine) as link:
        for n in range(12):
            say(client, b"%d" % n)
        assert len(engine.quiet()) == 5
        for n in range(12):
            delivery = engine.next(Delivery)
            assert delivery.payload == b"%d" % n
            link.acknowledge(delivery.receipt)


# ---- messages out


@pytest.mark.broker
@both
def test_published_follows_the_brokers_answer(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker, DECISION) as (_, inbox), linked(broker, engine, protocol) as link:
        assert link.publish(Outgoing(7, DECISION, b'{"n":7}', expiry_s=3))
        assert engine.next(Published) == Published("north", 7, None)
        message = inbox.get(timeout=5)
        assert (message.payload, message.qos, message.retain) == (b'{"n":7}', 1, False)
        expiry = getattr(message.properties, "MessageExpiryInterval", None)
        assert expiry == (3 if protocol == "5" else None)


@pytest.mark.broker
def test_a_burst_is_taken_as_far_as_the_window_goes_and_answered_in_full(broker: int) -> None:
    engine = Engine()
    with linked(broker, engine) as link:
        row, refused, answered = 1, 0, set()
        while row <= 300:
            if link.publish(Outgoing(row, DECISION, b"x" * 2000)):
                row += 1
            else:
                refused += 1
                answered.add(engine.next(Published).row)
        while len(answered) < 300:
            answered.add(engine.next(Published).row)
        assert answered == set(range(1, 301))
        assert refused > 0


@pytest.mark.broker
def test_a_refusal_by_the_acl_is_reported(tmp_path: Path, own_broker: Callable[..., Mosquitto]) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic read {COMMAND}\ntopic write {STATUS}\n")
    engine = Engine()
    with linked(own_broker(f"allow_anonymous true\nacl_file {acl}\n").port, engine) as link:
        link.publish(Outgoing(1, DECISION, b"no"))
        assert engine.next(Published) == Published("north", 1, "Not authorized")
        link.publish(Outgoing(2, STATUS, b"yes"))
        assert engine.next(Published).error is None


@pytest.mark.broker
def test_a_message_the_broker_would_not_take_is_answered_at_once(own_broker: Callable[..., Mosquitto]) -> None:
    engine = Engine()
    broker = own_broker("allow_anonymous true\nmax_packet_size 10000\n")
    with linked(broker.port, engine) as link:
        assert link.publish(Outgoing(1, DECISION, b"x" * 20_000))
        assert "too large" in (engine.next(Published).error or "")
        assert link.connected


@pytest.mark.broker
@both
def test_the_link_survives_a_restart_of_the_broker_and_so_do_commands(own_broker: Callable[..., Mosquitto], protocol: Protocol) -> None:
    engine = Engine()
    broker = own_broker(persistent=True)
    with linked(broker.port, engine, protocol) as link:
        with office(broker.port) as (client, _):
            say(client, b"before")
            assert engine.next(Delivery).payload == b"before"  # not acknowledged
        broker.stop()
        engine.next(Link, where=down)
        assert not link.publish(Outgoing(1, DECISION, b"x"))
        broker.start()
        again = engine.next(Delivery, 20)
        assert again.payload == b"before"
        link.acknowledge(again.receipt)
        if not link.connected:
            engine.next(Link, where=up)
        assert link.publish(Outgoing(1, DECISION, b"x"))
        assert engine.next(Published).row == 1


@pytest.mark.broker
def test_what_was_in_flight_is_not_sent_again_behind_the_outboxs_back(broker: int, proxy: TcpProxy) -> None:
    engine = Engine()
    with office(broker, DECISION) as (_, inbox), linked(proxy.port, engine) as link:
        proxy.freeze()
        assert link.publish(Outgoing(1, DECISION, b"lost on the way"))
        proxy.cut()
        engine.next(Link, where=down)
        proxy.freeze(False)
        engine.next(Link, where=up)
        with pytest.raises(queue.Empty):
            inbox.get(timeout=0.5)
        assert link.publish(Outgoing(1, DECISION, b"offered again"))
        assert inbox.get(timeout=5).payload == b"offered again"
        assert engine.next(Published).row == 1


# ---- coming and going


@pytest.mark.broker
@both
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
    """mosquitto's ACL file refuses no subscriptions, other brokers do: a broker of 20 lines that says so."""
    engine = Engine()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x20\x03\x00\x00\x00")
                subscribe = connection.recv(4096)
                connection.sendall(b"\x90\x05" + subscribe[2:4] + b"\x00\x87\x01")
                connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        with linked(server.getsockname()[1], engine, wait=False) as link:
            detail = engine.next(Link).detail
            assert COMMAND in detail
            assert "Not authorized" in detail
            assert "ACL" in detail
            assert not link.connected
            assert not link.publish(Outgoing(1, DECISION, b"x"))
        thread.join(5)


def test_a_connection_that_never_lasts_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_SHORTEST_RETRY_S", 1)
    engine = Engine()
    times: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                times.append(time.monotonic())
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with linked(server.getsockname()[1], engine, wait=False):
            thread.join(15)
            assert 'mqtt.protocol = "3.1.1"' in engine.next(Link, where=down).detail
    assert 0.8 < times[1] - times[0] < 1.6
    assert 1.8 < times[2] - times[1] < 4.5


@pytest.mark.broker
def test_a_second_daemon_for_the_same_gate_is_named(broker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_STEADY_S", 30.0)
    first, second = Engine(), Engine()
    with linked(broker, first), linked(broker, second):
        first.next(Link, 20, where=lambda link: "a second daemon perhaps, use the id ostiary-north" in link.detail)


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
@both
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
@both
def test_without_a_session_no_command_waits(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    config = MqttConfig(port=broker, protocol=protocol, session_expiry_s=0)
    with office(broker) as (client, _):
        with linked(broker, engine, config=config):
            pass
        say(client, b"unheard")
        with linked(broker, engine, config=config):
            assert engine.quiet() == []


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


def test_stop_is_quick_when_there_is_no_broker() -> None:
    engine = Engine()
    begun = time.monotonic()
    with linked(free_port(), engine, wait=False):
        pass
    assert time.monotonic() - begun < 2


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho leaves a socket to the collector when the handshake fails
@both
def test_over_tls_with_a_certificate_of_its_own(tmp_path: Path, own_broker: Callable[..., Mosquitto], protocol: Protocol) -> None:
    files = make_certificates(tmp_path)
    options = f"allow_anonymous true\ncafile {files.ca}\ncertfile {files.server}\nkeyfile {files.server_key}\nrequire_certificate true\n"
    broker = own_broker(options)
    good = MqttConfig(
        port=broker.port, protocol=protocol, ca_file=str(files.ca), cert_file=str(files.client), key_file=str(files.client_key)
    )
    engine = Engine()
    with linked(broker.port, engine, config=good) as link:
        assert link.publish(Outgoing(1, DECISION, b"x" * 300_000))
        assert engine.next(Published).row == 1
        link._drop("a cut within TLS")
        assert engine.next(Link, where=down).detail == "a cut within TLS"
        engine.next(Link, where=up)
        link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 2)
    with linked(broker.port, engine, wait=False, config=dataclasses.replace(good, ca_file=str(files.other_ca))):
        assert "certificate verify failed" in engine.next(Link, where=lambda link: "cannot reach" in link.detail).detail


def test_a_missing_ca_file_is_a_configuration_error() -> None:
    config = MqttConfig(ca_file="/nowhere/ca.pem")
    with pytest.raises(ConfigError, match=r"/nowhere/ca\.pem"):
        MqttLink(config, site="acme", gate="north", client_id="n", password=None, offline=OFFLINE, deliver=lambda news: True)


@pytest.mark.broker
def test_news_that_found_no_room_comes_later(broker: int) -> None:
    engine = Engine()
    with linked(broker, engine) as link:
        engine.full = True
        link.publish(Outgoing(1, DECISION, b"x"))
        time.sleep(0.3)
        assert engine.mail.empty()
        engine.full = False
        link.publish(Outgoing(2, DECISION, b"x"))
        assert [engine.next(Published).row, engine.next(Published).row] == [1, 2]
