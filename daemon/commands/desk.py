"""Commands to results: each is applied once, durably, and then always answered the same. Here is the only place that does it."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from daemon.commands.answers import Answer, Answers, Request
from daemon.commands.authority import Authorities, Key
from daemon.commands.deferred import Deferred
from daemon.commands.enrolment import Pictures
from daemon.commands.handlers import Handlers
from daemon.commands.order import Order
from daemon.commands.outcome import Done, Refusal
from daemon.core.buckets import Refusals
from daemon.core.messages import (
    Command,
    Enroll,
    Get,
    List,
    MessageError,
    Reembed,
    Resume,
    Resync,
    Revoke,
    Suspend,
    Update,
    Verify,
    parse_command,
    to_all,
)
from daemon.edges.store import Store, StoreError
from daemon.pipeline.serving import Current

T = TypeVar("T")


@dataclass(slots=True)
class Desk:
    """Deals with commands. Owned by the engine, like the store and the memory that commands change.

    `keys` are those who may ask something, by name. Without keys everybody may, and `grants` is what commands may use of `force`,
    `replace`, `capture`, `reembed` and `verify`. `schedules` and `gates` are the names that the configuration knows. With `confirm`, photos
    alone leave somebody unconfirmed.
    """

    store: Store
    current: Current
    grants: frozenset[str] = frozenset()
    schedules: frozenset[str] = frozenset()
    confirm: bool = False
    gates: frozenset[str] = frozenset()
    keys: Mapping[str, Key] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    _authorities: Authorities = field(init=False)
    _answers: Answers = field(init=False)
    _order: Order = field(init=False)
    _handlers: Handlers = field(init=False)

    def __post_init__(self) -> None:
        self._authorities = Authorities(self.keys)
        self._answers, self._order = Answers(self.store), Order(self.store)
        self._handlers = Handlers(self.store, self.current, self.confirm)

    def handle(self, gate: str, topic: str, payload: bytes, retained: bool, now: float, came_on: str) -> Answer | Deferred[Any]:
        """Deal with one payload of the command topic `came_on` at `now` (UTC seconds). `topic` is where the result will be sent."""
        request = Request(gate, topic, time.perf_counter())
        try:
            body, authority = self._authorities.opened(came_on, payload, self.grants)
            request = replace(request, authority=authority)
            command = parse_command(body)
        except MessageError as error:
            # Not kept under its id: the sender may correct the command and send it again.
            return self._unkept(replace(request, command_id=error.command_id), error.reason, error.detail, now)
        unread, request = request, request.reading(command)
        try:
            self._authorities.check(authority, command, gate, came_on)
        except Refusal as refusal:
            return self._unkept(request, refusal.reason, refusal.detail, now)
        if retained:
            detail = "commands must not be retained: the broker would repeat them at every reconnect"
            return self._unkept(request, "retained", detail, now)

        def deal() -> Answer | Deferred[Any]:
            if not isinstance(command, List | Get) or not self._authorities.counted(authority, command):
                self._authorities.count(authority, command, request.started_s)  # not a repetition, which others may send
            elif not self.refusals.answered(gate, authority.name, request.started_s):
                return self._answers.unsaid(request, "repeated", "its answer was given before")
            self._order.check(command, now, signed=authority.key is not None)
            self._check_names(command)
            if isinstance(command, Enroll) and to_all(came_on) and self.store.roster.exists():
                # Each would make templates of its own, and the boxes would disagree about the person.
                raise Refusal(
                    "not_for_all", "this box shares its people with others: send an enrolment to one gate, and all know the person"
                )
            self._check_grants(request, command)
            self._check_reach(request, command)
            match command:
                case Enroll() | Reembed() | Resync() | Verify():
                    return Deferred(request, command)
                case _:
                    return self._carry_out(request, command, self._handlers.handle(command, now, authority), now)

        try:
            return self._once(request, command, now, deal)
        except MessageError as error:
            return self._unkept(replace(unread, command_id=error.command_id), error.reason, error.detail, now)

    def settle(self, deferred: Deferred[Any], act: Callable[[], Done], now: float) -> Answer:
        """Answer a deferred command by what `act` says that it does. `act` may raise Refusal and StoreError.

        The answer is kept either way: the same command is never carried out later, whatever the sender was told.
        """
        request, command = deferred.request, deferred.command
        return self._once(request, command, now, lambda: self._carry_out(request, command, act(), now))

    def finish(self, deferred: Deferred[Enroll], take: Callable[[], Pictures], now: float) -> Answer:
        """Photos or the camera have been looked at: enrol the pictures that `take` gives, or refuse with the EnrolError that it raises.

        Judged as of `now`: somebody who was revoked meanwhile is not enrolled by it.
        """

        def act() -> Done:
            self._order.check_place(deferred.command)
            return self._handlers.enroll(deferred.command, take, now, deferred.request.authority)

        return self.settle(deferred, act, now)

    def refuse(self, deferred: Deferred[Any], reason: str, detail: str, now: float) -> Answer:
        """The command cannot be begun now. The answer is not kept: the same command may come again."""
        return self._answers.refused(deferred.request, reason, detail, now, keep=False)

    def failed(self, request: Request, error: Exception, now: float) -> Answer:
        """Dealing with the command has raised `error`. The answer is kept: the same command is not tried again."""
        return self._answers.failed(request, f"the gate could not carry this out ({type(error).__name__}); its log says more", now)

    def _unkept(self, request: Request, reason: str, detail: str, now: float) -> Answer:
        """Refuse a message that is not kept. Its sender is told, unless there are too many of them."""
        if not self.refusals.answered(request.gate, request.authority.name, request.started_s):
            return self._answers.unsaid(request, reason, detail)
        return self._answers.refused(request, reason, detail, now, keep=False)

    # ---- once, durably, and with one answer

    def _once(self, request: Request, command: Command, now: float, deal: Callable[[], T]) -> T | Answer:
        """The stored answer, if there is one. Otherwise what `deal` returns, its refusal, or word that the disk did not take it."""
        try:
            stored = self.store.result(request.kept_as)
            if stored is not None:
                if not self.refusals.answered(request.gate, request.authority.name, request.started_s):
                    return self._answers.unsaid(request, "repeated", "its answer was given before")
                return self._answers.repeated(request, stored)
            return deal()
        except Refusal as refusal:
            if isinstance(command, Suspend) and refusal.reason == "unknown_person":
                with suppress(StoreError), self.store.transaction():  # without it the answer cannot be stored either
                    self._order.note_suspension(command, now)
            return self._answers.refused(request, refusal.reason, refusal.detail, now, keep=True)
        except StoreError as error:
            return self._answers.not_durable(request, error, shut_out=self._shut_out(request, command))

    def _carry_out(self, request: Request, command: Command, done: Done, now: float) -> Answer:
        """All of it in the store, or nothing; and only then in memory. Raises StoreError."""
        with self.store.transaction():
            enter = done.write()
            self._order.note(command, now)
            self._share(request, command)
            answer = self._answers.done(request, done, now)
        enter()
        return answer

    def _share(self, request: Request, command: Command) -> None:
        """The other boxes have to know of it, where there are any."""
        changes = (isinstance(command, Enroll) and not command.dry_run) or isinstance(command, Revoke | Suspend | Resume | Update)
        if changes and request.person is not None:
            self.store.roster.note(request.person)

    def _shut_out(self, request: Request, command: Command) -> bool:
        """Shut somebody out in memory, although the disk failed. Returns whether this is what the command asks for, and may ask for."""
        record = self.current.people.get(request.person or "")
        if record is not None and not request.authority.reaches(record):
            return False
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

    def _check_reach(self, request: Request, command: Command) -> None:
        """Raises Refusal if the command is about somebody whose record is beyond its sender. A claim changes no record."""
        record = self.current.people.get(request.person or "")
        if record is not None and not isinstance(command, Verify):
            request.authority.need_reach(record)

    def _check_grants(self, request: Request, command: Command) -> None:
        match command:
            case Enroll():
                used = {"force": command.force, "replace": command.replace, "capture": command.capture is not None}
            case Reembed():
                used = {"reembed": True, "force": command.force}
            case Resync():
                used = {"roster": True}
            case Verify():
                used = {"verify": True}
            case _:
                return
        for grant in [name for name, wanted in used.items() if wanted and name not in request.authority.grants]:
            where = f"commands.keys.{request.authority.name}.grants" if request.authority.name is not None else "commands.grants"
            raise Refusal("not_granted", f"`{grant}` is not among {where} in this gate's configuration")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
