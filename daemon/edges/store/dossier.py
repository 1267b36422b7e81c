"""Everything the store holds about one person, for that person to see."""

from dataclasses import dataclass

from daemon.core.values import Person, Template
from daemon.edges.store.store import Store


@dataclass(frozen=True, slots=True)
class Dossier:
    """`created` is when each template was made, by its number; `last_order` is when the last command about the person was issued (both UTC
    seconds). `results` and `messages` are JSON as it was written, with the time of the answer (UTC seconds) or the topic.

    `unreadable` counts the person's templates of which something does not open.
    """

    record: Person
    templates: tuple[Template, ...]
    created: dict[int, float]
    last_order: float | None
    results: tuple[tuple[float, bytes], ...]
    messages: tuple[tuple[str, bytes], ...]
    unreadable: int


def dossier_of(store: Store, person: str) -> Dossier | None:
    """What is held about a person; None where nobody is enrolled under this id. Raises StoreError.

    An answer or a message is about a person when it contains the id as a JSON text. Other people's ids may stand beside it.
    """
    tables, quoted = store.tables, b'"%b"' % person.encode()
    record = tables.people.record(person)
    if record is None:
        return None
    templates = tables.templates.of(person)
    return Dossier(
        record=record.person,
        templates=tuple(templates),
        created=tables.templates.created(person),
        last_order=tables.orders.last(person),
        results=tuple(tables.results.containing(quoted)),
        messages=tuple(tables.outbox.containing(quoted)),
        unreadable=sum(not template.crop or not template.vectors for template in templates),
    )
