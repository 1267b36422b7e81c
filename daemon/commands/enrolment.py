"""From crops to templates: the same judgement for the photos of a command and for the live camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.counts import counted
from daemon.core.people import enrol
from daemon.core.values import Image, Person, Template, Vector
from daemon.edges.gallery import sound
from daemon.edges.store import Store
from daemon.pipeline.model import Model
from daemon.pipeline.serving import Serving

Vectors = npt.NDArray[np.float32]

Seen = list[tuple[Template, Vector]]
"""Templates with their vectors of the serving model."""

Entry = tuple[int, Vector]
"""The number of a template and its vector of the serving model."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Crops, uint8 [112, 112, 3] RGB, of one enrolment, and the vectors, float32 [N, D], that the model of this id made of them."""

    crops: Sequence[Image]
    model: str
    vectors: Vectors


def embedded(crops: Sequence[Image], model: Model) -> Pictures:
    """The crops with their vectors. Takes 12 ms for each crop on a CPU. Raises what the model raises."""
    return Pictures(crops, model.id, model.embedder.embed(np.stack(crops)))


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes to a person's templates.

    `fresh` are new crops with their vectors. `anew` removes the whole earlier enrolment, `gone` lists single templates that are removed.
    `stay` is what the gallery holds of the templates that stay; `made` are those of their vectors that had to be made now.
    """

    person: str
    fresh: tuple[tuple[Image, Vector], ...]
    detail: str
    anew: bool = False
    gone: tuple[int, ...] = ()
    made: tuple[Entry, ...] = ()
    stay: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Judges pictures and changes templates, by the model that serves now."""

    store: Store
    serving: Serving

    def plan(self, person: str, pictures: Pictures, *, known: bool, replace: bool, force: bool, confirm: bool = False) -> Plan:
        """Plan what these pictures change about the templates of `person`, who is `known` if there is a record. Changes nothing.

        The same picture again, in the command or of a template that is there, is one template.
        With `confirm` they must show that person, and take the place of the templates, which may show somebody else as well.
        Raises EnrolError, and StoreError.
        """
        standards, gallery = self.serving.model.standards, self.serving.gallery
        assert pictures.model == self.serving.model.id, "vectors of two models are never compared"
        given = len(pictures.crops)
        crops, vectors = _new(pictures.crops, pictures.vectors, [])
        enrol.need_consistency(vectors, standards.alike)
        adding = known and not replace
        stored = self.store.templates_of(person) if adding else []
        mine, made = self._seen_by_this_model(stored)
        if adding:
            enrol.need_acquaintance(vectors, _stacked(mine, vectors), standards)
        if not force:
            other, similarity = gallery.nearest_besides(vectors, person)
            enrol.need_stranger(other, similarity, self.serving.rules().threshold, standards.same)
        keep = standards.max_templates
        if not adding or confirm:
            chosen = enrol.best_templates(vectors, [enrol.worth(crop) for crop in crops], keep)
            fresh = tuple((crops[i], vectors[i]) for i in chosen)
            detail = f"{counted(len(fresh), 'template')} made{', all earlier ones removed' if known else ''}{_again(given - len(crops))}"
            return Plan(person, fresh, f"confirmed: {detail}" if confirm else detail, anew=True)
        crops, vectors = _new(crops, vectors, stored)
        again = _again(given - len(crops))
        if not crops or len(stored) + len(crops) <= keep:
            fresh = tuple(zip(crops, vectors, strict=True))
            return Plan(person, fresh, f"{counted(len(crops), 'template')} added{again}", made=made, stay=_entries(mine))
        plan = self._displacing(person, crops, vectors, stored, mine, made)
        return replaced(plan, detail=f"{plan.detail}{again}")

    def _displacing(
        self, person: str, crops: Sequence[Image], vectors: Vectors, stored: Sequence[Template], mine: Seen, made: Sequence[Entry]
    ) -> Plan:
        """Keep the best of old and new templates. The first one stays: no number of additions may take a record from its owner."""
        # Newest first: of two that add the same, the newer stays. A template that this model has no vector of goes first.
        candidates: list[tuple[Template, Vector] | int] = [*reversed(range(len(crops))), *reversed(mine)]
        every = np.stack([vectors[c] if isinstance(c, int) else c[1] for c in candidates])
        worths = [enrol.worth(crops[c]) if isinstance(c, int) else _stored_worth(c[0]) for c in candidates]
        anchor = len(candidates) - 1 if mine else None
        chosen = [candidates[i] for i in enrol.best_templates(every, worths, self.serving.model.standards.max_templates, anchor)]
        kept = {c[0].number for c in chosen if not isinstance(c, int)}
        fresh = tuple((crops[i], vectors[i]) for i in sorted(c for c in chosen if isinstance(c, int)))
        return Plan(
            person,
            fresh,
            f"{len(fresh)} of {counted(len(crops), 'template')} added, {counted(len(stored) - len(kept), 'older one')} removed",
            gone=tuple(t.number for t in stored if t.number not in kept),
            made=tuple(entry for entry in made if entry[0] in kept),
            stay=tuple(entry for entry in _entries(mine) if entry[0] in kept),
        )

    def _seen_by_this_model(self, stored: Sequence[Template]) -> tuple[Seen, tuple[Entry, ...]]:
        """These templates with their vectors of the serving model, and those of the vectors that had to be made now, from the crops:
        vectors of another model say nothing to this one. A template without a usable vector or crop is left out."""
        model = self.serving.model
        vectors = {t.number: t.vectors[model.id] for t in stored if model.id in t.vectors}
        unseen = [(t.number, crop) for t in stored if t.number not in vectors and (crop := decoded(t.crop)) is not None]
        made: list[Entry] = []
        if unseen:
            embedded = model.embedder.embed(np.stack([crop for _, crop in unseen]))
            made = [(number, vector) for (number, _), vector in zip(unseen, embedded, strict=True) if sound(vector[None])[0]]
        vectors.update(made)
        whole = (self.serving.gallery.dimension,)
        seen = [(t, vectors[t.number]) for t in stored if t.number in vectors and vectors[t.number].shape == whole]
        return [(t, vector) for t, vector in seen if sound(vector[None])[0]], tuple(made)

    def write(self, plan: Plan, record: Person, now: float) -> list[Entry]:
        """Store record and templates, within a transaction; returns what `enter` needs when they are durable. Raises StoreError."""
        pseudonym, model = self.store.pseudonym(plan.person), self.serving.model.id
        if plan.anew:
            self.store.remove_person(plan.person)
        self.store.put_person(record, pseudonym)
        self.store.remove_templates(plan.person, plan.gone)
        for number, vector in plan.made:
            self.store.put_vector(number, plan.person, model, vector)
        fresh = [(self.store.add_template(plan.person, model, vector, _png(crop), now), vector) for crop, vector in plan.fresh]
        return [*plan.stay, *fresh]

    def enter(self, plan: Plan, entries: Sequence[Entry]) -> None:
        """Bring the gallery up to what is stored of the person now."""
        self.serving.gallery.remove(plan.person)
        for number, vector in entries:
            self.serving.gallery.add(number, plan.person, vector)


