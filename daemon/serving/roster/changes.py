"""What the roster says of a person becomes a record, templates and vectors here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.core.audit import RosterApplied
from daemon.core.people import roster_cards
from daemon.core.people.roster import Face
from daemon.core.values import Person, Template, Vector
from daemon.edges.gallery import sound
from daemon.edges.store import Store
from daemon.pipeline.model import Model
from daemon.pipeline.serving import Current
from daemon.serving.roster.book import Word

Entry = tuple[int, Vector]
"""The number of a template and its vector of the serving model."""


@dataclass(frozen=True, slots=True)
class Change:
    """The store has it; memory follows with `Changes.enter` when the transaction is over. `entries` are those that the gallery has to get;
    with `anew` they are all that it holds of the person. `record` is None for somebody who is gone. `lacking` is the lowest number of a
    template without a vector of the serving model. `barred`: what was seen of the person before counts no more."""

    person: str
    record: Person | None
    entries: tuple[Entry, ...] = ()
    anew: bool = True
    lacking: int | None = None
    barred: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """Owned by the engine, like what it changes. `models` are those of the configured bundles, by id: what others
    have made is left out."""

    store: Store
    current: Current
    models: Mapping[str, Model]

    def write(self, word: Word, now: float) -> Change | None:
        """Make store and word agree, at `now` (UTC seconds); None where they do. Within a transaction. Raises StoreError."""
        card, person = word.card, word.card.person
        before = self.current.people.get(person)
        if card.state == "revoked":
            if before is None and not self.store.holds(person):
                return None
            return self.remove(person, now)
        record = roster_cards.person_of(card, before, shared=word.shared)
        stored = self.store.templates_of(person) if before is not None else []
        held = {roster_cards.digest(one.crop): one for one in stored}
        gone = [one.number for digest, one in held.items() if digest not in card.faces]
        new = {digest: face for digest, face in card.faces.items() if digest not in held and roster_cards.is_crop(face.crop)}
        if record == before and not gone and not new:
            return None
        self.store.put_person(record)
        self.store.remove_templates(person, gone)
        fresh, lacking = self._add(person, new, now)
        self._record("enrolled" if before is None else "changed", self.store.pseudonym(person), now)
        stay = self._entries([one for digest, one in held.items() if digest in card.faces]) if gone else []
        barred = bool(gone) or (record.suspended and before is not None and not before.suspended)
        return Change(person, record, (*stay, *fresh), bool(gone) or before is None, lacking, barred)

    def remove(self, person: str, now: float) -> Change:
        """Nobody is enrolled under this id any more. Within a transaction. Raises StoreError."""
        pseudonym = self.store.pseudonym(person)
        self.store.remove_person(person)
        self._record("revoked", pseudonym, now)
        return Change(person, None)

    def enter(self, changes: Sequence[Change]) -> None:
        """Bring memory up to what the store has. A person's last change counts."""
        gallery = self.current.serving.gallery
        for change in changes:
            if change.anew:
                gallery.remove(change.person)
            if change.record is None:
                self.current.remove(change.person)
                continue
            for number, vector in change.entries:
                gallery.add(number, change.person, vector)
            self.current.put(change.record)

    def _add(self, person: str, faces: Mapping[str, Face], now: float) -> tuple[list[Entry], int | None]:
        """Store templates; those with a vector of the serving model, and the lowest number of one without."""
        entries, lacking = [], None
        for face in faces.values():
            vectors = {name: vector for name, vector in roster_cards.vectors_of(face).items() if self._fits(name, vector)}
            number = self.store.add_face(person, vectors, face.crop, now)
            if (vector := vectors.get(self.current.serving.model.id)) is not None:
                entries.append((number, vector))
            else:
                lacking = number if lacking is None else min(lacking, number)
        return entries, lacking

    def _entries(self, templates: Sequence[Template]) -> list[Entry]:
        model = self.current.serving.model.id
        return [(one.number, one.vectors[model]) for one in templates if model in one.vectors and self._fits(model, one.vectors[model])]

    def _fits(self, model: str, vector: Vector) -> bool:
        return model in self.models and vector.shape == (self.models[model].dimension,) and bool(sound(vector[None])[0])

    def _record(self, what: str, pseudonym: str | None, now: float) -> None:
        revision = self.store.next_revision()
        self.store.audit.append(now, RosterApplied(what, pseudonym, revision))
