"""Bounds the outbox: what is too much or too old is dropped, oldest first, and never in silence."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from daemon.core.audit import MessagesDropped
from daemon.core.counts import counted
from daemon.core.messages import DecisionMessage, GapMessage, encode, topic, utc
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import Pending, Store

log = logging.getLogger("ostiary")

LOOK_EVERY_S = 60.0


@dataclass(slots=True)
class Overflow:
    """Owned by the engine, like the store. At most `most` messages wait for the broker, and none for longer than `keep_s` seconds.
    `dropped` counts those that were dropped since the start."""

    site: str
    store: Store
    gates: Sequence[str]
    most: int
    keep_s: float
    metrics: Metrics
    dropped: int = 0
    _due_s: float = 0.0

    def tend(self, clock_s: float, now: float, aged: float | None = None) -> None:
        """Drop a slice of what is too much or too old at `now` (UTC seconds); `clock_s` is of a clock that never steps, and
        `aged` the time by which something is too old, if it is not `now`. Raises StoreError."""
        if not self.store.depth():
            return
        aged = now if aged is None else aged
        waiting = {gate: self.store.waiting(gate) for gate in self.gates}
        # The oldest hundredth of what may wait, so that a full outbox needs few records of what was dropped.
        part = max(1, self.most // 100)
        if sum(map(len, waiting.values())) > self.most:
            gate = max(self.gates, key=lambda one: len(waiting[one]))
            self._drop(gate, waiting[gate][:part], "full", now)
        elif clock_s >= self._due_s:
            self._due_s = clock_s + LOOK_EVERY_S
            for gate in self.gates:
                old = [one.row for one in self._messages(gate, waiting[gate][:part]) if 0 < one.at < aged - self.keep_s]
                if old:
                    self._drop(gate, old, "old", now)
                    self._due_s = clock_s

    def _messages(self, gate: str, rows: Sequence[int]) -> list[Pending]:
        """Those that can be read."""
        found = [self.store.message(row, gate) for row in rows]
        return [message for message in found if message is not None]

    def _drop(self, gate: str, rows: Sequence[int], why: Literal["full", "old"], now: float) -> None:
        numbers = [_sequence(one) for one in self._messages(gate, rows) if one.valid_until is not None]
        first, last = (min(numbers), max(numbers)) if numbers else (None, None)
        answers = len(rows) - len(numbers)
        gap = GapMessage(gate=gate, at=utc(now), reason=why, decisions=len(numbers), first=first, last=last, answers=answers)
        with self.store.transaction():
            self.store.drop(list(rows))
            self.store.enqueue(gate, topic(self.site, gate, "gap"), encode(gap), at=now)
            self.store.audit.append(now, MessagesDropped(gate, why, len(numbers), first, last, answers))
        self.dropped += len(rows)
        self.metrics.outbox_dropped(gate, len(rows))
        log.error(
            "gate %s: dropped, because the outbox is too %s: %s (%s to %s) and %s that waited for the broker; the audit chain has the "
            "decisions (`ostiaryd audit`); check the broker",
            gate, why, counted(len(numbers), "decision"), first, last, counted(answers, "answer"),
            extra=fields(gate=gate, decisions=len(numbers), answers=answers, why=why),
        )  # fmt: skip


def _sequence(message: Pending) -> int:
    return msgspec.json.decode(message.payload, type=DecisionMessage).sequence
