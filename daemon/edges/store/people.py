"""The table of people: who is enrolled, each in one sealed record."""

from dataclasses import replace

from daemon.core.values import Person
from daemon.edges.store.database import Database
from daemon.edges.store.errors import VaultError
from daemon.edges.store.records import PersonRecord, Sealer, new_enrolment, new_pseudonym


class PeopleTable:
    """`damaged` names the people whose record did not open when `records` last read them all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.damaged: tuple[str, ...] = ()

    def records(self) -> dict[str, PersonRecord]:
        """Every record that opens, by person, in order. Sets `damaged`. Raises StoreError."""
        records, damaged = {}, []
        for person, sealed in self._database.rows("SELECT person, sealed FROM people ORDER BY person"):
            try:
                records[person] = self._database.sealer.open_person(sealed, person)
            except VaultError:
                damaged.append(str(person))
        self.damaged = tuple(damaged)
        return records

    def record(self, person: str) -> PersonRecord | None:
        """One person's record; None where there is none or it does not open. Raises StoreError."""
        row = self._database.row("SELECT sealed FROM people WHERE person = ?", (person,))
        try:
            return self._database.sealer.open_person(row[0], person) if row else None
        except VaultError:
            return None

    def holds(self, person: str) -> bool:
        """Whether there is a record or a template of a person, also one that does not open. Raises StoreError."""
        query = "SELECT 1 FROM people WHERE person = ? UNION ALL SELECT 1 FROM templates WHERE person = ? LIMIT 1"
        return self._database.row(query, (person, person)) is not None

    def put(self, person: Person, pseudonym: str | None = None) -> None:
        """Enter a person, or change the record; the day of enrolment and the pseudonym stay.

        Where the record there does not open, the enrolment starts anew: templates that no sound record vouches for are removed.
        `pseudonym` is for a person who was removed and is put again.
        """
        self._database.gallery_changes()
        before = self.record(person.person)
        if before is None:
            self._database.execute("DELETE FROM templates WHERE person = ?", (person.person,))
            record = PersonRecord(new_enrolment(), person, pseudonym or new_pseudonym())
        else:
            kept = replace(person, enrolled_at=before.person.enrolled_at)
            record = PersonRecord(before.enrolment, kept, before.pseudonym or new_pseudonym())
        self._database.execute(
            "INSERT INTO people VALUES (?,?) ON CONFLICT(person) DO UPDATE SET sealed=excluded.sealed",
            (person.person, self._database.sealer.person(record)),
        )

    def remove(self, person: str) -> None:
        """Remove a person and all their templates."""
        self._database.gallery_changes()
        # The second statement would delete the templates too, but not where the person's row is missing.
        self._database.execute("DELETE FROM templates WHERE person = ?", (person,))
        self._database.execute("DELETE FROM people WHERE person = ?", (person,))

    def reseal(self, new: Sealer) -> int:
        """Seal every record that opens with another key; returns how many."""
        old = self._database.sealer
        return self._database.reseal("people", "person", lambda person, sealed: new.person(old.open_person(sealed, person)))
