"""All tables of one store, and what is done to all of them."""

from dataclasses import dataclass

from daemon.edges.store.audit import AuditTable
from daemon.edges.store.database import Database
from daemon.edges.store.meta import MetaTable
from daemon.edges.store.orders import EVERYBODY, OrdersTable
from daemon.edges.store.outbox import OutboxTable
from daemon.edges.store.people import PeopleTable
from daemon.edges.store.records import Sealer
from daemon.edges.store.results import ResultsTable
from daemon.edges.store.roster import RosterTable
from daemon.edges.store.sequences import SequencesTable
from daemon.edges.store.templates import TemplatesTable


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one database. Changes belong within its `transaction`."""

    database: Database
    people: PeopleTable
    templates: TemplatesTable
    orders: OrdersTable
    results: ResultsTable
    outbox: OutboxTable
    sequences: SequencesTable
    meta: MetaTable
    audit: AuditTable
    roster: RosterTable


def tables_of(database: Database) -> Tables:
    """The tables of a database that is open."""
    people = PeopleTable(database)
    return Tables(
        database=database,
        people=people,
        templates=TemplatesTable(database, people),
        orders=OrdersTable(database),
        results=ResultsTable(database),
        outbox=OutboxTable(database),
        sequences=SequencesTable(database),
        meta=MetaTable(database),
        audit=AuditTable(database),
        roster=RosterTable(database),
    )


def reseal(tables: Tables, new: Sealer) -> int:
    """Seal every record that opens, and the proof of the key, with another key; returns how many records.

    Within a transaction. The database goes on with its old key. Raises StoreError.
    """
    # Templates first: they are bound to the enrolment in their person's record, which must still open.
    count = tables.templates.reseal(new) + tables.people.reseal(new)
    count += tables.orders.reseal(new) + tables.results.reseal(new) + tables.outbox.reseal(new)
    tables.audit.reseal(new)
    tables.meta.reseal(new)
    return count


def mend(tables: Tables, issued_before: float) -> int:
    """Repair damaged records of a store that was just opened; returns how many messages were lost. Raises StoreError.

    Damaged people and templates stay: they serve nobody, and somebody may want to look at them.

    - Messages that do not open are deleted: nobody could ever send them.
    - The last order about a person, where it does not open, becomes `issued_before` (UTC seconds), which is later than any command that
      was applied. So an old command that lets somebody in stays superseded. The damage may be in the key of the row, so the same time
      holds for everybody without an order of their own.
    """
    people, rows = tables.orders.damaged(), tables.outbox.damaged()
    if people or rows:
        with tables.database.transaction():
            for person in {*people, EVERYBODY} if people else ():
                tables.orders.replace(person, issued_before)
            tables.outbox.remove(rows)
    return len(rows)
