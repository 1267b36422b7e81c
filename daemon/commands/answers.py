"""The answers to commands: stored together with what they answer and with their record in the audit chain, so that each is given once and
then always the same. A payload that was not understood gets its answer and no record: a flood of them must not fill the chain."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from daemon.core.audit import CommandAnswered
from daemon.core.messages import Command, Outcome, PersonEntry, Result, encode
from daemon.edges.store import Store, StoreError


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a payload. `durable` False means it must not be acknowledged: the disk did not take it.

    `barred` is somebody whose earlier evidence must not count any more.
    """

    result: Result
    encoded: bytes
    durable: bool
    barred: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked what: the gate, the topic its result belongs on, when it came (`perf_counter` seconds), and what could be read of it."""

    gate: str
    topic: str
    started_s: float
    command_id: str | None = None
    op: str | None = None
    person: str | None = None

    def reading(self, command: Command) -> "Request":
        """The same request, now that its payload is read."""
        person = getattr(command, "person", None)
        return Request(self.gate, self.topic, self.started_s, str(command.command_id), str(command.__struct_config__.tag), person)


@dataclass(frozen=True, slots=True)
class Answers:
    """Writes them. `now` is UTC seconds. Records name people by the pseudonym that they have in the store at that moment."""

    store: Store

    def done(
        self, request: Request, now: float, *, barred: str | None = None, detail: str | None = None, ended: str | None = None
    ) -> Answer:
        """The answer to what has been done, written within the transaction that does it. Raises StoreError.

        `ended` is the pseudonym of somebody whom the store does not know any more.
        """
        result = self._result(request, "done", None, detail)
        encoded = encode(result)
        self.store.put_result(str(request.command_id), encoded, now)
        self.store.enqueue(request.gate, request.topic, encoded)
        self._record(request, result, now, ended)
        return Answer(result, encoded, durable=True, barred=barred)

    def told(self, request: Request, people: Sequence[PersonEntry], now: float, next_after: str | None = None) -> Answer:
        """The answer to a question. Not journalled: asking again may well give another answer, and changes nothing. Raises StoreError."""
        result = msgspec.structs.replace(self._result(request, "done", None, None), people=list(people), next_after=next_after)
        encoded = encode(result)
        with self.store.transaction():
            self.store.enqueue(request.gate, request.topic, encoded)
            self._record(request, result, now)
        return Answer(result, encoded, durable=True)

    def refused(self, request: Request, reason: str, detail: str, now: float, *, keep: bool) -> Answer:
        """Nothing was changed. `keep` False for what the sender may mend and send again under the same id."""
        result = self._result(request, "refused", reason, detail)
        encoded = encode(result)
        try:
            with self.store.transaction():
                if keep and request.command_id is not None:
                    self.store.put_result(request.command_id, encoded, now)
                self.store.enqueue(request.gate, request.topic, encoded)
                if request.op is not None:
                    self._record(request, result, now)
        except StoreError:
            return Answer(result, encoded, durable=False)
        return Answer(result, encoded, durable=True)

    def repeated(self, request: Request, stored: bytes) -> Answer:
        """The stored answer of a command that came again. Raises StoreError."""
        with self.store.transaction():
            self.store.enqueue(request.gate, request.topic, stored)
        return Answer(msgspec.json.decode(stored, type=Result), stored, durable=True)

    def not_durable(self, request: Request, error: StoreError, *, shut: bool) -> Answer:
        """The disk did not take it. `shut` where somebody was shut out in memory all the same."""
        so_far = "in force in memory, but not yet on disk" if shut else "nothing was changed"
        detail = f"{error.message}; {so_far}; it is tried again when the disk works"
        result = self._result(request, "failed", "not_durable", detail)
        return Answer(result, encode(result), durable=False, barred=request.person if shut else None)

    def _record(self, request: Request, result: Result, now: float, ended: str | None = None) -> None:
        pseudonym = self.store.pseudonym(request.person) if ended is None and request.person is not None else ended
        entry = CommandAnswered(
            gate=request.gate,
            command_id=request.command_id,
            op=request.op,
            status=result.status,
            reason=result.reason,
            pseudonym=pseudonym,
            gallery_revision=result.gallery_revision,
        )
        self.store.audit.append(now, entry)

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
        )
