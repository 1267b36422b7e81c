"""Messages on their way from the outbox to the broker, and its answers."""

import queue
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.core.values import Delivery, Link, Outgoing, Published
from tests.fixtures.link_ends import (
    COMMAND,
    DECISION,
    STATUS,
    Engine,
    Protocol,
    both_protocols,
    down,
    linked,
    office,
    say,
    up,
)
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.tcp_proxy import TcpProxy


@pytest.mark.broker
@both_protocols
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
@both_protocols
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
