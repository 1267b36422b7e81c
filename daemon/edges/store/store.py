"""SQLite: the truth about people, templates, answered commands and messages still to be sent.

Every acknowledged change is one transaction, on disk (WAL, synchronous=FULL) before anything is said about it. One writer: the engine.
What names or shows somebody is sealed (records.py), and bound to its row. What does not open is as if it were not there, and `damage`
says so: a person's record that does not open takes all their templates along.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TextIO

import numpy as np

from daemon.core.values import Embedded, Person, Template
from daemon.edges.store import templates as rows_of
from daemon.edges.store.audit import AuditTable
from daemon.edges.store.errors import StoreError, VaultError, translated
from daemon.edges.store.mending import EVERYBODY, PUT_ORDER
from daemon.edges.store.records import Damage, MessageRecord, PersonRecord, Sealer, TemplateRecord, new_enrolment, new_pseudonym
from daemon.edges.store.templates import Page

KEEP_RESULTS_S = 30 * 86_400
"""How long the answer to a command is kept for its redelivery."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that the broker has not taken yet. `valid_until` (UTC seconds) is set for what loses its meaning with time."""

    row: int
    gate: str
    topic: str
    payload: bytes
    valid_until: float | None


class Store:
    """One daemon's folder. Not thread-safe: the engine owns it."""

    def __init__(self, connection: sqlite3.Connection, lock: TextIO | None, sealer: Sealer, lost_messages: int = 0) -> None:
        self._db, self._lock, self._sealer = connection, lock, sealer
        self._unsettled = False  # the gallery has changed, and the change is only in the log
        self._bad_people: tuple[str, ...] = ()
        self._bad_templates: tuple[int, ...] = ()
        self._lost_messages = lost_messages
        self.audit = AuditTable(connection, sealer)

    def close(self) -> None:
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def purpose_key(self, purpose: str) -> bytes:
        """A key of 32 bytes for something beside the store, derived from the box's key: another with every rotation."""
        return self._sealer.vault.derived(purpose)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it returns. Raises StoreError when the disk does not take it."""
        with translated("written"):
            self._db.execute("BEGIN IMMEDIATE")
        try:
            with translated("written"):
                yield
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        if self._unsettled:
            self._settle()

    def _settle(self) -> None:
        """Bring a changed gallery from the log into the file and empty the log.

        No page of somebody revoked stays in it; and because SQLite drops a damaged log without a word, what it holds could be undone.
        """
        try:
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.DatabaseError:
            return  # the change is durable in the log; the next transaction tries again
        self._unsettled = bool(busy)

    # ---- people and templates

    def people(self) -> list[Person]:
        """Everybody whose record opens, by id."""
        records, self._bad_people = self._records()
        return [record.person for record in records.values()]

    def vectors(self, model: str) -> list[Embedded]:
        """What this model made of every template, by number, as far as it opens. Reads no crops."""
        records, self._bad_people = self._records()
        with translated("read"):
            found, self._bad_templates = rows_of.vectors(self._db, self._sealer, records, model)
        return found

    def templates(self) -> list[Template]:
        """Every template of which everything opens, by number."""
        records, self._bad_people = self._records()
        with translated("read"):
            found, self._bad_templates = rows_of.templates(self._db, self._sealer, records)
        return found

    def templates_of(self, person: str) -> list[Template]:
        """One person's templates, oldest first, each with what opens of it."""
        with translated("read"):
            record = self._record(person)
            return [] if record is None else rows_of.templates_of(self._db, self._sealer, person, record.enrolment)

    def templates_after(self, number: int, model: str, rows: int, crops: int) -> Page:
        """At most `rows` templates behind that number, each with its vector of this model; at most `crops` with their crop instead."""
        known: dict[str, bytes | None] = {}

        def enrolment_of(person: str) -> bytes | None:
            if person not in known:
                record = self._record(person)
                known[person] = record.enrolment if record is not None else None
            return known[person]

        with translated("read"):
            return rows_of.page(self._db, self._sealer, enrolment_of, model, number, rows, crops)

    def owners(self) -> dict[int, str]:
        """Whose each template is, by number."""
        with translated("read"):
            return dict(rows_of.owners(self._db))

    def template_total(self) -> int:
        """How many templates there are."""
        with translated("read"):
            return int(self._db.execute("SELECT count(*) FROM templates").fetchone()[0])

    def damage(self) -> Damage:
        """What did not open when people and templates were last read, and when the store was opened."""
        return Damage(self._bad_people, self._bad_templates, self._lost_messages)

    def template_counts(self) -> dict[str, int]:
        """How many templates each person has."""
        with translated("read"):
            return dict(self._db.execute("SELECT person, count(*) FROM templates GROUP BY person").fetchall())

    def put_person(self, p: Person, pseudonym: str | None = None) -> None:
        """Enter a person, or change the record; the day of enrolment and the pseudonym stay. Over a record that does not open the enrolment
        starts anew: templates that no sound record vouches for are removed. `pseudonym` is for somebody who was removed to be put again."""
        self._unsettled = True
        before = self._record(p.person)
        if before is None:
            self._db.execute("DELETE FROM templates WHERE person = ?", (p.person,))
            record = PersonRecord(new_enrolment(), p, pseudonym or new_pseudonym())
        else:
            kept = replace(p, enrolled_at=before.person.enrolled_at)
            record = PersonRecord(before.enrolment, kept, before.pseudonym or new_pseudonym())
        self._db.execute(
            "INSERT INTO people VALUES (?,?) ON CONFLICT(person) DO UPDATE SET sealed=excluded.sealed",
            (p.person, self._sealer.person(record)),
        )

    def add_template(self, person: str, model: str, vector: np.ndarray, crop: bytes, now: float) -> int:
        """A new template with what `model` made of it; its number, which no other ever had. Raises StoreError for who is not enrolled."""
        self._unsettled = True
        known = self._record(person)
        if known is None:
            raise StoreError("the gallery cannot be written: a template of nobody", "put the person first")
        number = self._next_number("templates", "number")
        rows_of.put_template(self._db, self._sealer, TemplateRecord(now), crop, number, person, known.enrolment)
        rows_of.put_vector(self._db, self._sealer, vector, number, person, model, known.enrolment)
        return number

    def put_vector(self, number: int, person: str, model: str, vector: np.ndarray) -> bool:
        """What a model made of a template that is there; False where it has gone meanwhile, or its person has."""
        known = self._record(person)
        mine = self._db.execute("SELECT 1 FROM templates WHERE number = ? AND person = ?", (number, person)).fetchone()
        if known is None or mine is None:
            return False
        rows_of.put_vector(self._db, self._sealer, vector, number, person, model, known.enrolment)
        return True

    def remove_templates(self, person: str, numbers: Sequence[int]) -> None:
        """Take some of a person's templates out, with all that was made of them."""
        self._unsettled = True
        rows_of.remove(self._db, person, numbers)

    # ---- which model serves

    def serving(self) -> str | None:
        """The id of the bundle that serves, as it was last noted."""
        with translated("read"):
            row = self._db.execute("SELECT value FROM meta WHERE key = 'serving'").fetchone()
        return str(row[0]) if row is not None else None

    def put_serving(self, model: str) -> None:
        self._unsettled = True
        self._db.execute("INSERT INTO meta VALUES ('serving', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (model,))

    def drop_vectors(self, but: Collection[str]) -> int:
        """Let go what all models but these made; how many vectors that were."""
        self._unsettled = True
        return rows_of.drop_vectors(self._db, but)

    def pseudonym(self, person: str) -> str | None:
        """Who somebody enrolled is in the audit chain; None where no record says so."""
        with translated("read"):
            record = self._record(person)
        return record.pseudonym or None if record is not None else None

    def remove_person(self, person: str) -> None:
        self._unsettled = True
        self._db.execute("DELETE FROM templates WHERE person = ?", (person,))  # also where nobody's record is left to refer to
        self._db.execute("DELETE FROM people WHERE person = ?", (person,))

    def _records(self) -> tuple[dict[str, PersonRecord], tuple[str, ...]]:
        """Every record that opens, by person, and the people whose record does not."""
        with translated("read"):
            rows = self._db.execute("SELECT person, sealed FROM people ORDER BY person").fetchall()
        records, bad = {}, []
        for person, sealed in rows:
            try:
                records[person] = self._sealer.open_person(sealed, person)
            except VaultError:
                bad.append(str(person))
        return records, tuple(bad)

    def _record(self, person: str) -> PersonRecord | None:
        row = self._db.execute("SELECT sealed FROM people WHERE person = ?", (person,)).fetchone()
        try:
            return self._sealer.open_person(row[0], person) if row else None
        except VaultError:
            return None

    def _next_number(self, table: str, column: str) -> int:
        """What AUTOINCREMENT would give: it has to be known beforehand, because a row is bound to its number."""
        row = self._db.execute(
            "SELECT max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?),"
            f" (SELECT coalesce(max({column}), 0) FROM {table}))",
            (table,),
        ).fetchone()
        return _whole(row) + 1

    # ---- order and answers of commands

    def last_issued(self, person: str) -> float | None:
        """`issued_at` of the newest command applied to the person, kept after a revoke (UTC seconds)."""
        with translated("read"):
            rows = dict(self._db.execute("SELECT person, sealed FROM orders WHERE person IN (?, ?)", (person, EVERYBODY)).fetchall())
        whose = person if person in rows else EVERYBODY
        try:
            return self._sealer.open_order(rows[whose], whose) if rows else None
        except VaultError as error:  # sound when the store was opened: the disk is failing now
            raise StoreError(f"the gallery cannot be read: {error.message}", "look at the disk; `ostiaryd check` says more") from None

    def put_issued(self, person: str, issued_at: float) -> None:
        self._unsettled = True
        try:
            last = self.last_issued(person)
        except StoreError:  # it does not open; what is written now is newer than anything applied before
            last = None
        newest = issued_at if last is None else max(last, issued_at)
        self._db.execute(PUT_ORDER, (person, self._sealer.order(newest, person)))

    def result(self, command_id: str) -> bytes | None:
        """The answer that was given. None also for one that does not open: the command is then done again, as if it were new."""
        with translated("read"):
            row = self._db.execute("SELECT sealed FROM results WHERE command_id = ?", (command_id,)).fetchone()
        try:
            return self._sealer.open_result(row[0], command_id) if row else None
        except VaultError:
            return None

    def put_result(self, command_id: str, result: bytes, now: float) -> None:
        self._db.execute(
            "INSERT INTO results VALUES (?,?,?) ON CONFLICT(command_id) DO UPDATE SET sealed=excluded.sealed, at=excluded.at",
            (command_id, self._sealer.result(result, command_id), now),
        )
        self._db.execute("DELETE FROM results WHERE at < ?", (now - KEEP_RESULTS_S,))

    # ---- counters

    def revision(self) -> int:
        """How many times the gallery has changed."""
        with translated("read"):
            return _whole(self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone())

    def next_revision(self) -> int:
        self._unsettled = True
        return _whole(self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision' RETURNING value").fetchone())

    def next_sequence(self, gate: str) -> int:
        """The number of the gate's next decision, from 1 on, across restarts."""
        return _whole(
            self._db.execute(
                "INSERT INTO sequences VALUES (?, 1) ON CONFLICT(gate) DO UPDATE SET sequence = sequence + 1 RETURNING sequence", (gate,)
            ).fetchone()
        )

    def probe(self) -> None:
        """Try to write. Raises StoreError while the disk does not take it."""
        with self.transaction():
            self._db.execute("UPDATE meta SET value = value WHERE key = 'revision'")

    # ---- outbox

    def enqueue(self, gate: str, topic: str, payload: bytes, valid_until: float | None = None) -> int:
        """Put a message into the outbox; returns its row."""
        row = self._next_number("outbox", "row")
        self._db.execute(
            "INSERT INTO outbox VALUES (?,?,?)", (row, gate, self._sealer.message(MessageRecord(topic, payload, valid_until), row, gate))
        )
        return row

    def pending(self, gate: str, after: int, limit: int) -> list[Pending]:
        """The oldest messages of a gate with a row above `after`, in order. What does not open is passed over."""
        waiting: list[Pending] = []
        with translated("read"):
            for row, sealed in self._db.execute("SELECT row, sealed FROM outbox WHERE gate = ? AND row > ? ORDER BY row", (gate, after)):
                if len(waiting) == limit:
                    break
                try:
                    message = self._sealer.open_message(sealed, row, gate)
                except VaultError:
                    continue
                waiting.append(Pending(row, gate, message.topic, message.payload, message.valid_until))
        return waiting

    def depth(self) -> int:
        with translated("read"):
            return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def sent(self, rows: list[int]) -> None:
        """The broker has taken these messages."""
        with self.transaction():
            self._db.executemany("DELETE FROM outbox WHERE row = ?", [(row,) for row in rows])

    def integrity(self) -> str:
        """SQLite's own check of the whole file: `ok`, or what it found."""
        with translated("read"):
            return str(self._db.execute("PRAGMA integrity_check").fetchone()[0])


def _whole(row: tuple[object, ...] | None) -> int:
    """The counter of a row. A damaged file can hold anything there, or nothing."""
    if row is None or not isinstance(row[0], int):
        raise StoreError("the gallery cannot be read: a counter is damaged", "restore a backup")
    return row[0]
