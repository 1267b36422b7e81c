"""One handler for each command that can be answered at once: it looks, changes nothing, and says what the command does."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from daemon.commands.authority import Authority
from daemon.commands.enrolment import Enrolment, Pictures
from daemon.commands.outcome import Done, Enter, Refusal
from daemon.core.messages import Enroll, Get, List, Ping, Resume, Revoke, Suspend, Update
from daemon.core.people import records
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Person
from daemon.edges.store import Store
from daemon.pipeline.serving import Current

UNCONFIRMED = "unconfirmed, and rejected so, until a capture at a gate shows the same person: enroll with capture"

Direct = Revoke | Suspend | Resume | Update | List | Get | Ping


@dataclass(frozen=True, slots=True)
class Handlers:
    """Knows what is stored and what is in memory. Every method may raise Refusal and StoreError; `now` is UTC seconds."""

    store: Store
    current: Current
    confirm: bool = False
    """Whether photos alone leave somebody unconfirmed."""

    def handle(self, command: Direct, now: float, authority: Authority) -> Done:
        """What the command does. It is about nobody beyond the reach of its sender's `authority`, and makes no record that would be."""
        match command:
            case Revoke(person=person):
                return self._revoke(person)
            case Suspend(person=person):
                return self._change(replace(self._known(person), suspended=True), barred=person)
            case Resume(person=person):
                return self._change(replace(self._known(person), suspended=False))
            case Update(person=person):
                record = records.updated(command, self._known(person))
                authority.need_reach(record)
                return self._change(record)
            case List():
                return self._list(command, authority)
            case Get(person=person):
                entry = records.entry(self._known(person), self.store.template_counts().get(person, 0), whole=True)
                return Done(people=(entry,))
            case Ping():
                return Done()

    def enroll(self, command: Enroll, take: Callable[[], Pictures], now: float, authority: Authority) -> Done:
        """Enrol the pictures that `take` gives, or refuse with the EnrolError that it raises."""
        before = self.current.people.get(command.person)
        record = records.enrolled(command, before, now, authority.gates, confirm=self.confirm)
        for one in (before, record):
            if one is not None:
                # The record of before too: a new face on it could pass wherever the record may.
                authority.need_reach(one)
        confirms = before is not None and before.unconfirmed and command.capture is not None and not command.replace
        # Made anew for every command: another model may serve than a moment ago.
        enrolment = Enrolment(self.store, self.current.serving)
        try:
            plan = enrolment.plan(
                command.person, take(), known=before is not None, replace=command.replace, force=command.force, confirm=confirms
            )
        except EnrolError as error:
            raise Refusal(error.reason, error.detail) from None

        def write() -> Enter:
            entries = enrolment.write(plan, record, now)

            def enter() -> None:
                self.current.put(record)
                enrolment.enter(plan, entries)

            return enter

        detail = f"{plan.detail}; {UNCONFIRMED}" if record.unconfirmed else plan.detail
        if command.dry_run:
            whom = "a new person" if before is None else "somebody enrolled already"
            # The reason is for the programs that hear all answers: nobody was enrolled.
            return Done(f"nothing was changed; it would be: {whom}, {detail}", reason="dry_run")
        # With another face, or with one that nobody has confirmed, what was seen before counts no more.
        barred = before is not None and (plan.anew or record.unconfirmed)
        return Done(detail, write=write, barred=command.person if barred else None)

    def _revoke(self, person: str) -> Done:
        def write() -> Enter:
            self.store.remove_person(person)
            return lambda: self.current.remove(person)

        done = Done(write=write, barred=person, ended=self.store.pseudonym(person))
        if person in self.current.people or self.store.holds(person):
            return done
        # Done all the same: older commands that would enrol this id are superseded from now on.
        return replace(done, reason="nobody_enrolled", detail="nobody was enrolled under this id; is it the right one?")

    def _change(self, record: Person, barred: str | None = None) -> Done:
        def write() -> Enter:
            self.store.put_person(record)
            return lambda: self.current.put(record)

        return Done(write=write, barred=barred)

    def _list(self, command: List, authority: Authority) -> Done:
        counts = self.store.template_counts()
        people = {person: record for person, record in self.current.people.items() if authority.reaches(record)}
        ids = sorted(person for person in people if command.after is None or person > command.after)
        page = ids[: command.limit]
        entries = tuple(records.entry(people[person], counts.get(person, 0)) for person in page)
        return Done(people=entries, next_after=page[-1] if len(ids) > len(page) else None)

    def _known(self, person: str) -> Person:
        return known(self.current, person)


def known(current: Current, person: str) -> Person:
    """The record of somebody who is enrolled. Raises Refusal."""
    record = current.people.get(person)
    if record is None:
        raise Refusal("unknown_person", "nobody is enrolled under this id")
    return record
