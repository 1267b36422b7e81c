"""Everything the store holds about one person, for that person to see."""

from contextlib import suppress
from dataclasses import dataclass

from daemon.core.values import Person, Template
from daemon.edges.store.errors import VaultError, translated
from daemon.edges.store.records import Sealer
from daemon.edges.store.store import Store


@dataclass(frozen=True, slots=True)
class Dossier:
    """`created` is when each template was made, by its number; `last_order` when the last command about the person was issued (both UTC
    seconds). `results` and `messages` are JSON as it was written, with the time of the answer (UTC seconds) or the topic.

    `unreadable` counts templates of theirs of which something does not open.
    """

    record: Person
    templates: tuple[Template, ...]
    created: dict[int, float]
    last_order: float | None
    results: tuple[tuple[float, bytes], ...]
    messages: tuple[tuple[str, bytes], ...]
    unreadable: int


def dossier_of(store: Store, person: str) -> Dossier | None:
    """What is held about a person, None where nobody is enrolled under this id. Raises StoreError.

    An answer or a message is about somebody when the id stands in it as a JSON text; other people's ids may stand beside it.
    """
    with translated("read"):
        record = store._record(person)
        if record is None:
            return None
        sealer, quoted = store._sealer, b'"%b"' % person.encode()
        results = [
            (at, answer)
            for command_id, at, sealed in store._db.execute("SELECT command_id, at, sealed FROM results ORDER BY at")
            if (answer := _opened_result(sealer, sealed, command_id)) is not None and quoted in answer
        ]
        gates = [gate for (gate,) in store._db.execute("SELECT DISTINCT gate FROM outbox ORDER BY gate")]
    waiting = [message for gate in gates for message in store.pending(gate, 0, store.depth())]
    templates = store.templates_of(person)
    return Dossier(
        record=record.person,
        templates=tuple(templates),
        created=_created(store, person, record.enrolment),
        last_order=store.last_issued(person),
        results=tuple(results),
        messages=tuple((message.topic, message.payload) for message in waiting if quoted in message.payload),
        unreadable=sum(not template.crop or not template.vectors for template in templates),
    )


def _created(store: Store, person: str, enrolment: bytes) -> dict[int, float]:
    created = {}
    with translated("read"):
        for number, sealed in store._db.execute("SELECT number, sealed FROM templates WHERE person = ?", (person,)):
            with suppress(VaultError):
                created[number] = store._sealer.open_template(sealed, number, person, enrolment).created_at
    return created


def _opened_result(sealer: Sealer, sealed: object, command_id: str) -> bytes | None:
    try:
        return sealer.open_result(sealed, command_id)
    except VaultError:
        return None
