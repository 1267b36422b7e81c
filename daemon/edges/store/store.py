"""The store: the truth about people, templates, answered commands and messages still to be sent, in one SQLite file.

Every acknowledged change is one transaction, on disk (WAL, synchronous=FULL) before anything is said about it. The engine is the only
writer. What names or shows somebody is sealed (records.py) and bound to its row. What does not open counts as missing, and `damage` names
it; with a person's record that does not open go all their templates.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

from daemon.core.values import Embedded, Person, Template, Vector
from daemon.edges.store.audit import AuditTable
from daemon.edges.store.database import Database
from daemon.edges.store.meta import SIGNING
from daemon.edges.store.outbox import Pending
from daemon.edges.store.records import Damage
from daemon.edges.store.roster import RosterTable
from daemon.edges.store.schema import share
from daemon.edges.store.tables import mend, tables_of
from daemon.edges.store.templates import Page


class Store:
    """One daemon's folder. Not thread-safe: the engine owns it. Reading raises StoreError for a file that cannot be read.

    What the methods do is said beside the tables, which are `tables`. Methods that write belong within a `transaction`, except `probe`,
    `sent` and `settle`, which are one themselves.
    """

    def __init__(self, database: Database, lock: TextIO | None = None) -> None:
        self.database, self.tables = database, tables_of(database)
        self._lock, self._lost_messages = lock, 0

    def mend(self, issued_before: float) -> None:
        """Repair damaged records of a store that was just opened. No command issued after `issued_before` (UTC seconds) was applied."""
        self._lost_messages = mend(self.tables, issued_before)

    def close(self) -> None:
        self.database.close()
        if self._lock is not None:
            self._lock.close()

    def purpose_key(self, purpose: str) -> bytes:
        """A key of 32 bytes for something beside the store, derived from the box's key: every rotation changes it."""
        return self.database.sealer.vault.derived(purpose)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, durable when the block has ended. Raises StoreError when the disk does not take it."""
        return self.database.transaction()

    def unhurried(self) -> AbstractContextManager[None]:
        """All or nothing, durable with the next `transaction`, or when a thread aside has flushed the file (`flush`). Raises StoreError."""
        return self.database.unhurried()

    @property
    def path(self) -> Path:
        """The file of the database."""
        return Path(self.database.row("PRAGMA database_list")[2])

    def settle_later(self) -> None:
        """From now on a transaction that changes the gallery leaves its change in SQLite's log. The owner calls `settle` before it says
        that the change is done."""
        self.database.settles_later = True

    @property
    def settle_due(self) -> bool:
        """Whether a change of the gallery waits for `settle`."""
        return self.database.settle_due

    def settle(self) -> None:
        """Move changes of the gallery from SQLite's log into the file. Where a reader prevents it, they are safe in the log meanwhile."""
        if self.database.settle_due:
            self.database.settle()

    @property
    def unsettled(self) -> bool:
        """Whether the log still holds what a change of the gallery replaced or erased, because a reader needs it."""
        return self.database.unsettled

    def settle_again(self) -> None:
        """Try again what a reader prevented."""
        self.database.settle()

    def probe(self) -> None:
        """Try to write. Raises StoreError while the disk does not take it."""
        with self.transaction():
            self.tables.meta.touch()

    def integrity(self) -> str:
        """SQLite's own check of the whole file: `ok`, or what it found."""
        return self.database.integrity()

    def damage(self) -> Damage:
        """What did not open when people and templates were last read, and when the store was opened."""
        return Damage(self.tables.people.damaged, self.tables.templates.damaged, self._lost_messages)

    @property
    def audit(self) -> AuditTable:
        """The audit chain."""
        return self.tables.audit

    @property
    def roster(self) -> RosterTable:
        """The records of the roster, where this box is part of one."""
        return self.tables.roster

    def share(self) -> None:
        """From now on this store is part of a roster. An earlier daemon does not open it any more."""
        with self.transaction():
            share(self.database)
        self.tables.roster.made()

    # ---- people

    def people(self) -> list[Person]:
        """Everybody whose record opens, by id."""
        return [record.person for record in self.tables.people.records().values()]

    def put_person(self, person: Person, pseudonym: str | None = None) -> None:
        """Enter a person, or change the record; `pseudonym` is for a person who was removed and is put again."""
        self.tables.people.put(person, pseudonym)

    def remove_person(self, person: str) -> None:
        """Remove a person and all their templates."""
        self.tables.people.remove(person)

    def holds(self, person: str) -> bool:
        """Whether anything is stored of a person, also what does not open."""
        return self.tables.people.holds(person)

    def pseudonym(self, person: str) -> str | None:
        """Who a person is in the audit chain; None where no record says so."""
        record = self.tables.people.record(person)
        return record.pseudonym or None if record is not None else None

    # ---- templates

    def vectors(self, model: str) -> list[Embedded]:
        """What this model made of every template, by number, as far as it opens. Reads no crops."""
        return self.tables.templates.vectors(model)

    def templates(self) -> list[Template]:
        """Every template of which everything opens, by number."""
        return self.tables.templates.whole()

    def templates_of(self, person: str) -> list[Template]:
        """One person's templates, oldest first, each with what opens of it."""
        return self.tables.templates.of(person)

    def templates_after(self, number: int, model: str, rows: int, crops: int) -> Page:
        """At most `rows` templates after that number, each with its vector of this model; at most `crops` with their crop instead."""
        return self.tables.templates.page(number, model, rows, crops)

    def owners(self) -> dict[int, str]:
        """Whose each template is, by number."""
        return self.tables.templates.owners()

    def template_total(self) -> int:
        """How many templates there are."""
        return self.tables.templates.total()

    def template_counts(self) -> dict[str, int]:
        """How many templates each person has."""
        return self.tables.templates.counts()

    def add_template(self, person: str, model: str, vector: Vector, crop: bytes, now: float) -> int:
        """Enter a template with the vector that `model` made of it; returns its number. Raises StoreError for a person not enrolled."""
        return self.tables.templates.add(person, model, vector, crop, now)

    def add_face(self, person: str, vectors: Mapping[str, Vector], crop: bytes, now: float) -> int:
        """The same with what several models made of it, or none."""
        return self.tables.templates.add_face(person, vectors, crop, now)

    def put_vector(self, number: int, person: str, model: str, vector: Vector) -> bool:
        """Store what a model made of a template; False where the template or its person is gone."""
        return self.tables.templates.put_vector(number, person, model, vector)

    def remove_templates(self, person: str, numbers: Sequence[int]) -> None:
        """Remove some of a person's templates, with all that was made of them."""
        self.tables.templates.remove(person, numbers)

    def drop_vectors(self, keep: Collection[str]) -> int:
        """Delete the vectors of all models but those in `keep`; returns how many vectors that were."""
        return self.tables.templates.drop_vectors(keep)

    # ---- commands: their order and their answers

    def last_issued(self, person: str) -> float | None:
        """`issued_at` of the newest command applied to the person, kept after a revocation (UTC seconds)."""
        return self.tables.orders.last(person)

    def put_issued(self, person: str, issued_at: float) -> None:
        """A command issued at `issued_at` (UTC seconds) is applied to the person."""
        self.tables.orders.put(person, issued_at)

    def result(self, command_id: str) -> bytes | None:
        """The answer that was given to a command, where there is one that opens."""
        return self.tables.results.get(command_id)

    def put_result(self, command_id: str, result: bytes, now: float) -> None:
        """Keep the answer to a command, given at `now` (UTC seconds)."""
        self.tables.results.put(command_id, result, now)

    def prune_results(self, before: float, after_id: str, limit: int) -> str | None:
        """Delete what was given before `before` (UTC seconds) among the next `limit` answers after that id; returns the last id, or None
        after the last answer."""
        return self.tables.results.prune(before, after_id, limit)

    # ---- counters, and which model serves

    def revision(self) -> int:
        """How many times the gallery has changed."""
        return self.tables.meta.revision()

    def next_revision(self) -> int:
        """Count one more change of the gallery."""
        return self.tables.meta.next_revision()

    def next_sequence(self, gate: str) -> int:
        """The number of the gate's next decision, from 1 on, across restarts."""
        return self.tables.sequences.next(gate)

    def serving(self) -> str | None:
        """The id of the bundle that serves, as it was last noted."""
        return self.tables.meta.serving()

    def put_serving(self, model: str) -> None:
        """Note which bundle serves."""
        self.tables.meta.put_serving(model)

    def client_tag(self) -> str:
        """A random word of this box for its client ids at the broker. Raises StoreError where it cannot be stored."""
        with self.transaction():
            return self.tables.meta.client_tag()

    def counted_time(self) -> float | None:
        """The time (UTC seconds) by which the last run deleted what was old; None before the first."""
        return self.tables.meta.counted_time()

    def put_counted_time(self, at: float) -> None:
        """Note it for the next run."""
        self.tables.meta.put_counted_time(at)

    def gates(self) -> list[str]:
        """The gates that the box speaks for at the broker, as they were last noted."""
        return self.tables.meta.gates()

    def put_gates(self, gates: Sequence[str]) -> None:
        """Note them."""
        self.tables.meta.put_gates(gates)

    def discovered(self) -> dict[str, list[str]]:
        """What Home Assistant may have been told: the topics of retained messages, by gate."""
        return self.tables.meta.discovered()

    def put_discovered(self, topics: Mapping[str, Sequence[str]]) -> None:
        """Note it."""
        self.tables.meta.put_discovered(topics)

    def signing_key(self) -> bytes | None:
        """The secret that the box signs with, where there is one that opens."""
        return self.secret(SIGNING)

    def put_signing_key(self, secret: bytes) -> None:
        """The box signs with this secret from now on."""
        self.put_secret(SIGNING, secret)

    def secret(self, name: str) -> bytes | None:
        """A secret of the box, where there is one of this name that opens."""
        return self.tables.meta.secret(name)

    def put_secret(self, name: str, secret: bytes) -> None:
        """Keep a secret of the box."""
        self.tables.meta.put_secret(name, secret)

    def roster_place(self) -> tuple[int, bool]:
        """The number of the newest head of the roster that was believed, and whether the box has once held the whole roster."""
        return self.tables.meta.roster_place()

    def put_roster_place(self, number: int, whole: bool) -> None:
        """Note it. A power failure may set it back."""
        with self.database.unhurried():
            self.tables.meta.put_roster_place(number, whole)

    def roster_sent(self, records: Collection[tuple[int, bytes]]) -> None:
        """The fleet has these records: rows with digests. A power failure may undo it: they are sent again then."""
        with self.database.unhurried():
            self.tables.roster.settle(records)

    # ---- outbox

    def enqueue(self, gate: str, topic: str, payload: bytes, valid_until: float | None = None, at: float = 0.0) -> int:
        """Put a message into the outbox, stored `at` (UTC seconds; 0 if not known); returns its row."""
        return self.tables.outbox.put(gate, topic, payload, valid_until, at)

    def waiting(self, gate: str) -> Sequence[int]:
        """The rows of a gate's messages, in order."""
        return self.tables.outbox.rows(gate)

    def message(self, row: int, gate: str) -> Pending | None:
        """A message of a gate; None if it has gone."""
        return self.tables.outbox.get(row, gate)

    def depth(self) -> int:
        """How many messages wait."""
        return self.tables.outbox.depth()

    def drop(self, rows: list[int]) -> None:
        """Give these messages up."""
        self.tables.outbox.remove(rows)

    def sent(self, rows: list[int]) -> None:
        """The broker has taken these messages. A power failure may bring them back: they are sent twice then."""
        with self.database.unhurried():
            self.tables.outbox.remove(rows)
