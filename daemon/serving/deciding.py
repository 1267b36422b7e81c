"""Views to decisions: the crops that gates need are embedded in one batch, each gate decides, and what they decide is stored at once."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from daemon.config import Config
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.ruling import Permit
from daemon.core.people.policy import forbids
from daemon.core.values import Match, Quality, Reason, Vector, View
from daemon.core.wall import WallClock
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import StoreError
from daemon.pipeline import steps
from daemon.pipeline.serving import Current
from daemon.serving.decisions import Decisions
from daemon.serving.flight import Flight
from daemon.serving.gate_state import Gate
from daemon.serving.rules_in_force import RulesInForce
from daemon.serving.sender import Sender
from daemon.serving.visitors import Visitors

log = logging.getLogger("ostiary")


class Deciding:
    """Owned by the engine. `wall` is UTC seconds, `clock_trusted` tells whether rules of time can be judged by it, and `wall_clock` whether
    it has stepped. `who` says how the journal calls a person, `whole` whether the box knows the whole roster."""

    def __init__(
        self,
        config: Config,
        current: Current,
        gates: Mapping[str, Gate],
        rules: RulesInForce,
        decisions: Decisions,
        sender: Sender,
        flight: Flight,
        metrics: Metrics,
        liveness: steps.Liveness | None,
        wall: Callable[[], float],
        clock_trusted: Callable[[], bool],
        wall_clock: WallClock,
        who: Callable[[str], str],
        visitors: Visitors,
        whole: Callable[[], bool] = lambda: False,
    ) -> None:
        self._current, self._gates, self._rules, self._decisions, self._sender = current, gates, rules, decisions, sender
        self._flight, self._metrics, self._liveness = flight, metrics, liveness
        self._wall, self._clock_trusted, self._wall_clock = wall, clock_trusted, wall_clock
        self._who, self._whole, self._visitors = who, whole, visitors
        self._live_s = {gate: config.at(gate).decision.accept_valid_s for gate in config.gates}
        self._schedules = {name: schedule.schedule() for name, schedule in config.schedules.items()}

    def decide(self, views: Sequence[View]) -> None:
        """Decide about these views, each gate's in their order. None of them is stale.

        What a gate makes of a view says which faces of its next one need a vector, so a batch has one view of each gate.
        """
        waiting: dict[str, deque[View]] = {}
        for view in views:
            waiting.setdefault(view.gate, deque()).append(view)
        while waiting:
            self._decide([of_gate.popleft() for of_gate in waiting.values()])
            waiting = {gate: of_gate for gate, of_gate in waiting.items() if of_gate}

    def _decide(self, views: Sequence[View]) -> None:
        """Decide about one view each of some gates."""
        wanted = [self._gates[view.gate].keeper.wants(view) for view in views]
        embedded = steps.embed(views, self._current.serving.model.embedder, self._metrics.stage, wanted)
        lives = self._lives if self._liveness is not None else None
        due: list[Decision] = []
        for view, wants, vectors in zip(views, wanted, embedded, strict=True):
            gate = self._gates[view.gate]
            gate.turns.see(view)
            self._metrics.spared(view.gate, sum(p.quality is Quality.OK for p in view.probes) - sum(wants))
            with steps.timed(self._metrics.stage, "decide"):
                due += gate.keeper.observe(
                    view, vectors, self._find, self._permit(view.gate), self._compare, lives, self._current.serving.gallery
                )
            self._flight.saw(view, gate.keeper)
        self.publish(due)

    def publish(self, decisions: Sequence[Decision]) -> None:
        """Store decisions for the broker, all or none: those that the disk does not take are taken back."""
        if not decisions:
            return
        people, trusted = self._current.people, self._wall_clock.trusted
        due = [(decision, people.get(decision.person or ""), self._gates[decision.gate].keeper.rules) for decision in decisions]
        try:
            rows = self._decisions.put(due, self._current.serving.model.id, self._wall(), clock_trusted=trusted)
        except StoreError as error:
            for lost in decisions:
                self._gates[lost.gate].keeper.retract(lost)
            self._rules.close(error.message)
            return
        for name in {decision.gate for decision in decisions}:
            others = {decision.passage for decision in decisions if decision.gate == name}
            self._decisions.forget(name, others.union(self._gates[name].keeper.passages))
        for decision, row in zip(decisions, rows, strict=True):
            gate = self._gates[decision.gate]
            live_until_s = decision.at_s + self._live_s[decision.gate] if trusted else None
            self._sender.decided(decision.gate, row, decision.at_s if gate.live else None, live_until_s)
            self._flight.decided(decision)
            event_id = self._decisions.event_of(decision.gate, decision.passage)
            self._visitors.decided(decision, self._decisions.passage_name(decision.passage), event_id)
            self._metrics.decision(decision.gate, decision.verdict, decision.reason)
            log.info(
                "gate %s: passage %d: %s (%s)", decision.gate, decision.passage, decision.verdict, decision.reason,
                extra=fields(
                    gate=decision.gate, passage=decision.passage, decision=decision.verdict, reason=decision.reason,
                    person=self._who(decision.person) if decision.person else None,
                ),
            )  # fmt: skip

    def _find(self, vectors: npt.NDArray[np.float32]) -> list[Match]:
        with steps.timed(self._metrics.stage, "search"):
            return self._current.serving.gallery.search(vectors)

    def _compare(self, vector: Vector, person: str) -> float:
        with steps.timed(self._metrics.stage, "search"):
            return self._current.serving.gallery.likeness(vector, person)

    def _lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        assert self._liveness is not None
        with steps.timed(self._metrics.stage, "liveness"):
            return self._liveness.lives(faces)

    def _permit(self, gate: str) -> Permit:
        def permit(person: str, now: float) -> Reason | None:
            record = self._current.people.get(person)
            # The gallery found somebody who has no record: that is doubt, and doubt forbids.
            if record is None:
                return Reason.SUSPENDED
            trusted = self._clock_trusted()
            whole = record.shared and trusted and self._wall_clock.trusted and self._whole()
            return forbids(record, gate, now, self._schedules, trusted, whole)

        return permit
