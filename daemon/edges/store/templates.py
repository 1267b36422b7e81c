"""Templates in the store: a crop, and a vector of each model that has embedded it.

All three rows are bound to the template's number, its person and the enrolment that stands in the person's sealed record; a vector to its
model as well. Whatever does not open, or belongs to nobody, is left out and named.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from daemon.core.values import Embedded, Template, Vector
from daemon.edges.store.errors import VaultError
from daemon.edges.store.records import PersonRecord, Sealer, TemplateRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A few templates in the order of their numbers. `last` is the number the next page begins behind, None where there are no more."""

    templates: tuple[Template, ...]
    last: int | None


def put_template(
    db: sqlite3.Connection, sealer: Sealer, record: TemplateRecord, crop: bytes, number: int, person: str, enrolment: bytes
) -> None:
    """A template and its crop, without any vector."""
    place = (number, person, enrolment)
    db.execute("INSERT INTO templates VALUES (?,?,?)", (number, person, sealer.template(record, *place)))
    db.execute("INSERT INTO crops VALUES (?,?)", (number, sealer.crop(crop, *place)))


def put_vector(db: sqlite3.Connection, sealer: Sealer, vector: Vector, number: int, person: str, model: str, enrolment: bytes) -> None:
    """What a model made of a template; in the place of one that does not open."""
    sealed = sealer.vector(vector, number, person, model, enrolment)
    db.execute(
        "INSERT INTO vectors VALUES (?,?,?) ON CONFLICT(number, model) DO UPDATE SET sealed = excluded.sealed", (number, model, sealed)
    )


def vectors(
    db: sqlite3.Connection, sealer: Sealer, records: Mapping[str, PersonRecord], model: str
) -> tuple[list[Embedded], tuple[int, ...]]:
    """Every vector of a model by its template's number, and the numbers of those that do not open. Reads no crop."""
    found, bad = [], []
    for number, person, sealed in db.execute(
        "SELECT number, person, vectors.sealed FROM vectors LEFT JOIN templates USING (number) WHERE model = ? ORDER BY number", (model,)
    ):
        record = records.get(person)
        try:
            if record is None or not _number(number):
                raise VaultError("a template of nobody", "restore a backup")
            found.append(Embedded(number, person, sealer.open_vector(sealed, number, person, model, record.enrolment)))
        except VaultError:
            bad.append(_number(number))
    return found, tuple(bad)


def templates(db: sqlite3.Connection, sealer: Sealer, records: Mapping[str, PersonRecord]) -> tuple[list[Template], tuple[int, ...]]:
    """Every template of which everything opens, by number, and the numbers of all others.

    One that no model has a vector of is among the others: it serves nobody. So is the number of a vector without its template.
    """
    sealed_vectors: dict[int, list[tuple[object, object]]] = {}
    for number, model, sealed in db.execute("SELECT number, model, sealed FROM vectors"):
        sealed_vectors.setdefault(_number(number), []).append((model, sealed))
    found, bad = [], []
    for number, person, sealed, crop in db.execute(
        "SELECT number, person, templates.sealed, crops.sealed FROM templates LEFT JOIN crops USING (number) ORDER BY number"
    ):
        record, mine = records.get(person), sealed_vectors.pop(number, [])
        try:
            if record is None or not mine:
                raise VaultError("a template of nobody, or of no model", "restore a backup")
            place = (number, person, record.enrolment)
            sealer.open_template(sealed, *place)
            opened = {str(model): sealer.open_vector(one, number, person, model, record.enrolment) for model, one in mine}
            found.append(Template(number, person, sealer.open_crop(crop, *place), opened))
        except VaultError:
            bad.append(number)
    return found, tuple(sorted([*bad, *sealed_vectors]))


def templates_of(db: sqlite3.Connection, sealer: Sealer, person: str, enrolment: bytes) -> list[Template]:
    """One person's templates, oldest first, with whatever opens of each: a crop that does not is empty, such a vector is left out."""
    found = []
    for number, crop in db.execute(
        "SELECT number, (SELECT crops.sealed FROM crops WHERE crops.number = templates.number) FROM templates"
        " WHERE person = ? ORDER BY number",
        (person,),
    ).fetchall():
        opened: dict[str, Vector] = {}
        for model, sealed in db.execute("SELECT model, sealed FROM vectors WHERE number = ? ORDER BY model", (number,)):
            vector = _or_none(sealer.open_vector, sealed, number, person, model, enrolment)
            if vector is not None:
                opened[model] = vector
        found.append(Template(number, person, _or_none(sealer.open_crop, crop, number, person, enrolment) or b"", opened))
    return found


def page(
    db: sqlite3.Connection,
    sealer: Sealer,
    enrolment_of: Callable[[str], bytes | None],
    model: str,
    after: int,
    rows: int,
    crops: int,
) -> Page:
    """The next templates behind number `after`, each with its vector of this model, or else with its crop.

    At most `rows`, and of these at most `crops` without a vector: those are the work. People whose record does not open are passed over.
    """
    found: list[Template] = []
    last, wanting = None, 0
    for number, person, sealed in db.execute(
        "SELECT templates.number, person, vectors.sealed FROM templates"
        " LEFT JOIN vectors ON vectors.number = templates.number AND model = ?"
        " WHERE templates.number > ? ORDER BY templates.number LIMIT ?",
        (model, after, rows),
    ).fetchall():
        enrolment = enrolment_of(person)
        if enrolment is None:
            last = number
            continue
        vector = _or_none(sealer.open_vector, sealed, number, person, model, enrolment) if sealed is not None else None
        if vector is not None:
            found.append(Template(number, person, b"", {model: vector}))
        elif wanting == crops:
            break
        else:
            wanting += 1
            row = db.execute("SELECT sealed FROM crops WHERE number = ?", (number,)).fetchone()
            crop = _or_none(sealer.open_crop, row[0] if row else None, number, person, enrolment)
            found.append(Template(number, person, crop or b"", {}))
        last = number
    return Page(tuple(found), last)


def drop_vectors(db: sqlite3.Connection, but: Collection[str]) -> int:
    """Let go what all other models made; how many vectors that were."""
    return db.execute(f"DELETE FROM vectors WHERE model NOT IN ({','.join('?' * len(but))})", tuple(but)).rowcount


def remove(db: sqlite3.Connection, person: str, numbers: Sequence[int]) -> None:
    """Take these templates of the person out, with crops and vectors."""
    db.executemany("DELETE FROM templates WHERE person = ? AND number = ?", [(person, number) for number in numbers])


def owners(db: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """(number, person) of every template."""
    yield from db.execute("SELECT number, person FROM templates")


def _or_none(opening: Callable[..., T], sealed: object, *place: object) -> T | None:
    try:
        return opening(sealed, *place)
    except VaultError:
        return None


def _number(value: object) -> int:
    """A number of the table of vectors, where a damaged file can hold anything; 0 is no template's."""
    return value if isinstance(value, int) else 0
