"""The answers to commands. Each is stored together with what it answers and with its record in the audit chain, so it is given once and
stays the same. A payload that was not understood gets an answer and no record: a flood of them must not fill the chain."""

import time
from dataclasses import dataclass, replace

import msgspec

from daemon.commands.authority import UNPROVED, Authority
from daemon.commands.outcome import Done
from daemon.core.audit import CommandAnswered
from daemon.core.messages import Command, Outcome, Result, encode, op_of
from daemon.edges.store import Store, StoreError


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a payload. `durable` False means that the disk did not take it, and `trouble` what the disk said. Then the message is
    not acknowledged, and dealt with again when the disk works, if it is `owed`: if it asks for something that is not done.

    `barred` is somebody whose earlier evidence no longer counts. `said` False means that nobody is told: there were too many such messages.
    `pseudonym` is what the command's record in the audit chain calls the person.
    """

    result: Result
    encoded: bytes
    durable: bool
    barred: str | None = None
    said: bool = True
    trouble: str = ""
    owed: bool = False
    pseudonym: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked for what: the gate, the topic for the result, when the payload came (`perf_counter` seconds), what the sender may do, and
    what could be read of the payload."""

    gate: str
    topic: str
    started_s: float
    command_id: str | None = None
    op: str | None = None
    person: str | None = None
    authority: Authority = UNPROVED

    @property
    def kept_as(self) -> str:
        """Under which id the answer is kept."""
        return self.authority.kept_as(str(self.command_id))

    def reading(self, command: Command) -> "Request":
        """The same request, now that its payload is read."""
        person = getattr(command, "person", None)
        return replace(self, command_id=str(command.command_id), op=op_of(command), person=person)


@dataclass(frozen=True, slots=True)
class Answers:
    """Writes answers. `now` is UTC seconds. A record of the chain names a person by the pseudonym that the store has for them then."""

    store: Store

    def done(self, request: Request, done: Done, now: float) -> Answer:
        """The answer to a command that is carried out in the present transaction. Raises StoreError."""
        result = self._result(request, "done", done.reason, done.detail)
        if done.people is not None:
            result = msgspec.structs.replace(result, people=list(done.people), next_after=done.next_after)
        encoded = encode(result)
        if done.people is None:
            self.store.put_result(request.kept_as, encoded, now)
        self.store.enqueue(request.gate, request.topic, encoded, at=now)
        pseudonym = self._record(request, result, now, done.ended)
        return Answer(result, encoded, durable=True, barred=done.barred, pseudonym=pseudonym)

    def refused(self, request: Request, reason: str, detail: str, now: float, *, keep: bool) -> Answer:
        """Nothing was changed. Without `keep` the sender may correct the command and send it again under the same id."""
        return self._undone(request, self._result(request, "refused", reason, detail), now, keep=keep)

    def _undone(self, request: Request, result: Result, now: float, *, keep: bool) -> Answer:
        encoded, pseudonym = encode(result), None
        try:
            with self.store.transaction():
                if keep and request.command_id is not None:
                    self.store.put_result(request.kept_as, encoded, now)
                self.store.enqueue(request.gate, request.topic, encoded, at=now)
                if request.op is not None:
                    pseudonym = self._record(request, result, now)
        except StoreError as error:
            return Answer(result, encoded, durable=False, trouble=error.message, owed=keep)
        return Answer(result, encoded, durable=True, pseudonym=pseudonym)

    def unsaid(self, request: Request, reason: str, detail: str) -> Answer:
        """Nothing was changed, and nobody is told. Costs neither disk nor network."""
        result = self._result(request, "refused", reason, detail)
        return Answer(result, b"", durable=True, said=False)

    def failed(self, request: Request, detail: str, now: float) -> Answer:
        """The command could not be carried out for a reason of our own. The answer is kept: it is not tried again. One that the store has
        carried out already keeps the answer that it has."""
        try:
            stored = self.store.result(request.kept_as) if request.command_id is not None else None
        except StoreError:
            stored = None
        if stored is not None:
            return Answer(msgspec.json.decode(stored, type=Result), stored, durable=True)
        return self._undone(request, self._result(request, "failed", "internal", detail), now, keep=True)

    def repeated(self, request: Request, stored: bytes) -> Answer:
        """The stored answer to a command that came again."""
        result = msgspec.json.decode(stored, type=Result)
        try:
            with self.store.transaction():
                self.store.enqueue(request.gate, request.topic, stored)
        except StoreError as error:
            return Answer(result, stored, durable=False, trouble=error.message)
        return Answer(result, stored, durable=True)

    def not_durable(self, request: Request, error: StoreError, *, shut_out: bool) -> Answer:
        """The disk did not take the command. `shut_out` says that it is in force in memory all the same."""
        so_far = "in force in memory, but not yet on disk" if shut_out else "nothing was changed"
        detail = f"{error.message}; {so_far}; the gate tries it again when the disk takes writes"
        result = self._result(request, "failed", "not_durable", detail)
        barred = request.person if shut_out else None
        return Answer(result, encode(result), durable=False, barred=barred, trouble=error.message, owed=True)

    def _record(self, request: Request, result: Result, now: float, ended: str | None = None) -> str | None:
        pseudonym = self.store.pseudonym(request.person) if ended is None and request.person is not None else ended
        entry = CommandAnswered(
            gate=request.gate,
            command_id=request.command_id,
            op=request.op,
            status=result.status,
            reason=result.reason,
            pseudonym=pseudonym,
            gallery_revision=result.gallery_revision,
            key=result.key,
        )
        self.store.audit.append(now, entry)
        return pseudonym

    def _result(self, request: Request, status: Outcome, reason: str | None, detail: str | None) -> Result:
        try:
            revision = self.store.revision()
        except StoreError:
            revision = -1
        return Result(
            command_id=request.command_id,
            op=request.op,
            status=status,
            reason=reason,
            detail=detail,
            person=request.person,
            gallery_revision=revision,
            took_ms=round((time.perf_counter() - request.started_s) * 1000, 1),
            key=request.authority.name,
        )
