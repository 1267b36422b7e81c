"""What says that it is live leaves only towards a broker that answers, and before everything else."""

import time

import pytest

from daemon.core.values import Outgoing, Published
from daemon.edges.mqtt.connection import ANSWER_S
from tests.fixtures.fake_broker import FakeBroker
from tests.fixtures.link_ends import DECISION, STATUS, Engine, Protocol, both_protocols, linked, office


def live(row: int, for_s: float = 3.0) -> Outgoing:
    return Outgoing(row, DECISION, b"live %d" % row, live_until_s=time.monotonic() + for_s)


@pytest.mark.broker
@both_protocols
def test_a_broker_that_answers_gets_it_at_once(broker: int, protocol: Protocol) -> None:
    engine = Engine()
    with office(broker, DECISION) as (_, inbox), linked(broker, engine, protocol) as link:
        for row in range(1, 6):
            began_s = time.monotonic()
            assert link.publish(live(row))
            assert inbox.get(timeout=5).payload == b"live %d" % row
            assert engine.next(Published) == Published("north", row)
            assert time.monotonic() - began_s < 1
            time.sleep(0.05)


def test_a_broker_that_does_not_answer_gets_none_and_the_engine_hears_of_it() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        broker.answers = False
        began_s = time.monotonic()
        assert link.publish(live(1, 0.5))
        assert link.publish(Outgoing(2, DECISION, b"late anyway"))
        assert engine.next(Published) == Published("north", 1, late=True)
        assert 0.3 < time.monotonic() - began_s < 2
        (session,) = broker.sessions
        broker.wait(lambda: session.published)
        assert session.published == [b"late anyway"]
        assert session.questions == 1
        broker.answer(1)
        assert engine.next(Published) == Published("north", 2)


def test_one_answer_lets_a_burst_through() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        for row in range(1, 6):
            assert link.publish(live(row))
        for row in range(1, 6):
            assert engine.next(Published) == Published("north", row)
        assert broker.sessions[0].published == [b"live %d" % row for row in range(1, 6)]
        assert broker.sessions[0].questions <= 2


def test_live_messages_and_statuses_overtake_what_waits() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        (session,) = broker.sessions
        broker.answers = False
        for row in range(1, 41):
            assert link.publish(Outgoing(row, DECISION, b"old"))
        broker.wait(lambda: session.unanswered)
        assert link.publish(live(41))
        assert link.publish(Outgoing(0, STATUS, b"status", retain=True))
        broker.answers = True
        broker.answer(len(session.unanswered))
        broker.wait(lambda: len(session.published) == 42)
        places = [session.published.index(b"live 41"), session.published.index(b"status")]
        assert places == sorted(places)
        assert places[1] < 25, "most of the others came after"


def test_what_has_hardly_any_time_left_is_late_at_once() -> None:
    engine = Engine()
    with FakeBroker() as broker, linked(broker.port, engine) as link:
        assert link.publish(live(1, ANSWER_S / 2))
        assert engine.next(Published) == Published("north", 1, late=True)
        assert broker.sessions[0].published == []
