"""From the outbox to the broker: what is fresh first, the backlog after it, and each message again until the broker has answered for it."""

import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

import msgspec

from daemon.core.messages import DecisionMessage, encode
from daemon.core.values import Outgoing, Published, Verdict
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import Pending, Store
from daemon.serving.signature import Sign, unsigned

log = logging.getLogger("ostiary")

OLD_IN_FLIGHT = 48
"""So many messages of a gate's backlog may be without an answer. What is fresh overtakes those that wait at the connection."""

OLD_S = 0.004
"""The part of a turn that the backlog may take."""

MOST_UNSENT = 64
"""When more fresh messages of a gate wait to be sent, it takes no further command."""


class Broker(Protocol):
    """A connection to the broker."""

    @property
    def connected(self) -> bool: ...
    def publish(self, message: Outgoing) -> bool: ...
    def acknowledge(self, receipt: tuple[int, int, int]) -> None: ...
    def is_alive(self) -> bool: ...


class GateBroker(Broker, Protocol):
    """What a gate has: a second lane for what must not stand before its decisions."""

    def publish_aside(self, message: Outgoing) -> bool: ...


@dataclass(slots=True)
class _Connection:
    """What was offered on the present connection of a gate. Messages from row `fresh_from` on were stored since it began: they are fresh.
    `next_fresh` and `next_old` are the first rows, of these and of the backlog, that were not offered. `again` are to be offered again."""

    fresh_from: int
    next_fresh: int
    next_old: int = 0
    again: deque[int] = field(default_factory=deque)
    in_flight: set[int] = field(default_factory=set)
    old_in_flight: set[int] = field(default_factory=set)
    refused: str | None = None


