"""From the outbox to the broker: in order, and again after every new connection, until the broker has answered for it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

import msgspec

from daemon.core.messages import DecisionMessage, encode
from daemon.core.values import Outgoing, Published, Verdict
from daemon.edges.metrics import Metrics
from daemon.edges.store import Pending, Store

log = logging.getLogger("ostiary")

IN_FLIGHT = 16
"""At most this many messages of a gate are offered to the broker without an answer."""


class Broker(Protocol):
    """One gate's connection to the broker."""

    @property
    def connected(self) -> bool: ...
    def publish(self, message: Outgoing) -> bool: ...
    def acknowledge(self, receipt: tuple[int, int, int]) -> None: ...
    def is_alive(self) -> bool: ...


@dataclass(slots=True)
class _Connection:
    """What was offered on the present connection of a gate. `captured` is the capture time of decisions, to measure the latency."""

    in_flight: set[int] = field(default_factory=set)
    last_row: int = 0
    refused: str | None = None
    captured: dict[int, float] = field(default_factory=dict)


class Sender:
    """Owned by the engine, like the store it reads. Every method may raise StoreError; then nothing is lost, but it may be sent twice."""

    def __init__(
        self, store: Store, links: dict[str, Broker], metrics: Metrics, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._store, self._links, self._metrics, self._clock, self._wall = store, links, metrics, clock, wall
        self._connections = {gate: _Connection() for gate in links}

    def reconnected(self, gate: str) -> None:
        """There is a new connection, or none: everything without an answer is offered again."""
        self._connections[gate] = _Connection()

    def captured(self, gate: str, row: int, at_s: float) -> None:
        """The decision in `row` is about a frame of the time `at_s`."""
        self._connections[gate].captured[row] = at_s

    def refusal(self, gate: str) -> str | None:
        """The error of a message that the broker refused on this connection, if any; the message stays in the outbox."""
        return self._connections[gate].refused

    def settle(self, answers: Sequence[Published]) -> None:
        """The broker has taken, or refused, these messages."""
        rows = []
        for answer in answers:
            connection = self._connections[answer.gate]
            if answer.row not in connection.in_flight:
                continue  # of an earlier connection: it is being sent again
            connection.in_flight.remove(answer.row)
            if answer.error is not None:
                connection.refused = answer.error
                log.error("gate %s: the broker refused a message: %s; it stays in the outbox", answer.gate, answer.error)
                continue
            rows.append(answer.row)
            at_s = connection.captured.pop(answer.row, None)
            if at_s is not None:
                self._metrics.capture_to_publish(answer.gate, self._clock() - at_s)
        if rows:
            self._store.sent(rows)

    def send(self) -> None:
        """Offer the messages that wait, as far as the broker takes them."""
        for gate, link in self._links.items():
            connection = self._connections[gate]
            while link.connected and len(connection.in_flight) < IN_FLIGHT:
                waiting = self._store.pending(gate, connection.last_row, IN_FLIGHT - len(connection.in_flight))
                if not waiting or not all(self._offer(link, connection, message) for message in waiting):
                    break
        self._metrics.outbox(self._store.depth())

    def _offer(self, link: Broker, connection: _Connection, message: Pending) -> bool:
        payload, expiry_s, now = message.payload, None, self._wall()
        if message.valid_until is not None:
            decision = msgspec.json.decode(payload, type=DecisionMessage)
            if not now < message.valid_until:
                payload = encode(msgspec.structs.replace(decision, live=False))
            elif decision.decision == Verdict.ACCEPT.value:
                # A broker may hold it for somebody who is away; an old accept must not reach them.
                expiry_s = max(1, ceil(message.valid_until - now))
        if not link.publish(Outgoing(message.row, message.topic, payload, expiry_s=expiry_s)):
            return False
        connection.in_flight.add(message.row)
        connection.last_row = message.row
        return True
