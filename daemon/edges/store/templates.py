"""The tables of templates: a crop, and a vector of each model that has embedded it.

All three rows are bound to the template's number, its person and the enrolment in the person's sealed record; a vector to its model as
well. What does not open, or belongs to nobody, is left out and named as damaged.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from daemon.core.values import Embedded, Template, Vector
from daemon.edges.store.database import Database
from daemon.edges.store.errors import StoreError, VaultError
from daemon.edges.store.numbers import next_number
from daemon.edges.store.people import PeopleTable
from daemon.edges.store.records import Sealer, TemplateRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A few templates in the order of their numbers. The next page begins after the number `last`; None where there are no more."""

    templates: tuple[Template, ...]
    last: int | None


class TemplatesTable:
    """Templates, crops and vectors. `damaged` holds the numbers of those that did not open when `vectors` or `whole` last read them."""

    def __init__(self, database: Database, people: PeopleTable) -> None:
        self._database, self._people = database, people
        self.damaged: tuple[int, ...] = ()

    # ---- writing

    def add(self, person: str, model: str, vector: Vector, crop: bytes, now: float) -> int:
        """Enter a template with the vector that `model` made of it; returns its number, which no other template ever had.

        Raises StoreError for a person who is not enrolled.
        """
        return self.add_face(person, {model: vector}, crop, now)

    def add_face(self, person: str, vectors: Mapping[str, Vector], crop: bytes, now: float) -> int:
        """Enter a template with what several models made of it, or none. Otherwise as `add`."""
        self._database.gallery_changes()
        known = self._people.record(person)
        if known is None:
            raise StoreError("the gallery cannot be written: the template belongs to nobody", "enter the person first")
        number, sealer = next_number(self._database, "templates", "number"), self._database.sealer
        place = (number, person, known.enrolment)
        self._database.execute("INSERT INTO templates VALUES (?,?,?)", (number, person, sealer.template(TemplateRecord(now), *place)))
        self._database.execute("INSERT INTO crops VALUES (?,?)", (number, sealer.crop(crop, *place)))
        for model, vector in vectors.items():
            self._put_vector(number, model, sealer.vector(vector, number, person, model, known.enrolment))
        return number

    def put_vector(self, number: int, person: str, model: str, vector: Vector) -> bool:
        """Store what a model made of a template, in place of what is there; False where the template or its person is gone."""
        known = self._people.record(person)
        found = self._database.row("SELECT 1 FROM templates WHERE number = ? AND person = ?", (number, person))
        if known is None or found is None:
            return False
        self._put_vector(number, model, self._database.sealer.vector(vector, number, person, model, known.enrolment))
        return True

    def _put_vector(self, number: int, model: str, sealed: bytes) -> None:
        self._database.execute(
            "INSERT INTO vectors VALUES (?,?,?) ON CONFLICT(number, model) DO UPDATE SET sealed = excluded.sealed", (number, model, sealed)
        )

    def remove(self, person: str, numbers: Sequence[int]) -> None:
        """Remove these templates of the person, with crops and vectors."""
        self._database.gallery_changes()
        rows: list[tuple[object, ...]] = [(person, number) for number in numbers]
        self._database.execute_each("DELETE FROM templates WHERE person = ? AND number = ?", rows)

    def drop_vectors(self, keep: Collection[str]) -> int:
        """Delete the vectors of all models but those in `keep`; returns how many vectors that were."""
        self._database.gallery_changes()
        return self._database.execute(f"DELETE FROM vectors WHERE model NOT IN ({','.join('?' * len(keep))})", tuple(keep)).rowcount

    # ---- reading everybody's

    def vectors(self, model: str) -> list[Embedded]:
        """Every vector of a model that opens, by its template's number. Reads no crop. Sets `damaged`. Raises StoreError."""
        records, found, damaged = self._people.records(), [], []
        with self._database.reading():
            for number, person, sealed in self._database.execute(
                "SELECT number, person, vectors.sealed FROM vectors LEFT JOIN templates USING (number) WHERE model = ? ORDER BY number",
                (model,),
            ):
                record, vector = records.get(person), None
                if record is not None and _number(number):
                    vector = _or_none(self._database.sealer.open_vector, sealed, number, person, model, record.enrolment)
                if vector is not None:
                    found.append(Embedded(number, person, vector))
                else:
                    damaged.append(_number(number))
        self.damaged = tuple(damaged)
        return found

    def whole(self) -> list[Template]:
        """Every template of which everything opens, by number. Sets `damaged` to the numbers of all others. Raises StoreError.

        A template without any vector is among the others, because it serves nobody. So is a vector without its template.
        """
        records, found, damaged = self._people.records(), [], []
        sealed_vectors: dict[int, list[tuple[object, object]]] = {}
        with self._database.reading():
            for number, model, sealed in self._database.execute("SELECT number, model, sealed FROM vectors"):
                sealed_vectors.setdefault(_number(number), []).append((model, sealed))
            for number, person, sealed, crop in self._database.execute(
                "SELECT number, person, templates.sealed, crops.sealed FROM templates LEFT JOIN crops USING (number) ORDER BY number"
            ):
                record, mine = records.get(person), sealed_vectors.pop(number, [])
                template = self._whole(number, person, record.enrolment, sealed, crop, mine) if record is not None and mine else None
                if template is not None:
                    found.append(template)
                else:
                    damaged.append(number)
        self.damaged = tuple(sorted([*damaged, *sealed_vectors]))
        return found

    def _whole(
        self, number: int, person: str, enrolment: bytes, sealed: object, crop: object, vectors: list[tuple[object, object]]
    ) -> Template | None:
        sealer, place = self._database.sealer, (number, person, enrolment)
        try:
            sealer.open_template(sealed, *place)
            opened = {str(model): sealer.open_vector(vector, number, person, model, enrolment) for model, vector in vectors}
            return Template(number, person, sealer.open_crop(crop, *place), opened)
        except VaultError:
            return None

    def page(self, after: int, model: str, rows: int, crops: int) -> Page:
        """The next templates after a number, each with its vector of this model, or else with its crop. Raises StoreError.

        At most `rows`, and of these at most `crops` without a vector: those are the work. People whose record does not open are left out.
        """
        found: list[Template] = []
        last, without_vector, sealer = None, 0, self._database.sealer
        enrolments: dict[str, bytes | None] = {}
        for number, person, sealed in self._database.rows(
            "SELECT templates.number, person, vectors.sealed FROM templates"
            " LEFT JOIN vectors ON vectors.number = templates.number AND model = ?"
            " WHERE templates.number > ? ORDER BY templates.number LIMIT ?",
            (model, after, rows),
        ):
            if person not in enrolments:
                enrolments[person] = self._enrolment(person)
            enrolment = enrolments[person]
            if enrolment is None:
                last = number
                continue
            vector = _or_none(sealer.open_vector, sealed, number, person, model, enrolment) if sealed is not None else None
            if vector is not None:
                found.append(Template(number, person, b"", {model: vector}))
            elif without_vector == crops:
                break
            else:
                without_vector += 1
                row = self._database.row("SELECT sealed FROM crops WHERE number = ?", (number,))
                crop = _or_none(sealer.open_crop, row[0] if row else None, number, person, enrolment)
                found.append(Template(number, person, crop or b"", {}))
            last = number
        return Page(tuple(found), last)

    # ---- reading one person's

    def of(self, person: str) -> list[Template]:
        """One person's templates, oldest first, with whatever opens of each: otherwise the crop is empty, or a vector is left out.
        Raises StoreError."""
        enrolment, found, sealer = self._enrolment(person), [], self._database.sealer
        if enrolment is None:
            return []
        for number, crop in self._database.rows(
            "SELECT number, (SELECT crops.sealed FROM crops WHERE crops.number = templates.number) FROM templates"
            " WHERE person = ? ORDER BY number",
            (person,),
        ):
            opened: dict[str, Vector] = {}
            for model, sealed in self._database.rows("SELECT model, sealed FROM vectors WHERE number = ? ORDER BY model", (number,)):
                vector = _or_none(sealer.open_vector, sealed, number, person, model, enrolment)
                if vector is not None:
                    opened[model] = vector
            found.append(Template(number, person, _or_none(sealer.open_crop, crop, number, person, enrolment) or b"", opened))
        return found

    def created(self, person: str) -> dict[int, float]:
        """When each of a person's templates was made (UTC seconds), by number, as far as it opens. Raises StoreError."""
        enrolment, created = self._enrolment(person), {}
        if enrolment is not None:
            for number, sealed in self._database.rows("SELECT number, sealed FROM templates WHERE person = ?", (person,)):
                with suppress(VaultError):
                    created[number] = self._database.sealer.open_template(sealed, number, person, enrolment).created_at
        return created

    def _enrolment(self, person: str) -> bytes | None:
        record = self._people.record(person)
        return record.enrolment if record is not None else None

    # ---- counting

    def owners(self) -> dict[int, str]:
        """Whose each template is, by number. Raises StoreError."""
        return dict(self._database.rows("SELECT number, person FROM templates"))

    def total(self) -> int:
        """How many templates there are. Raises StoreError."""
        return int(self._database.row("SELECT count(*) FROM templates")[0])

    def counts(self) -> dict[str, int]:
        """How many templates each person has. Raises StoreError."""
        return dict(self._database.rows("SELECT person, count(*) FROM templates GROUP BY person"))

    # ---- another key

    def reseal(self, new: Sealer) -> int:
        """Seal everything that opens with another key; returns how many records. The people must not be resealed yet. Raises StoreError."""
        records, count = self._people.records(), 0
        for number, person in self.owners().items():
            record = records.get(person)
            count += self._reseal(new, number, person, record.enrolment if record is not None else b"")
        return count

    def _reseal(self, new: Sealer, number: int, person: str, enrolment: bytes) -> int:
        database, old, place = self._database, self._database.sealer, (number, person, enrolment)
        key = {"number": number}
        count = database.reseal_row("templates", key, lambda sealed: new.template(old.open_template(sealed, *place), *place))
        count += database.reseal_row("crops", key, lambda sealed: new.crop(old.open_crop(sealed, *place), *place))
        for (model,) in database.rows("SELECT model FROM vectors WHERE number = ?", (number,)):
            again = partial(_resealed_vector, old, new, (number, person, model, enrolment))
            count += database.reseal_row("vectors", {**key, "model": model}, again)
        return count


def _resealed_vector(old: Sealer, new: Sealer, place: tuple[int, str, str, bytes], sealed: object) -> bytes:
    return new.vector(old.open_vector(sealed, *place), *place)


def _or_none(opening: Callable[..., T], sealed: object, *place: object) -> T | None:
    try:
        return opening(sealed, *place)
    except VaultError:
        return None


def _number(value: object) -> int:
    """The number in a row of vectors, where a damaged file can hold anything; no template has the number 0."""
    return value if isinstance(value, int) else 0
