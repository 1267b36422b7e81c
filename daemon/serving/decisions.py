"""Decisions on their way out: stored, recorded in the audit chain and queued for the broker, all that are due in one transaction."""

import uuid
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

import msgspec

from daemon.config import Config
from daemon.core.audit import decided
from daemon.core.messages import DecisionMessage, encode, topic, utc
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.region import Region, region
from daemon.core.values import Person
from daemon.edges.store import Store
from daemon.pipeline import steps

Due = tuple[Decision, Person | None, Rules]
"""A decision, whom it names, and the rules that it was made by."""


@dataclass(slots=True)
class Decisions:
    """Makes messages from decisions. `_events` is the id of the last stored decision about each passage, which the next one supersedes."""

    config: Config
    store: Store
    boot_id: str
    _events: dict[tuple[str, int], str] = field(default_factory=dict)
    _at: dict[str, Config] = field(init=False)
    _regions: dict[str, Region | None] = field(init=False)

    def __post_init__(self) -> None:
        self._at = {gate: self.config.at(gate) for gate in self.config.gates}
        self._regions = {gate: region(own.region) for gate, own in self.config.gates.items()}

    def put(self, due: Sequence[Due], model: str, now: float, *, clock_trusted: bool = True) -> list[int]:
        """Make decisions of `now` (UTC seconds) durable, all or none; returns their rows in the outbox. They are not live if the wall clock
        cannot be trusted. Raises StoreError."""
        before, rows = dict(self._events), []
        try:
            with self.store.transaction():
                for decision, person, rules in due:
                    rows.append(self._put(decision, person, rules, model, now, clock_trusted))
        except BaseException:
            self._events = before
            raise
        return rows

    def _put(self, decision: Decision, person: Person | None, rules: Rules, model: str, now: float, clock_trusted: bool) -> int:
        store, passage = self.store, (decision.gate, decision.passage)
        valid_until = decision.captured_at + self._at[decision.gate].decision.accept_valid_s
        sequence = store.next_sequence(decision.gate)
        message = DecisionMessage(
            event_id=str(uuid.uuid4()),
            sequence=sequence,
            previous=sequence - 1,
            boot_id=self.boot_id,
            gate=decision.gate,
            passage=self.passage_name(decision.passage),
            supersedes=self._events.get(passage),
            decision=decision.verdict.value,
            reason=decision.reason.value,
            person=decision.person,
            captured_at=utc(decision.captured_at),
            decided_at=utc(now),
            valid_until=utc(valid_until),
            live=clock_trusted,
            liveness=decision.liveness.value,
            faces_in_view=decision.faces_in_view,
            model=model,
            gallery_revision=store.revision(),
            policy=steps.policy_digest(self._at[decision.gate], rules, self._regions[decision.gate]),
            clock_trusted=clock_trusted,
            name=person.name if person is not None and self.config.enrolment.publish_names else msgspec.UNSET,
        )
        row = store.enqueue(decision.gate, topic(self.config.site, decision.gate, "decision"), encode(message), valid_until, now)
        pseudonym = store.pseudonym(decision.person) if decision.person is not None else None
        store.audit.append(now, decided(message, rules.pair if decision.claimed else rules.threshold, pseudonym))
        self._events[passage] = message.event_id
        return row

    def event_of(self, gate: str, passage: int) -> str:
        """The id of the last stored decision about a passage that goes on, or has just ended."""
        return self._events[gate, passage]

    def passage_name(self, passage: int) -> str:
        """What messages call a passage."""
        return f"{self.boot_id[:8]}-{passage}"

    def forget(self, gate: str, passages: Container[int]) -> None:
        """Only these passages of a gate go on: nothing will supersede the decisions about others."""
        for known in [key for key in self._events if key[0] == gate and key[1] not in passages]:
            del self._events[known]
