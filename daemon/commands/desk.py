"""Commands to results: each is applied once, durably, and then always answered the same. Here is the only place that does it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from daemon.commands.answers import Answer, Answers, Request
from daemon.commands.deferred import Deferred
from daemon.commands.handlers import Handlers
from daemon.commands.order import Order
from daemon.commands.outcome import Done, Refusal
from daemon.core.faces.quality import Judge
from daemon.core.messages import Capture, Command, Enroll, MessageError, Reembed, Revoke, Suspend, Update, Verify, parse_command
from daemon.core.values import Image
from daemon.edges.store import Store, StoreError
from daemon.pipeline.serving import Current
from daemon.pipeline.steps import Detector

T = TypeVar("T")


@dataclass(slots=True)
class Desk:
    """Deals with commands. Owned by the engine, like the store and the memory that commands change.

    `grants` is what commands may use of `force`, `replace`, `capture`, `reembed` and `verify`; `schedules` and `gates` are the names that
    the configuration knows.
    """

    store: Store
    current: Current
    detector: Detector
    judge: Judge
    grants: frozenset[str] = frozenset()
    schedules: frozenset[str] = frozenset()
    gates: frozenset[str] = frozenset()
    _answers: Answers = field(init=False)
    _order: Order = field(init=False)
    _handlers: Handlers = field(init=False)

    def __post_init__(self) -> None:
        self._answers, self._order = Answers(self.store), Order(self.store)
        self._handlers = Handlers(self.store, self.current, self.detector, self.judge)

    def handle(self, gate: str, topic: str, payload: bytes, retained: bool, now: float) -> Answer | Deferred[Any]:
        """Deal with one payload of a command topic at `now` (UTC seconds). `topic` is where the result will be sent."""
        request = Request(gate, topic, time.perf_counter())
        try:
            command = parse_command(payload)
        except MessageError as error:
            # Not kept under its id: the sender may correct the command and send it again.
            return self._answers.refused(replace(request, command_id=error.command_id), error.reason, error.detail, now, keep=False)
        request = request.reading(command)
        if retained:
            detail = "commands must not be retained: the broker would repeat them at every reconnect"
            return self._answers.refused(request, "retained", detail, now, keep=False)

        def deal() -> Answer | Deferred[Any]:
            self._order.check(command, now)
            self._check_names(command)
            self._check_grants(command)
            match command:
                case Enroll(capture=Capture()) | Reembed() | Verify():
                    return Deferred(request, command)
                case _:
                    return self._carry_out(request, command, self._handlers.handle(command, now), now)

        return self._once(request, command, now, deal)

    def settle(self, deferred: Deferred[Any], act: Callable[[], Done], now: float) -> Answer:
        """Answer a deferred command by what `act` says that it does. `act` may raise Refusal and StoreError.

        The answer is kept either way: the same command is never carried out later, whatever the sender was told.
        """
        request, command = deferred.request, deferred.command
        return self._once(request, command, now, lambda: self._carry_out(request, command, act(), now))

    def finish(self, deferred: Deferred[Enroll], take: Callable[[], Sequence[Image]], now: float) -> Answer:
        """The camera has been looked at: enrol the crops that `take` gives, or refuse with the EnrolError that it raises.

        Judged as of `now`: somebody who was revoked during the capture is not enrolled by it.
        """

        def act() -> Done:
            self._order.check_place(deferred.command)
            return self._handlers.enroll(deferred.command, take, now)

        return self.settle(deferred, act, now)

    def refuse(self, deferred: Deferred[Any], reason: str, detail: str, now: float) -> Answer:
        """The command cannot be begun now. The answer is not kept: the same command may come again."""
        return self._answers.refused(deferred.request, reason, detail, now, keep=False)

    # ---- once, durably, and with one answer

    def _once(self, request: Request, command: Command, now: float, deal: Callable[[], T]) -> T | Answer:
        """The stored answer, if there is one. Otherwise what `deal` returns, its refusal, or word that the disk did not take it."""
        stored = None
        try:
            stored = self.store.result(str(command.command_id))
            if stored is not None:
                return self._answers.repeated(request, stored)
            return deal()
        except Refusal as refusal:
            return self._answers.refused(request, refusal.reason, refusal.detail, now, keep=True)
        except StoreError as error:
            # A command that was answered once may have been followed by others: it shuts nobody out again.
            shut_out = stored is None and self._shut_out(command)
            return self._answers.not_durable(request, error, shut_out=shut_out)

    def _carry_out(self, request: Request, command: Command, done: Done, now: float) -> Answer:
        """All of it in the store, or nothing; and only then in memory. Raises StoreError."""
        with self.store.transaction():
            enter = done.write()
            self._order.note(command, now)
            answer = self._answers.done(request, done, now)
        enter()
        return answer

    def _shut_out(self, command: Command) -> bool:
        """Shut somebody out in memory, although the disk failed. Returns whether this is what the command asks for."""
        match command:
            case Revoke(person=person):
                self.current.remove(person)
            case Suspend(person=person):
                self.current.suspend(person)
            case _:
                return False
        return True

    # ---- may it be done?

    def _check_names(self, command: Command) -> None:
        """A record that names a schedule or a gate wrongly would shut its person out without a word."""
        if not isinstance(command, Enroll | Update):
            return
        if isinstance(name := command.schedule, str) and name not in self.schedules:
            raise Refusal("unknown_schedule", f"this gate's configuration has no schedule `{name}`; it has {_listed(self.schedules)}")
        for name in command.gates if isinstance(command.gates, list) else ():
            if name not in self.gates:
                detail = f"this gate's configuration has no gate `{name}` (gates, other_gates); it has {_listed(self.gates)}"
                raise Refusal("unknown_gate", detail)

    def _check_grants(self, command: Command) -> None:
        match command:
            case Enroll():
                used = {"force": command.force, "replace": command.replace, "capture": command.capture is not None}
            case Reembed():
                used = {"reembed": True, "force": command.force}
            case Verify():
                used = {"verify": True}
            case _:
                return
        for grant in [name for name, wanted in used.items() if wanted and name not in self.grants]:
            raise Refusal("not_granted", f"`{grant}` is not among commands.grants in this gate's configuration")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
