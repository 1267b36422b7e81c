"""The time and the order of commands: which is too late, which comes after a newer one, and what each proves about the time."""

from dataclasses import dataclass
from datetime import timedelta

from daemon.commands.outcome import Refusal
from daemon.core.messages import Command, Enroll, Reembed, Resume, Revoke, Suspend, Update, utc
from daemon.edges.store import KEEP_RESULTS_S, Store

LONGEST_LIFE = timedelta(minutes=10)
FUTURE_S = 60.0
"""How far ahead of our clock a command may claim to be from. One from next year would supersede everything until then."""

REMEMBERED_S = KEEP_RESULTS_S - 86_400.0
"""For so long after a command was issued its answer is certainly kept, unless the sender's clock was a day ahead of ours."""

CLOCK = "*"
"""Stands beside the ids of people (none of which begins so) for the newest time that a command has proved."""


@dataclass(frozen=True, slots=True)
class Order:
    """Judges commands by what the store has noted of earlier ones. `now` is UTC seconds; every method may raise StoreError."""

    store: Store

    def proved_time(self) -> float | None:
        """The newest time that our clock and the sender of a command agreed on (UTC seconds), None before the first command."""
        return self.store.last_issued(CLOCK)

    def time(self, now: float) -> float:
        """Our clock, or the newest proved time if our clock has stepped back behind it: what has expired stays expired."""
        return max(now, self.proved_time() or now)

    def check(self, command: Command, now: float, *, signed: bool) -> None:
        """Raises Refusal for a command that is too late, too early, or older than one that was applied."""
        if isinstance(command, Revoke | Suspend):
            if signed:
                self._check_repeated(command, now)
            return  # never too late to shut somebody out
        if command.expires_at > command.issued_at + LONGEST_LIFE:
            raise Refusal("expires_too_late", "expires_at must lie within 10 minutes of issued_at")
        now, issued, expires = self.time(now), command.issued_at.timestamp(), command.expires_at.timestamp()
        if not now < expires:
            raise Refusal("expired", f"expired at {utc(expires)}, it is {utc(now)} here; send it again")
        if issued > now + FUTURE_S:
            raise Refusal("from_the_future", f"issued at {utc(issued)}, but it is {utc(now)} here; check both clocks")
        self.check_place(command)

    def _check_repeated(self, command: Revoke | Suspend, now: float) -> None:
        """Raises Refusal for a command that is older than answers are kept, and older than one that was applied to the person.

        Its own answer may be forgotten by now, so somebody may have recorded it and send it again, about a person enrolled anew.
        """
        last, issued = self.store.last_issued(command.person), command.issued_at.timestamp()
        if last is not None and issued < min(last, self.time(now) - REMEMBERED_S):
            detail = f"issued at {utc(issued)}, too long ago to tell it from a repetition, and a newer command was applied; send a new one"
            raise Refusal("superseded", detail)

    def check_place(self, command: Command) -> None:
        """Raises Refusal for a command that lets somebody in and is older than one that was applied to them."""
        if isinstance(command, Enroll | Resume | Update):
            last = self.store.last_issued(command.person)
            if last is not None and command.issued_at.timestamp() < last:
                raise Refusal("superseded", f"a newer command for this person, issued at {utc(last)}, has already been applied")

    def note_suspension(self, command: Suspend, now: float) -> None:
        """Somebody was suspended whom nobody knows. If they are being enrolled at this moment, by an older command, they must not get in.

        Call it within a transaction."""
        self._put_place(command, now)

    def note(self, command: Command, now: float) -> None:
        """Note the place of a command in the order of its person, and what it proves about the time.

        Call it within the transaction that carries the command out. A command that changes nothing about people leaves no note.
        """
        if not isinstance(command, Enroll | Revoke | Suspend | Resume | Update | Reembed):
            return
        if isinstance(command, Enroll) and command.dry_run:
            return
        issued = command.issued_at.timestamp()
        if not isinstance(command, Reembed):
            self._put_place(command, now)
        # Both clocks must agree that it is at least this late. A single clock that is wrong would make every later command look expired.
        self.store.put_issued(CLOCK, min(issued, now))
        self.store.next_revision()

    def _put_place(self, command: Enroll | Revoke | Suspend | Resume | Update, now: float) -> None:
        # Nothing bounds the time that a command which shuts somebody out may claim. Noted as it is, it could shut them out for ever.
        self.store.put_issued(command.person, min(command.issued_at.timestamp(), self.time(now) + FUTURE_S))