class Sender:
    """Owned by the engine, like the store it reads. Every method may raise StoreError; then nothing is lost, but it may be sent twice.

    `clock` never steps (seconds). A decision is `live` until a time on this clock, whatever the wall clock says; one of an earlier run of
    the daemon is not.
    """

    def __init__(self, store: Store, links: dict[str, Broker], metrics: Metrics, clock: Callable[[], float], sign: Sign = unsigned) -> None:
        self._store, self._links, self._metrics, self._clock, self._sign = store, links, metrics, clock, sign
        self._live: dict[str, dict[int, float]] = {gate: {} for gate in links}  # until when decisions without an answer are live
        self._captured: dict[int, float] = {}  # by row, to measure the latency of those in `_live`
        self._connections = {gate: self._begun(gate) for gate in links}

    def _begun(self, gate: str) -> _Connection:
        rows = self._store.waiting(gate)
        after = rows[-1] + 1 if rows else 0
        return _Connection(after, after)

    def reconnected(self, gate: str) -> None:
        """There is a new connection, or none: everything without an answer is offered again."""
        self._connections[gate] = _Connection(0, 0)  # as if all of it were fresh, if the store cannot say what is
        self._connections[gate] = self._begun(gate)

    def decided(self, gate: str, row: int, at_s: float | None, live_until_s: float | None) -> None:
        """A decision is in `row`. `at_s` is when a live camera gave its frame, None for a recording; no `live_until_s` says that it is not
        live."""
        if live_until_s is not None:
            self._live[gate][row] = live_until_s
            if at_s is not None:
                self._captured[row] = at_s

    def distrust(self) -> None:
        """The wall clock has stepped: no decision that waits is live any more, because the times in it may be wrong."""
        for gate, live in self._live.items():
            for row in list(live):
                self._late(gate, row)

    def refusal(self, gate: str) -> str | None:
        """The error of a message that the broker refused on this connection, if any; the message stays in the outbox."""
        return self._connections[gate].refused

    def crowded(self, gate: str) -> bool:
        """Whether so many fresh messages wait to be sent that the gate should take no further command."""
        rows = self._store.waiting(gate)
        return len(rows) - bisect_left(rows, self._connections[gate].next_fresh) > MOST_UNSENT

    def settle(self, answers: Sequence[Published]) -> None:
        """The broker has taken, or refused, these messages, or was not there in time for them."""
        rows = []
        for answer in answers:
            connection = self._connections[answer.gate]
            if answer.row not in connection.in_flight:
                continue  # of an earlier connection: it is being sent again
            connection.in_flight.remove(answer.row)
            connection.old_in_flight.discard(answer.row)
            if answer.late:
                self._late(answer.gate, answer.row)
                continue
            self._live[answer.gate].pop(answer.row, None)
            at_s = self._captured.pop(answer.row, None)
            if answer.error is not None:
                connection.refused = answer.error
                log.warning(
                    "gate %s: the broker refused a message: %s; it stays in the outbox", answer.gate, answer.error,
                    extra=fields(gate=answer.gate, row=answer.row),
                )  # fmt: skip
                continue
            rows.append(answer.row)
            if at_s is not None:
                self._metrics.capture_to_publish(answer.gate, self._clock() - at_s)
        if rows:
            self._store.sent(rows)

    def send(self) -> bool:
        """Offer the messages that wait, as far as the broker takes them. Returns whether more of the backlog can be offered at once.

        While a change of the gallery is not settled in the store only live decisions go: its answer must not say yet that it is done.
        """
        more, depth = False, self._store.depth()
        for gate, link in self._links.items() if depth else ():
            if self._store.waiting(gate):
                self._expire(gate)
                if link.connected and self._send_fresh(gate, link):
                    more = self._send_old(gate, link) or more
        self._metrics.outbox(depth)
        return more

    def _expire(self, gate: str) -> None:
        """Decisions that wait are live no longer than that, also while there is no connection."""
        now_s, in_flight = self._clock(), self._connections[gate].in_flight
        for row in [row for row, until_s in self._live[gate].items() if now_s >= until_s and row not in in_flight]:
            self._late(gate, row)

    def _late(self, gate: str, row: int) -> None:
        """A decision is not live any more. It is sent all the same, and says so."""
        self._live[gate].pop(row, None)
        self._captured.pop(row, None)
        connection = self._connections[gate]
        if row < (connection.next_fresh if row >= connection.fresh_from else connection.next_old):  # else its turn is to come
            connection.again.append(row)

    def _send_fresh(self, gate: str, link: Broker) -> bool:
        """Live decisions first, then what was stored since the connection began. Returns whether all of it was taken."""
        connection, live = self._connections[gate], self._live[gate]
        for row, until_s in live.items():
            if row not in connection.in_flight and not self._offer(gate, link, row, until_s):
                return False
        if self._store.settle_due:
            return False
        while connection.again:
            row = connection.again[0]
            if row not in connection.in_flight and not self._offer(gate, link, row):
                return False
            connection.again.popleft()
        rows = self._store.waiting(gate)
        for row in rows[bisect_left(rows, connection.next_fresh) :]:
            if row not in live and row not in connection.in_flight and not self._offer(gate, link, row):
                return False
            connection.next_fresh = row + 1
        return True

    def _send_old(self, gate: str, link: Broker) -> bool:
        """A part of the backlog, in order. Returns whether there is more that the broker could take at once."""
        connection, live, began_s = self._connections[gate], self._live[gate], time.perf_counter()
        rows = self._store.waiting(gate)
        place = bisect_left(rows, connection.next_old)
        while place < len(rows) and rows[place] < connection.fresh_from:
            if len(connection.old_in_flight) >= OLD_IN_FLIGHT:
                return False
            if time.perf_counter() - began_s > OLD_S:
                return True
            row = rows[place]
            if row not in live and row not in connection.in_flight:
                if not self._offer(gate, link, row):
                    return False
                if row in connection.in_flight:  # one that does not open is passed over
                    connection.old_in_flight.add(row)
            connection.next_old = row + 1
            place += 1
        return False

    def _offer(self, gate: str, link: Broker, row: int, live_until_s: float | None = None) -> bool:
        message = self._store.message(row, gate)
        if message is None:
            return True  # it has gone
        payload, expiry_s = message.payload, None
        if message.valid_until is not None:
            payload, expiry_s = self._decision(message, live_until_s)
        payload = self._sign(message.topic, payload)
        if not link.publish(Outgoing(row, message.topic, payload, expiry_s=expiry_s, live_until_s=live_until_s)):
            return False
        self._connections[gate].in_flight.add(row)
        return True

    def _decision(self, message: Pending, live_until_s: float | None) -> tuple[bytes, int | None]:
        """A decision as it is now, and for how many seconds a broker may hold it for somebody who is away: an old accept must not reach
        them."""
        if live_until_s is None:
            return encode(msgspec.structs.replace(_read(message.payload), live=False)), None
        is_accept = _read(message.payload).decision == Verdict.ACCEPT.value
        return message.payload, max(1, ceil(live_until_s - self._clock())) if is_accept else None


def _read(payload: bytes) -> DecisionMessage:
    return msgspec.json.decode(payload, type=DecisionMessage)
