"""Commands to answers: takes what the broker delivers, as fast as it can be answered, goes on with commands that are deferred, and
acknowledges what is durable.

Progress: a connection for commands reads only what its lane here has room for, so nothing is dropped or delivered twice. Each turn takes a
command, unless an answer is being made (which ends by itself), the disk fails, or answers pile up (they leave on another connection). No
command waits for anything that only a later one could bring. So every backlog shrinks.
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from daemon.commands.answers import Answer, Request
from daemon.commands.deferred import Arrival, Deferred, Waits
from daemon.commands.desk import Desk
from daemon.core.counts import counted
from daemon.core.messages import URGENT, readable_id, topic
from daemon.core.values import Delivery, Outgoing
from daemon.edges.journal import fields, nameless
from daemon.edges.metrics import Metrics
from daemon.pipeline import steps
from daemon.serving.disk import Disk
from daemon.serving.gate_state import Gate
from daemon.serving.mailbox import Commands
from daemon.serving.rules_in_force import RulesInForce
from daemon.serving.signature import Sign, unsigned

log = logging.getLogger("ostiary")

TURN_S = 0.01
"""After this time in a turn no further command is taken: the frames wait."""

MOST_OWED = 32
"""While this many commands wait for the disk, only those that shut somebody out are taken."""

SAY_EVERY_S = 10.0


class Answering:
    """Owned by the engine. `waits` deal with the commands of a type that are deferred, and get their turns in this order. `crowded` says
    whether the answers of a gate pile up: its next command waits. `wall` is UTC seconds. `ids`: the journal may name people.
    `forget` erases what is kept of somebody beside the store, after a revocation."""

    def __init__(
        self,
        site: str,
        desk: Desk,
        waits: Mapping[type, Waits[Any]],
        gates: Mapping[str, Gate],
        commands: Commands,
        crowded: Callable[[str], bool],
        disk: Disk,
        rules: RulesInForce,
        metrics: Metrics,
        wall: Callable[[], float],
        sign: Sign = unsigned,
        *,
        ids: bool = False,
        forget: Callable[[str], object] = lambda person: None,
    ) -> None:
        self._sign, self._ids, self._forget = sign, ids, forget
        self._site, self._desk, self._waits, self._gates = site, desk, waits, gates
        self._commands, self._crowded = commands, crowded
        self._disk, self._rules, self._metrics, self._wall = disk, rules, metrics, wall
        self._logged: deque[str] = deque(maxlen=1000)  # payloads that could not be dealt with
        self._unsaid, self._unsaid_at_s = 0, 0.0

    def shut_out(self) -> None:
        """Take commands from the urgent lanes for a moment."""
        self._serve(lambda: self._gates)

    def serve(self) -> None:
        """Take commands for a moment. A flood on the urgent lanes leaves room for one of the others."""
        if self._serve(self._closed) and (delivery := self._commands.take_other(self._closed())) is not None:
            self.take(delivery)
        self._say_unsaid()

    @property
    def has_more(self) -> bool:
        """Whether a command waits that can be taken at once."""
        return self._commands.waiting() and self._commands.waiting(self._closed())

    def _serve(self, closed: Callable[[], Collection[str]]) -> bool:
        """Whether the time was up while commands of the urgent lanes were taken."""
        begun_s = time.perf_counter()
        while self._commands.waiting() and (delivery := self._commands.take(closed())) is not None:
            self.take(delivery)
            if time.perf_counter() - begun_s >= TURN_S:
                return delivery.topic.endswith(f"/{URGENT}")
        return False

    def _closed(self) -> set[str]:
        """The gates whose next command waits, unless it shuts somebody out."""
        if self._disk.owes >= MOST_OWED or any(waits.holds_others for waits in self._waits.values()):
            return set(self._gates)
        return {name for name in self._gates if self._crowded(name)}

    def take(self, delivery: Delivery) -> None:
        """Deal with a message of a command topic. No message may end the process: one that cannot be dealt with is answered `failed`."""
        name = delivery.gate
        result_topic = topic(self._site, name, "result")
        request = Request(name, result_topic, time.perf_counter())
        try:
            with steps.timed(self._metrics.stage, "command"):
                answer = self._desk.handle(name, result_topic, delivery.payload, delivery.retained, self._wall(), delivery.topic)
            if isinstance(answer, Deferred):
                request = answer.request
                begun = self._begin(delivery, answer)
                if begun is None:  # acknowledged when its result is stored
                    person = request.person if self._ids else None
                    log.info(
                        "gate %s: command %s: begun, its answer follows", name, request.op,
                        extra=fields(gate=name, op=request.op, person=person),
                    )  # fmt: skip
                    return
                answer = begun
        except Exception as error:  # noqa: BLE001  one command must not end the gate
            if request.command_id is None:
                request = Request(request.gate, request.topic, request.started_s, readable_id(delivery.payload))
            answer = self._desk.failed(request, error, self._wall())
            self._failed(delivery, error)
        self._answered([delivery], answer)

    def _begin(self, delivery: Delivery, deferred: Deferred[Any]) -> Answer | None:
        gate = self._gates[delivery.gate]
        shared = delivery.topic.startswith(topic(self._site, "all", "command"))
        arrival = Arrival(delivery, gate.keeper, gate.mode, shared, camera_up=gate.camera == "up")
        return self._waits[type(deferred.command)].begin(deferred, arrival)

    def _failed(self, delivery: Delivery, error: Exception) -> None:
        """The gate has failed at a command: say at which, once, and see whether memory is still sound."""
        digest = hashlib.sha256(delivery.payload).hexdigest()
        if digest not in self._logged:
            self._logged.append(digest)
            log.error(
                "gate %s: a command failed; its payload has the SHA-256 %s", delivery.gate, digest,
                exc_info=error if self._ids else nameless(error),
                extra=fields(gate=delivery.gate, sha256=digest),
            )  # fmt: skip
        self._rules.inspect()

    def turn(self) -> None:
        """Go on with the commands that are deferred."""
        for waits in self._waits.values():
            for ended in waits.turn():
                if ended.error is not None:
                    self._failed(ended.deliveries[0], ended.error)
                self._answered(ended.deliveries, ended.answer)

    def take_owed(self) -> None:
        """The disk works again: deal with the commands that wait for it."""
        for delivery in self._disk.take_owed():
            self.take(delivery)

    def _answered(self, deliveries: Sequence[Delivery], answer: Answer) -> None:
        """A command has its answer. `deliveries` are the messages that brought it; the answer is for the gate of the first."""
        name, result = deliveries[0].gate, answer.result
        gate = self._gates[name]
        self._metrics.command(result.op, result.status, result.reason)
        if answer.said:
            self._note(name, answer)
        else:
            self._unsaid += 1
            self._metrics.unanswered(name)
        if answer.barred is not None:
            for each in self._gates.values():
                each.keeper.forget(answer.barred)
        if not answer.durable:
            # Say so at once.
            where = topic(self._site, name, "result")
            gate.link.publish(Outgoing(0, where, self._sign(where, answer.encoded)))
            self._rules.close(answer.trouble)
        if answer.owed:
            self._disk.owe(deliveries)  # and do it again when the disk works: the broker still holds it too
        else:
            for delivery in deliveries:
                if delivery.gate == name:
                    gate.link.acknowledge(delivery.receipt)
        if result.status != "refused":  # else nothing was changed
            self._rules.adopt()
        if result.op == "revoke" and result.status == "done" and result.person is not None:
            self._forget(result.person)
        if not answer.owed:
            for delivery in deliveries:
                if delivery.gate != name:  # the same command at another gate: its answer is stored by now
                    self.take(delivery)

    def _note(self, name: str, answer: Answer) -> None:
        """The journal's line of an answer. A detail may name people, so it is there only where ids are."""
        result = answer.result
        why = f" ({result.reason}{f': {result.detail}' if self._ids else ''})" if result.reason else ""
        log.log(
            logging.ERROR if result.status == "failed" else logging.INFO,
            "gate %s: command %s: %s%s", name, result.op or "that cannot be read", result.status, why,
            extra=fields(
                gate=name, op=result.op, status=result.status, reason=result.reason, key=result.key, command_id=result.command_id,
                person=result.person if self._ids else answer.pseudonym,
            ),
        )  # fmt: skip

    def _say_unsaid(self) -> None:
        if self._unsaid and time.monotonic() - self._unsaid_at_s >= SAY_EVERY_S:
            log.warning(
                "without an answer, because too many came: %s; see who publishes to the command topics",
                counted(self._unsaid, "refused message"),
                extra=fields(unanswered=self._unsaid),
            )
            self._unsaid, self._unsaid_at_s = 0, time.monotonic()
