"""How long the link waits before the next connection."""

import pytest

from daemon.edges.mqtt.backoff import Backoff


@pytest.fixture(autouse=True)
def _real_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.edges.mqtt.backoff.SHORTEST_S", 1.0)
    monkeypatch.setattr("daemon.edges.mqtt.backoff.STEADY_S", 30.0)


def test_a_broker_that_cannot_be_reached_is_tried_less_and_less_often() -> None:
    backoff = Backoff()
    waits = []
    for _ in range(8):
        backoff.unreachable()
        waits.append(backoff.delay_s)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_connections_that_do_not_last_are_setbacks_and_a_steady_one_is_none() -> None:
    backoff = Backoff()
    waits = []
    for up_s in (None, 29.9, 0.0, 30.0, 5.0):
        backoff.ended(up_s)
        waits.append(backoff.delay_s)
    assert waits == [1, 2, 4, 1, 1]


def test_failures_to_reach_the_broker_come_on_top_of_setbacks_and_end_with_the_next_connection() -> None:
    backoff = Backoff()
    backoff.ended(1.0)
    backoff.ended(1.0)
    backoff.unreachable()
    assert backoff.delay_s == 4
    backoff.ended(100.0)
    assert backoff.delay_s == 1
    for _ in range(1000):
        backoff.ended(None)
        backoff.unreachable()
    assert backoff.delay_s == 30
