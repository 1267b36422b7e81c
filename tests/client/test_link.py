"""The lasting connection: answers, losses of the broker, who is believed, and what is refused."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.client.asked import NoAnswer
from daemon.client.broker import Address
from daemon.client.failures import USAGE, ClientError
from daemon.client.keys import believed
from daemon.client.link import Link
from daemon.client.said import Answered, GateStatus, LinkState, Odd, Said, Shared
from daemon.client.target import Target
from daemon.core import messages as m
from daemon.core import signing
from tests.fixtures.fake_gate import FakeGate, decision
from tests.fixtures.mosquitto import Mosquitto, free_port

pytestmark = pytest.mark.broker


def link(port: int, hear: Callable[[Said], None] | None = None, gate_keys: tuple[str, ...] = (), **more: Any) -> Link:
    to = Target(Address("127.0.0.1", port, "5"), "acme", "all")
    return Link(to, program="test", signer=None, gates=believed(gate_keys), hear=hear, **more)


def command(kind: Any = m.Ping, **more: Any) -> Any:
    now = datetime.now(UTC)
    return kind(command_id=uuid4(), issued_at=now, expires_at=now + timedelta(seconds=60), **more)


def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


@pytest.fixture
def north(broker: int) -> Iterator[FakeGate]:
    with FakeGate(broker) as gate:
        gate.status()
        yield gate


def test_every_gate_that_is_online_answers_and_one_can_be_asked_alone(broker: int, north: FakeGate) -> None:
    with FakeGate(broker, "south") as south, FakeGate(broker, "east") as east, link(broker) as site:
        south.status()
        east.status(online=False, state="offline")
        east.silent = True
        until(lambda: len(site.statuses()) == 3)
        assert [one.gate for one in site.ask(command()).result(10)] == ["north", "south"]
        assert [one.gate for one in site.ask(command(), "south").result(10)] == ["south"]
        assert len(south.commands) == 2 and len(north.commands) == 1


def test_commands_go_to_the_narrowest_topic_and_answers_to_others_are_heard(broker: int, north: FakeGate) -> None:
    heard: list[Said] = []
    with link(broker, heard.append) as site:
        until(lambda: site.state.connected)
        revoke = command(m.Revoke, person="E1")
        assert site.ask(revoke, "north").result(10)[0].result.command_id == str(revoke.command_id)
        assert north.heard_on == ["ostiary/v1/acme/north/command/revoke"]
        until(lambda: [one for one in heard if isinstance(one, Answered) and one.result.detail == "somebody else's"])
        assert [one for one in heard if isinstance(one, LinkState)][-1].connected


def test_what_the_gates_say_is_heard(broker: int, north: FakeGate) -> None:
    heard: queue.Queue[Said] = queue.Queue()
    with link(broker, heard.put, decisions=True, visitors=True) as site:
        until(lambda: site.state.connected)
        north.decide([decision()])
        north.say("decision", b'{"half": ')
        north.say("decision", decision(gate="south"))
        north.say("visitor/v1", b"sealed")
        north.say("visitor/v1", b"")
        north.say("status", b"", retain=True)
        said: list[Said] = []
        while GateStatus("north", None) not in said:
            said.append(heard.get(timeout=20))
    kinds = [type(one) for one in said if not isinstance(one, LinkState | GateStatus)]
    assert kinds == [m.DecisionMessage, Odd, Odd, Shared, Shared]
    assert [one.payload for one in said if isinstance(one, Shared)] == [b"sealed", b""]
    assert site.statuses() == {}


def test_only_the_gates_own_signature_counts(broker: int, north: FakeGate) -> None:
    key = Ed25519PrivateKey.generate()
    heard: list[Said] = []
    with link(broker, heard.append, (signing.public_text(key),)) as site:
        until(lambda: [one for one in heard if isinstance(one, Odd)])  # its status
        with pytest.raises(NoAnswer, match="signed with --gate-key"):
            site.ask(command(), "north", 0.5).result(10)
        north.key = key
        north.status()
        assert site.ask(command(), "north").result(10)


def test_a_silent_gate_is_named_and_the_others_answers_are_kept(broker: int, north: FakeGate) -> None:
    with FakeGate(broker, "south") as south, link(broker) as site:
        south.status()
        south.silent = True
        until(lambda: len(site.statuses()) == 2)
        with pytest.raises(NoAnswer, match="no answer from south in 1 s") as failed:
            site.ask(command(), timeout_s=1).result(10)
        assert [one.gate for one in failed.value.answers] == ["north"]


def test_a_revocation_that_a_gate_has_not_heard_of_is_not_done(broker: int, north: FakeGate) -> None:
    with link(broker) as site:
        with FakeGate(broker, "south") as south:
            south.status(online=False, state="offline")
            south.silent = True
        until(lambda: len(site.statuses()) == 2)
        with pytest.raises(NoAnswer, match="no answer from south: offline"):
            site.ask(command(m.Revoke, person="E1"), timeout_s=1).result(10)
        assert site.ask(command(), timeout_s=5).result(10)


def test_nothing_malformed_is_sent(broker: int, north: FakeGate) -> None:
    with link(broker) as site, pytest.raises(ClientError, match="not an employee number") as failed:
        site.ask(command(m.Get, person="A. Turing")).result(10)
    assert failed.value.code == USAGE
    assert not north.commands


def test_a_command_outlives_the_broker(own_broker: Callable[..., Mosquitto]) -> None:
    broker = own_broker("allow_anonymous true\n")
    with link(broker.port) as site:
        until(lambda: site.state.connected)
        waiting = site.ask(command(), "north", 30)
        time.sleep(0.5)
        broker.stop()
        until(lambda: not site.state.connected)
        assert site.state.trouble
        broker.start()
        with FakeGate(broker.port) as gate:
            gate.status()
            assert waiting.result(30)[0].gate == "north"


def test_without_a_broker_it_says_so() -> None:
    with link(free_port()) as site:
        with pytest.raises(ClientError, match="cannot be reached"):
            site.ask(command(), timeout_s=1.5).result(10)
        with pytest.raises(ClientError, match="cannot be reached"):
            site.publish("ostiary/v1/acme/north/visitor/v1", b"", retain=True).result(10)
        assert not site.state.connected


def test_why_the_broker_lets_nobody_in_is_not_lost_with_the_connection(own_broker: Callable[..., Mosquitto]) -> None:
    strict = own_broker("allow_anonymous false\n")
    with link(strict.port) as site:
        until(lambda: "refused the connection" in (site.state.trouble or ""))
        time.sleep(1.5)  # it is tried again meanwhile, and each time the broker ends the connection
        assert "refused the connection: Not authorized" in (site.state.trouble or "") and "username" in (site.state.hint or "")


def test_a_server_that_ends_every_connection_may_want_a_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def end_them() -> None:
            while not ended.is_set():
                server.accept()[0].close()

        threading.Thread(target=end_them, daemon=True).start()
        with link(server.getsockname()[1]) as site:
            until(lambda: "does not answer" in (site.state.trouble or ""))
            assert "cert_file" in (site.state.hint or "")
        ended.set()
        socket.create_connection(server.getsockname()).close()


def test_what_waits_at_the_end_is_told(broker: int) -> None:
    with link(broker) as site:
        waiting = site.ask(command(), "north", 60)
    with pytest.raises(ClientError, match="closed"):
        waiting.result(10)


def test_who_asks_at_the_end_or_later_is_told(broker: int) -> None:
    waiting: list[Any] = []
    with link(broker) as site:
        until(lambda: site.state.connected)
        asking = threading.Thread(target=lambda: waiting.extend(site.ask(command(), "north", 60) for _ in range(2000)))
        asking.start()
        until(lambda: len(waiting) > 20)
    asking.join()
    waiting.append(site.publish("ostiary/v1/acme/north/visitor/v1", b""))
    assert len(waiting) == 2001
    for one in waiting:
        with pytest.raises(ClientError, match="closed"):
            one.result(10)


def test_a_retained_message_is_cleared(broker: int, north: FakeGate) -> None:
    north.say("visitor/v1", b"sealed", retain=True).wait_for_publish(5)
    heard: list[Said] = []
    with link(broker, heard.append, visitors=True) as site:
        until(lambda: [one for one in heard if isinstance(one, Shared)])
        site.publish("ostiary/v1/acme/north/visitor/v1", b"", retain=True).result(10)
        until(lambda: [one for one in heard if isinstance(one, Shared) and not one.payload])
    heard.clear()
    with link(broker, heard.append, visitors=True) as site:
        until(lambda: site.statuses())
    assert not [one for one in heard if isinstance(one, Shared)]