def _new(crops: Sequence[Image], vectors: Vectors, stored: Sequence[Template]) -> tuple[list[Image], Vectors]:
    """The pictures, with their vectors, that are not the same, pixel by pixel, as one before them or as a stored one."""
    seen = {crop.tobytes() for template in stored if (crop := decoded(template.crop)) is not None}
    chosen: list[int] = []
    for place, crop in enumerate(crops):
        if (pixels := crop.tobytes()) not in seen:
            seen.add(pixels)
            chosen.append(place)
    return [crops[place] for place in chosen], vectors[chosen]


def _again(count: int) -> str:
    """What the answer says of pictures that were left out as repeats."""
    return f"; {counted(count, 'picture')} left out: the same as one that is there" if count else ""


def _entries(seen: Seen) -> tuple[Entry, ...]:
    return tuple((template.number, vector) for template, vector in seen)


def _stacked(seen: Seen, like: Vectors) -> Vectors:
    return np.stack([vector for _, vector in seen]) if seen else like[:0]


def _stored_worth(template: Template) -> float:
    crop = decoded(template.crop)
    return enrol.worth(crop) if crop is not None else enrol.LEAST_WORTH


def _png(crop: Image) -> bytes:
    """The crop as a lossless file, so that another model sees exactly what this one saw."""
    done, data = cv2.imencode(".png", crop[:, :, ::-1])
    if not done:
        raise RuntimeError("a crop could not be encoded")
    return data.tobytes()


def decoded(png: bytes) -> Image | None:
    """A stored crop, uint8 [112, 112, 3] RGB; None if it cannot be read as one."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8) if image is not None and image.shape == (112, 112, 3) else None
