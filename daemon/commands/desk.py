"""Commands to results: each is applied once, durably, and then always answered the same."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

from daemon.commands.answers import Answer, Answers, Request
from daemon.commands.enrolment import Enrolment, enrolment_crop
from daemon.core.faces.quality import Limits
from daemon.core.messages import (
    Command,
    Enroll,
    Get,
    List,
    MessageError,
    Ping,
    Reembed,
    Resume,
    Revoke,
    Suspend,
    Update,
    Verify,
    parse_command,
    utc,
)
from daemon.core.people import records
from daemon.core.people.enrol import EnrolError, Standards
from daemon.core.values import Image, Person
from daemon.edges.gallery import Gallery
from daemon.edges.store import Store, StoreError
from daemon.pipeline.model import Model
from daemon.pipeline.steps import Detector, Embeds

T = TypeVar("T")

LONGEST_LIFE = timedelta(minutes=10)
FUTURE_S = 60.0
"""How far ahead of our clock a command may claim to be from. One from next year would supersede everything until then."""

CLOCK = "*"
"""Stands beside people's ids (none of which begins so) for the newest time that any command has proved; see `Desk._time`."""


class Refusal(Exception):
    """The command is understood and not done; nothing has changed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Waiting:
    """An enrolment that is allowed, and wants pictures from the gate's camera first. Nothing has changed, and nothing is answered yet."""

    request: Request
    command: Enroll
    seconds: float


@dataclass(frozen=True, slots=True)
class Changing:
    """A change of model that is allowed, and wants vectors of all templates first. Nothing has changed, and nothing is answered yet."""

    request: Request
    command: Reembed


@dataclass(frozen=True, slots=True)
class Claiming:
    """A claim that is allowed, if its gate takes it. Nothing has changed, and nothing is answered yet."""

    request: Request
    command: Verify


