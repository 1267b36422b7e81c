"""Commands to answers: deals with what the broker delivers, goes on with commands that are deferred, and acknowledges what is durable."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.commands.answers import Answer
from daemon.commands.deferred import Arrival, Deferred, Waits
from daemon.commands.desk import Desk
from daemon.core.messages import topic
from daemon.core.values import Delivery, Outgoing
from daemon.edges.metrics import Metrics
from daemon.pipeline import steps
from daemon.serving.disk import Disk
from daemon.serving.gate_state import Gate
from daemon.serving.rules_in_force import RulesInForce

log = logging.getLogger("ostiary")


class Answering:
    """Owned by the engine. `waits` deal with the commands of a type that are deferred, and get their turns in this order. `wall` is UTC
    seconds."""

    def __init__(
        self,
        site: str,
        desk: Desk,
        waits: Mapping[type, Waits[Any]],
        gates: Mapping[str, Gate],
        disk: Disk,
        rules: RulesInForce,
        metrics: Metrics,
        wall: Callable[[], float],
    ) -> None:
        self._site, self._desk, self._waits, self._gates = site, desk, waits, gates
        self._disk, self._rules, self._metrics, self._wall = disk, rules, metrics, wall

    def take(self, delivery: Delivery) -> None:
        """Deal with a message of a command topic."""
        name, gate = delivery.gate, self._gates[delivery.gate]
        result_topic = topic(self._site, name, "result")
        with steps.timed(self._metrics.stage, "command"):
            answer = self._desk.handle(name, result_topic, delivery.payload, delivery.retained, self._wall(), delivery.topic)
        if isinstance(answer, Deferred):
            shared = delivery.topic.startswith(topic(self._site, "all", ""))
            arrival = Arrival(delivery, gate.keeper, gate.mode, shared, camera_up=gate.camera == "up")
            request, begun = answer.request, self._waits[type(answer.command)].begin(answer, arrival)
            if begun is None:  # acknowledged when its result is stored
                log.info("gate %s: command %s%s: begun, its answer follows", name, request.op, _of(request.person))
                return
            answer = begun
        self._answered([delivery], answer)

    def turn(self) -> None:
        """Go on with the commands that are deferred."""
        for waits in self._waits.values():
            for ended in waits.turn():
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
        log.info(
            "gate %s: command %s%s: %s%s",
            name,
            result.op,
            _of(result.person),
            result.status,
            f" ({result.reason}: {result.detail})" if result.reason else "",
        )
        if answer.barred is not None:
            for each in self._gates.values():
                each.keeper.forget(answer.barred)
        if answer.durable:
            for delivery in deliveries:
                if delivery.gate == name:
                    gate.link.acknowledge(delivery.receipt)
        else:
            # Say so at once, keep the command, and do it again when the disk works: the broker still holds it too.
            gate.link.publish(Outgoing(0, topic(self._site, name, "result"), answer.encoded))
            self._disk.owe(deliveries)
            self._rules.close(result.detail or "")
        self._rules.adopt()
        if answer.durable:
            for delivery in deliveries:
                if delivery.gate != name:  # the same command at another gate: its answer is stored by now
                    self.take(delivery)


def _of(person: str | None) -> str:
    return f" {person}" if person else ""
