"""From pictures to templates: the same judgement for photos in a command, the live camera, and a replay's own gallery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.counts import counted
from daemon.core.faces.align import align
from daemon.core.faces.photo import PhotoError, decode_jpeg
from daemon.core.faces.quality import Limits, judge
from daemon.core.people import enrol
from daemon.core.people.enrol import EnrolError, Standards, need_quality, the_face
from daemon.core.values import Image, Person, Template, Vector
from daemon.edges.gallery import Gallery, sound
from daemon.edges.store import Store
from daemon.pipeline.steps import Detector, Embeds

Vectors = npt.NDArray[np.float32]

Seen = list[tuple[Template, Vector]]
"""Templates with what the serving model made of them."""


def enrolment_crop(jpeg: bytes, photo: int, detector: Detector, limits: Limits) -> Image:
    """The aligned crop, uint8 [112, 112, 3] RGB, of the one face in a JPEG file. Raises EnrolError, which names the photo by its number."""
    try:
        image = decode_jpeg(jpeg)
    except PhotoError as error:
        raise EnrolError("bad_image", f"image {photo}: {error}") from None
    face = the_face(detector.detect(image), photo)
    try:
        crop = align(image, face)
    except ValueError:
        raise EnrolError("no_face", f"image {photo}: no usable face was found") from None
    need_quality(judge(face, (image.shape[0], image.shape[1]), crop, limits), photo)
    return crop


Entry = tuple[int, Vector]
"""A template's number and what the serving model made of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a person's templates.

    `anew` lets the whole earlier enrolment go, `gone` only these templates. `fresh` are crops with their vectors. `made` are vectors, by
    number, that the serving model did not have yet; `stay` is what the gallery holds of the templates that stay.
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
    """Judges pictures and changes templates. `threshold` is the gate's own for a gallery of so many templates, None while it is closed."""

    store: Store
    gallery: Gallery
    embedder: Embeds
    model: str
    standards: Standards
    threshold: Callable[[int], float | None]

    def plan(self, person: str, crops: Sequence[Image], *, known: bool, replace: bool, force: bool) -> Plan:
        """What these crops make of the templates of `person`, who is `known` if there is a record. Changes nothing. Raises EnrolError."""
        vectors = self.embedder.embed(np.stack(crops))
        enrol.need_consistency(vectors, self.standards.alike)
        adding = known and not replace
        stored = self.store.templates_of(person) if adding else []
        mine, made = self._seen_by_this_model(stored)
        if adding:
            enrol.need_acquaintance(vectors, _stacked(mine, vectors), self.standards)
        if not force:
            other, similarity = self.gallery.nearest_besides(vectors, person)
            enrol.need_stranger(other, similarity, self.threshold(self.gallery.templates), self.standards.same)
        keep = self.standards.max_templates
        if not adding:
            chosen = enrol.best_templates(vectors, [enrol.worth(crop) for crop in crops], keep)
            fresh = tuple((crops[i], vectors[i]) for i in chosen)
            return Plan(person, fresh, f"{counted(len(fresh), 'template')} made{', all earlier ones let go' if known else ''}", anew=True)
        if len(stored) + len(crops) <= keep:
            fresh = tuple(zip(crops, vectors, strict=True))
            return Plan(person, fresh, f"{counted(len(crops), 'template')} added", made=made, stay=_entries(mine))
        return self._displacing(person, crops, vectors, stored, mine, made)

    def _displacing(
        self, person: str, crops: Sequence[Image], vectors: Vectors, stored: Sequence[Template], mine: Seen, made: Sequence[Entry]
    ) -> Plan:
        """The best of old and new. The first template stays, so that no number of additions takes a record away from its owner."""
        # Newest first: of two that add the same, the newer stays. What this model cannot see at all is the first to go.
        candidates: list[tuple[Template, Vector] | int] = [*reversed(range(len(crops))), *reversed(mine)]
        every = np.stack([vectors[c] if isinstance(c, int) else c[1] for c in candidates])
        worths = [enrol.worth(crops[c]) if isinstance(c, int) else _stored_worth(c[0]) for c in candidates]
        anchor = len(candidates) - 1 if mine else None
        chosen = [candidates[i] for i in enrol.best_templates(every, worths, self.standards.max_templates, anchor)]
        kept = {c[0].number for c in chosen if not isinstance(c, int)}
        fresh = tuple((crops[i], vectors[i]) for i in sorted(c for c in chosen if isinstance(c, int)))
        return Plan(
            person,
            fresh,
            f"{len(fresh)} of {len(crops)} templates added, {len(stored) - len(kept)} older ones let go",
            gone=tuple(t.number for t in stored if t.number not in kept),
            made=tuple(entry for entry in made if entry[0] in kept),
            stay=tuple(entry for entry in _entries(mine) if entry[0] in kept),
        )

    def _seen_by_this_model(self, stored: Sequence[Template]) -> tuple[Seen, tuple[Entry, ...]]:
        """These templates with this model's vectors, and which of the vectors had to be made now: of their crops, as another model cannot
        be asked. Templates that this model cannot see are left out."""
        vectors = {t.number: t.vectors[self.model] for t in stored if self.model in t.vectors}
        unseen = [(t.number, crop) for t in stored if t.number not in vectors and (crop := decoded(t.crop)) is not None]
        made: list[Entry] = []
        if unseen:
            embedded = self.embedder.embed(np.stack([crop for _, crop in unseen]))
            made = [(number, vector) for (number, _), vector in zip(unseen, embedded, strict=True) if sound(vector[None])[0]]
        vectors.update(made)
        dimension = self.gallery.dimension
        seen = [(t, vectors[t.number]) for t in stored if t.number in vectors and vectors[t.number].shape == (dimension,)]
        return [(t, vector) for t, vector in seen if sound(vector[None])[0]], tuple(made)

    def write(self, plan: Plan, record: Person, now: float) -> list[Entry]:
        """Store record and templates, within a transaction; returns what `enter` needs once it is through. Raises StoreError."""
        pseudonym = self.store.pseudonym(plan.person)
        if plan.anew:
            self.store.remove_person(plan.person)
        self.store.put_person(record, pseudonym)
        self.store.remove_templates(plan.person, plan.gone)
        for number, vector in plan.made:
            self.store.put_vector(number, plan.person, self.model, vector)
        fresh = [(self.store.add_template(plan.person, self.model, vector, _png(crop), now), vector) for crop, vector in plan.fresh]
        return [*plan.stay, *fresh]

    def enter(self, plan: Plan, entries: Sequence[Entry]) -> None:
        """Let the gallery know what is stored of the person now."""
        self.gallery.remove(plan.person)
        for number, vector in entries:
            self.gallery.add(number, plan.person, vector)


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
    """A stored crop, uint8 [112, 112, 3] RGB, or None for what is none."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8) if image is not None and image.shape == (112, 112, 3) else None