@dataclass(slots=True)
class Desk:
    """Where commands are dealt with. Owned by the engine, like the store and the gallery it changes.

    `people` is the engine's own table of everybody enrolled; `threshold` the gate's for so many templates; `grants` what commands may use
    of `force`, `replace`, `capture`, `reembed` and `verify`.
    """

    store: Store
    gallery: Gallery
    people: dict[str, Person]
    embedder: Embeds
    detector: Detector
    limits: Limits
    model: str
    standards: Standards
    threshold: Callable[[int], float | None]
    grants: frozenset[str] = frozenset()
    schedules: frozenset[str] = frozenset()
    _answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self._answers = Answers(self.store)

    @property
    def _enrolment(self) -> Enrolment:
        # Of the model that serves now: it may be another one than a moment ago.
        return Enrolment(self.store, self.gallery, self.embedder, self.model, self.standards, self.threshold)

    def serve(self, gallery: Gallery, model: Model, threshold: Callable[[int], float | None]) -> None:
        """Everything that depends on the model, exchanged at once."""
        self.gallery, self.embedder, self.model = gallery, model.embedder, model.id
        self.standards, self.threshold = model.standards, threshold

    def handle(self, gate: str, topic: str, payload: bytes, retained: bool, now: float) -> Answer | Waiting | Changing | Claiming:
        """Deal with one payload of a command topic at `now` (UTC seconds). `topic` is where the result will be sent."""
        request = Request(gate, topic, time.perf_counter())
        try:
            command = parse_command(payload)
        except MessageError as error:
            # Not kept under its id: the sender may mend the command and send it again.
            return self._answers.refused(replace(request, command_id=error.command_id), error.reason, error.detail, now, keep=False)
        request = request.reading(command)
        if retained:
            detail = "commands must not be retained: the broker would repeat them at every reconnect"
            return self._answers.refused(request, "retained", detail, now, keep=False)

        def deal() -> Answer | Waiting | Changing | Claiming:
            self._check_time(command, now)
            self._check_schedule(command)
            self._check_grants(command)
            if isinstance(command, Enroll) and command.capture is not None:
                return Waiting(request, command, command.capture.seconds)
            if isinstance(command, Reembed):
                return Changing(request, command)
            if isinstance(command, Verify):
                self._known(command.person)
                return Claiming(request, command)
            return self._apply(command, request, now)

        return self._once(request, command, now, deal)

    def finish(self, waiting: Waiting, take: Callable[[], Sequence[Image]], now: float) -> Answer:
        """The camera has been looked at: enrol the crops that `take` gives, or refuse with the EnrolError it raises.

        Judged as of `now`: who was revoked during the capture is not enrolled by it.
        """
        command = waiting.command

        def deal() -> Answer:
            self._check_order(command)
            return self._enroll(command, take, waiting.request, now)

        return self._once(waiting.request, command, now, deal)

    def change(self, changing: Changing, model: str, but: Collection[str], settle: Callable[[], str], now: float) -> Answer:
        """Note that `model` serves from now on, and let go the vectors of all models `but` these.

        `settle` looks a last time whether it can and gives the detail of the answer, or raises Refusal. Nothing changes in memory: a caller
        that finds the change noted in the store must see to that.
        """

        def deal() -> Answer:
            detail = settle()
            with self.store.transaction():
                self.store.put_serving(model)
                self.store.drop_vectors(but)
                self.store.put_issued(CLOCK, min(changing.command.issued_at.timestamp(), now))
                self.store.next_revision()
                return self._answers.done(changing.request, now, detail=detail)

        return self._once(changing.request, changing.command, now, deal)

    def claim(self, claiming: Claiming, admit: Callable[[], str], now: float) -> Answer:
        """Answer a claim. `admit` looks whether its gate takes it and gives the detail of the answer, or raises Refusal. The answer is kept
        either way: whatever is told to the sender, the same command never opens a claim later."""

        def deal() -> Answer:
            detail = admit()
            with self.store.transaction():
                return self._answers.done(claiming.request, now, detail=detail)

        return self._once(claiming.request, claiming.command, now, deal)

    def refuse(self, waiting: Waiting | Changing, reason: str, detail: str, now: float) -> Answer:
        """The camera cannot be asked now, or the model not changed. Not kept: the same command may come again."""
        return self._answers.refused(waiting.request, reason, detail, now, keep=False)

    def _once(self, request: Request, command: Command, now: float, deal: Callable[[], T]) -> T | Answer:
        """The stored answer, where there is one; else what `deal` makes of it, its refusal, or word that the disk did not take it."""
        stored = None
        try:
            stored = self.store.result(str(command.command_id))
            if stored is not None:
                return self._answers.repeated(request, stored)
            return deal()
        except Refusal as refusal:
            return self._answers.refused(request, refusal.reason, refusal.detail, now, keep=True)
        except StoreError as error:
            shut = (
                isinstance(command, Revoke | Suspend) and stored is None
            )  # what was answered once may have been followed by other commands
            if shut:
                self._shut_out(command)  # also where the disk failed before it came to that
            return self._answers.not_durable(request, error, shut=shut)

    def _shut_out(self, command: Command) -> None:
        """In memory, whatever the disk says."""
        match command:
            case Revoke(person=person):
                self.gallery.remove(person)
                self.people.pop(person, None)
            case Suspend(person=person) if person in self.people:
                self.people[person] = replace(self.people[person], suspended=True)

    def proved_time(self) -> float | None:
        """The newest time that our clock and a command's sender agreed on (UTC seconds); None before the first. Raises StoreError."""
        return self.store.last_issued(CLOCK)

    # ---- may it be done?

    def _check_time(self, command: Command, now: float) -> None:
        if isinstance(command, Revoke | Suspend):
            return  # never too late to shut somebody out
        if command.expires_at > command.issued_at + LONGEST_LIFE:
            raise Refusal("expires_too_late", "expires_at must lie within 10 minutes of issued_at")
        now = self.time(now)
        if not now < command.expires_at.timestamp():
            raise Refusal("expired", f"expired at {utc(command.expires_at.timestamp())}, it is {utc(now)} here; send it again")
        if command.issued_at.timestamp() > now + FUTURE_S:
            raise Refusal(
                "from_the_future", f"issued at {utc(command.issued_at.timestamp())}, but it is {utc(now)} here; check both clocks"
            )
        self._check_order(command)

    def _check_order(self, command: Command) -> None:
        if isinstance(command, Enroll | Resume | Update):
            last = self.store.last_issued(command.person)
            if last is not None and command.issued_at.timestamp() < last:
                raise Refusal("superseded", f"a newer command for this person, of {utc(last)}, was applied already")

    def _check_schedule(self, command: Command) -> None:
        name = command.schedule if isinstance(command, Enroll | Update) else None
        if isinstance(name, str) and name not in self.schedules:
            known = ", ".join(sorted(self.schedules)) or "none"
            raise Refusal("unknown_schedule", f"this gate's configuration has no schedule `{name}`; it knows {known}")

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

    def time(self, now: float) -> float:
        """Our clock, or the newest time that a command has proved, if our clock has stepped back behind it: what expired stays expired."""
        return max(now, self.proved_time() or now)

    def _note(self, command: Revoke | Suspend | Resume | Update | Enroll, now: float) -> None:
        """Within the transaction that applies a command: its place in the order of its person, and what it proves about the time."""
        issued = command.issued_at.timestamp()
        # Nothing bounds the time that shutting somebody out may claim; left as it is, it would keep them out for ever.
        self.store.put_issued(command.person, min(issued, self.time(now) + FUTURE_S))
        # Both clocks must agree that it is at least so late: one alone, gone wrong, would make every later command look expired.
        self.store.put_issued(CLOCK, min(issued, now))
        self.store.next_revision()

    # ---- doing it

    def _apply(self, command: Enroll | Revoke | Suspend | Resume | Update | List | Get | Ping, request: Request, now: float) -> Answer:
        match command:
            case Enroll(images=images):
                return self._enroll(command, lambda: self._crops(images or []), request, now)
            case Revoke():
                return self._revoke(command, request, now)
            case Suspend() | Resume():
                return self._set_suspended(command, request, now)
            case Update():
                changed = records.updated(command, self._known(command.person))
                with self.store.transaction():
                    self.store.put_person(changed)
                    self._note(command, now)
                    answer = self._answers.done(request, now)
                self.people[command.person] = changed
                return answer
            case List():
                return self._list(command, request, now)
            case Get():
                person = self._known(command.person)
                entry = records.entry(person, self.store.template_counts().get(person.person, 0), whole=True)
                return self._answers.told(request, [entry], now)
            case Ping():
                with self.store.transaction():
                    return self._answers.done(request, now)

    def _known(self, person: str) -> Person:
        known = self.people.get(person)
        if known is None:
            raise Refusal("unknown_person", "nobody is enrolled under this id")
        return known

    def _crops(self, images: Sequence[bytes]) -> list[Image]:
        return [enrolment_crop(image, i + 1, self.detector, self.limits) for i, image in enumerate(images)]

    def _enroll(self, command: Enroll, take: Callable[[], Sequence[Image]], request: Request, now: float) -> Answer:
        before = self.people.get(command.person)
        try:
            plan = self._enrolment.plan(command.person, take(), known=before is not None, replace=command.replace, force=command.force)
        except EnrolError as error:
            raise Refusal(error.reason, error.detail) from None
        person = records.enrolled(command, before, now)
        with self.store.transaction():
            entries = self._enrolment.write(plan, person, now)
            self._note(command, now)
            # With another face, what was seen of the earlier one counts no more.
            barred = command.person if command.replace and before is not None else None
            answer = self._answers.done(request, now, barred=barred, detail=plan.detail)
        self.people[command.person] = person
        self._enrolment.enter(plan, entries)
        return answer

    def _revoke(self, command: Revoke, request: Request, now: float) -> Answer:
        # Out of memory first: whatever the disk says, the person is not accepted from now on.
        self.gallery.remove(command.person)
        known = self.people.pop(command.person, None) is not None
        with self.store.transaction():
            ended = self.store.pseudonym(command.person)
            self.store.remove_person(command.person)
            self._note(command, now)
            detail = None if known else "nobody was enrolled under this id"
            return self._answers.done(request, now, barred=command.person, detail=detail, ended=ended)

    def _set_suspended(self, command: Suspend | Resume, request: Request, now: float) -> Answer:
        changed = replace(self._known(command.person), suspended=isinstance(command, Suspend))
        if changed.suspended:
            self.people[command.person] = changed
        with self.store.transaction():
            self.store.put_person(changed)
            self._note(command, now)
            answer = self._answers.done(request, now, barred=command.person if changed.suspended else None)
        self.people[command.person] = changed
        return answer

    def _list(self, command: List, request: Request, now: float) -> Answer:
        counts = self.store.template_counts()
        ids = sorted(p for p in self.people if command.after is None or p > command.after)
        page = ids[: command.limit]
        rows = [records.entry(self.people[p], counts.get(p, 0)) for p in page]
        return self._answers.told(request, rows, now, page[-1] if len(ids) > len(page) else None)
