"""Commands to results: each is applied once, durably, and then always answered the same."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from daemon.core import enrol
from daemon.core.messages import (
    Command,
    Enroll,
    List,
    MessageError,
    Outcome,
    PersonEntry,
    Ping,
    Result,
    Resume,
    Revoke,
    Suspend,
    encode,
    parse_command,
    utc,
)
from daemon.core.quality import Limits
from daemon.core.values import Person
from daemon.edges.gallery import Gallery
from daemon.edges.store import Store, StoreError
from daemon.enrolment import enrolment_crop
from daemon.pipeline import Detector, Embeds

LONGEST_LIFE = timedelta(minutes=10)
FUTURE_S = 60.0
"""How far ahead of our clock a command may claim to be from. One from next year would supersede everything until then."""


class Refusal(Exception):
    """The command is understood and not done; nothing has changed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a payload. `durable` False means it must not be acknowledged: the disk did not take it.

    `barred` is somebody whose earlier evidence must not count any more.
    """

    result: Result
    encoded: bytes
    durable: bool
    barred: str | None = None


@dataclass(slots=True)
class Desk:
    """Where commands are dealt with. Owned by the engine, like the store and the gallery it changes.

    `people` is the engine's own table of everybody enrolled; `likeness` the similarity two photos of one person must reach.
    """

    store: Store
    gallery: Gallery
    people: dict[str, Person]
    embedder: Embeds
    detector: Detector
    limits: Limits
    model: str
    likeness: float | None
    max_templates: int

    def handle(self, gate: str, topic: str, payload: bytes, retained: bool, now: float) -> Answer:
        """Deal with one payload of a command topic at `now` (UTC seconds). `topic` is where the result will be sent."""
        started = time.perf_counter()
        try:
            command = parse_command(payload)
        except MessageError as error:
            # Not kept under its id: the sender may mend the command and send it again.
            return self._answer(
                gate, topic, started, error.command_id, None, None, "refused", error.reason, error.detail, keep=False, now=now
            )
        command_id, op, person = str(command.command_id), _op(command), getattr(command, "person", None)
        if retained:
            return self._answer(
                gate,
                topic,
                started,
                command_id,
                op,
                person,
                "refused",
                "retained",
                "commands must not be retained: the broker would repeat them at every reconnect",
                keep=False,
                now=now,
            )
        try:
            stored = self.store.result(command_id)
            if stored is not None:
                return self._repeat(gate, topic, stored)
            self._check_time(command, now)
            return self._apply(command, gate, topic, started, now)
        except Refusal as refusal:
            return self._answer(gate, topic, started, command_id, op, person, "refused", refusal.reason, refusal.detail, keep=True, now=now)
        except StoreError as error:
            return self._not_durable(command, gate, started, error)

    def _check_time(self, command: Command, now: float) -> None:
        if isinstance(command, Revoke | Suspend):
            return  # never too late to shut somebody out
        if command.expires_at > command.issued_at + LONGEST_LIFE:
            raise Refusal("expires_too_late", "expires_at must lie within 10 minutes of issued_at")
        if not now < command.expires_at.timestamp():
            raise Refusal("expired", f"expired at {utc(command.expires_at.timestamp())}, it is {utc(now)} here; send it again")
        if command.issued_at.timestamp() > now + FUTURE_S:
            raise Refusal(
                "from_the_future", f"issued at {utc(command.issued_at.timestamp())}, but it is {utc(now)} here; check both clocks"
            )
        if isinstance(command, Enroll | Resume):
            last = self.store.last_issued(command.person)
            if last is not None and command.issued_at.timestamp() < last:
                raise Refusal("superseded", f"a newer command for this person, of {utc(last)}, was applied already")

    def _apply(self, command: Command, gate: str, topic: str, started: float, now: float) -> Answer:
        match command:
            case Enroll():
                return self._enroll(command, gate, topic, started, now)
            case Revoke():
                # Out of memory first: whatever the disk says, the person is not accepted from now on.
                self.gallery.remove(command.person)
                known = self.people.pop(command.person, None) is not None
                with self.store.transaction():
                    self.store.remove_person(command.person)
                    self.store.put_issued(command.person, command.issued_at.timestamp())
                    self.store.next_revision()
                    return self._done(
                        command, gate, topic, started, now, command.person, None if known else "nobody was enrolled under this id"
                    )
            case Suspend() | Resume():
                return self._set_suspended(command, gate, topic, started, now)
            case List():
                return self._list(command, gate, topic, started, now)
            case Ping():
                with self.store.transaction():
                    return self._done(command, gate, topic, started, now)

    def _set_suspended(self, command: Suspend | Resume, gate: str, topic: str, started: float, now: float) -> Answer:
        person = self.people.get(command.person)
        if person is None:
            raise Refusal("unknown_person", "nobody is enrolled under this id")
        changed = replace(person, suspended=isinstance(command, Suspend))
        if changed.suspended:
            self.people[command.person] = changed
        with self.store.transaction():
            self.store.put_person(changed)
            self.store.put_issued(command.person, command.issued_at.timestamp())
            self.store.next_revision()
            answer = self._done(command, gate, topic, started, now, command.person if changed.suspended else None)
        self.people[command.person] = changed
        return answer

    def _enroll(self, command: Enroll, gate: str, topic: str, started: float, now: float) -> Answer:
        before = self.people.get(command.person)
        counted = self.store.template_counts().get(command.person, 0)
        if counted + len(command.images) > self.max_templates:
            raise Refusal(
                "too_many_templates", f"{counted} templates are kept and {self.max_templates} is the limit; revoke first to start anew"
            )
        try:
            crops = [enrolment_crop(image, i + 1, self.detector, self.limits) for i, image in enumerate(command.images)]
            vectors = self.embedder.embed(np.stack(crops))
            if self.likeness is not None:
                enrol.need_consistency(vectors, self.gallery.vectors_of(command.person), self.likeness)
        except enrol.EnrolError as error:
            raise Refusal(error.reason, error.detail) from None
        person = _merged(command, before, now)
        numbers = []
        with self.store.transaction():
            self.store.put_person(person)
            for crop, vector in zip(crops, vectors, strict=True):
                numbers.append(self.store.add_template(command.person, self.model, vector, _png(crop), now))
            self.store.put_issued(command.person, command.issued_at.timestamp())
            self.store.next_revision()
            answer = self._done(command, gate, topic, started, now)
        self.people[command.person] = person
        for number, vector in zip(numbers, vectors, strict=True):
            self.gallery.add(number, command.person, vector)
        return answer

    def _list(self, command: List, gate: str, topic: str, started: float, now: float) -> Answer:
        counts = self.store.template_counts()
        ids: Sequence[str] = sorted(p for p in self.people if command.after is None or p > command.after)
        page = ids[: command.limit]
        rows = [_entry(self.people[p], counts.get(p, 0)) for p in page]
        result = self._result(started, str(command.command_id), "list", None, "done", None, None)
        result = msgspec.structs.replace(result, people=rows, next_after=page[-1] if len(ids) > len(page) else None)
        # Not journalled: asking again may well give another answer, and changes nothing.
        encoded = encode(result)
        with self.store.transaction():
            self.store.enqueue(gate, topic, encoded)
        return Answer(result, encoded, durable=True)

    def _done(
        self, command: Command, gate: str, topic: str, started: float, now: float, barred: str | None = None, detail: str | None = None
    ) -> Answer:
        """The answer to what has been done, written within the transaction that does it."""
        result = self._result(started, str(command.command_id), _op(command), getattr(command, "person", None), "done", None, detail)
        encoded = encode(result)
        self.store.put_result(str(command.command_id), encoded, now)
        self.store.enqueue(gate, topic, encoded)
        return Answer(result, encoded, durable=True, barred=barred)

    def _answer(
        self,
        gate: str,
        topic: str,
        started: float,
        command_id: str | None,
        op: str | None,
        person: str | None,
        status: Outcome,
        reason: str,
        detail: str,
        *,
        keep: bool,
        now: float,
    ) -> Answer:
        result = self._result(started, command_id, op, person, status, reason, detail)
        encoded = encode(result)
        try:
            with self.store.transaction():
                if keep and command_id is not None:
                    self.store.put_result(command_id, encoded, now)
                self.store.enqueue(gate, topic, encoded)
        except StoreError:
            return Answer(result, encoded, durable=False)
        return Answer(result, encoded, durable=True)

    def _repeat(self, gate: str, topic: str, stored: bytes) -> Answer:
        """The stored answer of a command that came again."""
        with self.store.transaction():
            self.store.enqueue(gate, topic, stored)
        return Answer(msgspec.json.decode(stored, type=Result), stored, durable=True)

    def _not_durable(self, command: Command, gate: str, started: float, error: StoreError) -> Answer:
        person = getattr(command, "person", None)
        shut = isinstance(command, Revoke | Suspend)
        so_far = "in force in memory, but not yet on disk" if shut else "nothing was changed"
        detail = f"{error.message}; {so_far}; it is tried again when the disk works"
        result = self._result(started, str(command.command_id), _op(command), person, "failed", "not_durable", detail)
        return Answer(result, encode(result), durable=False, barred=person if shut else None)

    def _result(
        self,
        started: float,
        command_id: str | None,
        op: str | None,
        person: str | None,
        status: Outcome,
        reason: str | None,
        detail: str | None,
    ) -> Result:
        try:
            revision = self.store.revision()
        except StoreError:
            revision = -1
        return Result(
            command_id=command_id,
            op=op,
            status=status,
            reason=reason,
            detail=detail,
            person=person,
            gallery_revision=revision,
            took_ms=round((time.perf_counter() - started) * 1000, 1),
        )


def _op(command: Command) -> str:
    return str(command.__struct_config__.tag)


def _seconds(instant: datetime | None) -> float | None:
    return instant.timestamp() if instant is not None else None


def _merged(command: Enroll, before: Person | None, now: float) -> Person:
    """The person's record after an enrolment: what the command says, else what was known."""
    known = before or Person(command.person, enrolled_at=now)
    return replace(
        known,
        name=command.name if command.name is not None else known.name,
        valid_from=_seconds(command.valid_from) if command.valid_from is not None else known.valid_from,
        valid_until=_seconds(command.valid_until) if command.valid_until is not None else known.valid_until,
        gates=tuple(command.gates) if command.gates is not None else known.gates,
        consent=command.consent if command.consent is not None else known.consent,
    )


def _entry(person: Person, templates: int) -> PersonEntry:
    return PersonEntry(
        person=person.person,
        name=person.name,
        state="suspended" if person.suspended else "active",
        templates=templates,
        enrolled_at=utc(person.enrolled_at),
        valid_from=utc(person.valid_from) if person.valid_from is not None else None,
        valid_until=utc(person.valid_until) if person.valid_until is not None else None,
        gates=list(person.gates) if person.gates is not None else None,
    )


def _png(crop: npt.NDArray[np.uint8]) -> bytes:
    """The crop as a lossless file, so that another model sees exactly what this one saw."""
    done, data = cv2.imencode(".png", crop[:, :, ::-1])
    if not done:
        raise RuntimeError("a crop could not be encoded")
    return data.tobytes()
