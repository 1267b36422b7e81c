"""What goes out first, what is marked late, and that every message is sent until the broker has answered for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.core import messages as m
from daemon.core.values import Outgoing, Published
from daemon.edges.metrics import Metrics
from daemon.edges.store import open_store
from daemon.serving.overflow import Overflow
from daemon.serving.sender import MOST_UNSENT, OLD_IN_FLIGHT, Sender
from tests.fixtures.engine_site import Wire
from tests.fixtures.stored import outbox

NOW = 1_800_000_000.0
DECISION, RESULT = m.topic("hq", "north", "decision"), m.topic("hq", "north", "result")


def decision(number: int, verdict: str = "accept") -> bytes:
    kind: Any = verdict
    said = m.DecisionMessage(
        event_id=f"e{number}", sequence=number, previous=number - 1, boot_id="b", gate="north", passage="p", supersedes=None,
        decision=kind, reason="matched", person="E1", captured_at=m.utc(NOW), decided_at=m.utc(NOW), valid_until=m.utc(NOW + 3),
        live=True, liveness="not_evaluated", faces_in_view=1, model="m", gallery_revision=0, policy="0",
    )  # fmt: skip
    return m.encode(said)


class Desk:
    """A store with a sender, whose clock stands still."""

    def __init__(self, folder: Path) -> None:
        self.store, self.wire, self.now_s = open_store(folder), Wire(), 100.0
        self.sender = self.restarted()

    def restarted(self) -> Sender:
        return Sender(self.store, {"north": self.wire}, Metrics(), lambda: self.now_s, sign=lambda topic, payload: payload)

    def decides(self, number: int, verdict: str = "accept", live: bool = True) -> int:
        with self.store.transaction():
            row = self.store.enqueue("north", DECISION, decision(number, verdict), NOW + 3, NOW)
        self.sender.decided("north", row, self.now_s, self.now_s + 3 if live else None)
        return row

    def answers(self, text: bytes) -> int:
        with self.store.transaction():
            return self.store.enqueue("north", RESULT, text, at=NOW)

    def sent(self) -> list[Outgoing]:
        """What one turn sends."""
        before = len(self.wire.sent)
        self.sender.send()
        return self.wire.sent[before:]

    def settles(self, *rows: int, **how: Any) -> None:
        self.sender.settle([Published("north", row, **how) for row in rows])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


def numbers(sent: list[Outgoing]) -> list[tuple[int, bool]]:
    bodies = [json.loads(one.payload) for one in sent if one.topic == DECISION]
    return [(body["sequence"], body["live"]) for body in bodies]


def test_a_live_decision_goes_before_answers_and_both_before_the_backlog(desk: Desk) -> None:
    desk.wire.connected = False
    old = [desk.decides(number, live=False) for number in (1, 2)]
    desk.wire.connected = True
    desk.sender.reconnected("north")
    answer = desk.answers(b"{}")
    fresh = desk.decides(3)
    sent = desk.sent()
    assert [one.row for one in sent] == [fresh, answer, *old]
    assert numbers(sent) == [(3, True), (1, False), (2, False)]
    assert [one.live_until_s for one in sent] == [103.0, None, None, None]
    desk.settles(fresh, answer, *old)
    assert outbox(desk.store) == []


def test_a_decision_that_is_still_live_when_the_line_is_back_goes_first_and_is_live(desk: Desk) -> None:
    desk.wire.connected = False
    first, second = desk.decides(1), desk.decides(2)
    desk.now_s += 2.5
    third = desk.decides(3)
    desk.now_s += 1.0
    desk.wire.connected = True
    desk.sender.reconnected("north")
    sent = desk.sent()
    assert [one.row for one in sent] == [third, first, second]
    assert numbers(sent) == [(3, True), (1, False), (2, False)]
    assert [one.expiry_s for one in sent] == [2, None, None], "only a live accept expires at the broker"


def test_what_the_connection_gave_back_as_late_is_sent_as_late(desk: Desk) -> None:
    row = desk.decides(1)
    assert numbers(desk.sent()) == [(1, True)]
    desk.settles(row, late=True)
    assert numbers(desk.sent()) == [(1, False)]
    assert desk.sent() == []
    desk.settles(row)
    assert outbox(desk.store) == []


def test_a_decision_of_an_earlier_run_is_never_live(desk: Desk) -> None:
    desk.decides(1)
    desk.sender = desk.restarted()
    assert numbers(desk.sent()) == [(1, False)]


def test_after_a_step_of_the_wall_clock_nothing_that_waits_is_live(desk: Desk) -> None:
    desk.wire.connected = False
    desk.decides(1)
    desk.sender.distrust()
    desk.wire.connected = True
    assert numbers(desk.sent()) == [(1, False)]


def test_the_backlog_keeps_a_window_and_its_order_and_a_live_decision_overtakes_it(desk: Desk) -> None:
    old = [desk.decides(number, live=False) for number in range(1, 201)]
    desk.sender.reconnected("north")
    offered: list[Outgoing] = []
    while len(offered) < OLD_IN_FLIGHT:
        offered += desk.sent()
    assert [one.row for one in offered] == old[:OLD_IN_FLIGHT]
    assert desk.sent() == []
    fresh = desk.decides(201)
    assert [one.row for one in desk.sent()] == [fresh]
    desk.settles(fresh, *old[:OLD_IN_FLIGHT])
    while len(offered) < 200:
        more = desk.sent()
        offered += more
        desk.settles(*(one.row for one in more))
    assert [one.row for one in offered] == old
    assert outbox(desk.store) == []


def test_everything_without_an_answer_is_offered_again_on_the_next_connection(desk: Desk) -> None:
    rows = [desk.decides(1), desk.answers(b"{}"), desk.decides(2, "unknown")]
    assert {one.row for one in desk.sent()} == set(rows)
    desk.settles(rows[0])
    desk.sender.reconnected("north")
    assert {one.row for one in desk.sent()} == set(rows[1:])
    desk.settles(*rows)
    assert outbox(desk.store) == []


def test_a_gate_whose_answers_pile_up_is_crowded_until_they_are_taken(desk: Desk) -> None:
    assert not desk.sender.crowded("north")
    rows = [desk.answers(b"{}") for _ in range(MOST_UNSENT + 1)]
    assert desk.sender.crowded("north")
    desk.sent()
    assert not desk.sender.crowded("north"), "what was handed to the connection does not count"
    desk.settles(*rows)


def damage(desk: Desk, rows: list[int]) -> None:
    """These messages do not open any more."""
    with desk.store.database.connection as db:
        db.executemany("UPDATE outbox SET sealed = x'00' WHERE row = ?", [(row,) for row in rows])


def test_messages_that_do_not_open_stand_in_nobodys_way(desk: Desk) -> None:
    rows = [desk.answers(b"{}") for _ in range(OLD_IN_FLIGHT + 2)]
    damage(desk, rows[:-1])
    desk.sender.reconnected("north")
    assert [one.row for one in desk.sent() + desk.sent() + desk.sent()] == rows[-1:]


def test_a_full_outbox_gets_rid_of_messages_that_do_not_open(desk: Desk) -> None:
    overflow = Overflow("hq", desk.store, ("north",), 200, 7 * 86_400.0, Metrics())
    damage(desk, [desk.answers(b"{}") for _ in range(250)])
    for _ in range(60):
        overflow.tend(0.0, NOW)
    assert desk.store.depth() <= 200


def test_nothing_is_remembered_of_what_is_not_live_any_more(desk: Desk) -> None:
    """An outage may take weeks, and the outbox forgets."""
    desk.wire.connected = False
    for number in range(1, 101):
        desk.decides(number)
        desk.decides(number + 1000, live=False)
        desk.now_s += 1
        desk.sent()
    assert len(desk.sender._live["north"]) <= 3
    assert len(desk.sender._captured) <= 3
    desk.wire.connected = True
    desk.sender.reconnected("north")
    row = desk.sent()[0].row
    desk.settles(row, error="not allowed")
    assert row not in desk.sender._captured


def test_a_full_outbox_drops_the_oldest_and_says_which(desk: Desk) -> None:
    overflow = Overflow("hq", desk.store, ("north",), 200, 7 * 86_400.0, Metrics())
    for number in range(1, 202):
        desk.decides(number)
    overflow.tend(0.0, NOW)
    waiting = outbox(desk.store)
    assert overflow.dropped == 2
    assert json.loads(waiting[0].payload)["sequence"] == 3
    gap = json.loads(waiting[-1].payload)
    assert waiting[-1].topic == m.topic("hq", "north", "gap")
    assert (gap["reason"], gap["decisions"], gap["first"], gap["last"], gap["answers"]) == ("full", 2, 1, 2, 0)
    overflow.tend(0.0, NOW)
    assert overflow.dropped == 2


def test_messages_that_waited_too_long_are_dropped_and_said(desk: Desk) -> None:
    overflow = Overflow("hq", desk.store, ("north",), 1000, 100.0, Metrics())
    desk.decides(1), desk.answers(b"{}")
    overflow.tend(0.0, NOW + 99)
    assert len(outbox(desk.store)) == 2
    overflow.tend(30.0, NOW + 101)
    assert len(outbox(desk.store)) == 2, "it looks once a minute"
    overflow.tend(61.0, NOW + 101)
    (gap,) = outbox(desk.store)
    said = json.loads(gap.payload)
    assert (said["reason"], said["decisions"], said["answers"]) == ("old", 1, 1)
