"""From pictures to templates: the same judgement for photos in a command, the live camera, and a replay's own gallery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core import enrol
from daemon.core.align import align
from daemon.core.enrol import EnrolError, Standards, need_quality, the_face
from daemon.core.photo import PhotoError, decode_jpeg
from daemon.core.quality import Limits, judge
from daemon.core.values import Image, Person, Template, Vector
from daemon.edges.gallery import Gallery
from daemon.edges.store import Store
from daemon.pipeline import Detector, Embeds


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a person's templates. `kept` are old ones that stay while others go; None where all of them stay.

    `fresh` are crops with their vectors.
    """

    person: str
    kept: tuple[Template, ...] | None
    fresh: tuple[tuple[Image, Vector], ...]
    detail: str


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
        if known and not replace:
            enrol.need_acquaintance(vectors, self._known(person), self.standards)
        if not force:
            other, similarity = self.gallery.nearest_besides(vectors, person)
            enrol.need_stranger(other, similarity, self.threshold(self.gallery.templates), self.standards.same)
        keep = self.standards.max_templates
        if known and not replace:
            if len(self.gallery.vectors_of(person)) + len(crops) <= keep:
                return Plan(person, None, tuple(zip(crops, vectors, strict=True)), f"{len(crops)} templates added")
            return self._displacing(person, crops, vectors)
        chosen = enrol.best_templates(vectors, [enrol.worth(crop) for crop in crops], keep)
        fresh = tuple((crops[i], vectors[i]) for i in chosen)
        return Plan(person, () if known else None, fresh, f"{len(fresh)} templates {'replace all earlier ones' if known else 'made'}")

    def _displacing(self, person: str, crops: Sequence[Image], vectors: npt.NDArray[np.float32]) -> Plan:
        """The best of old and new. The first template stays, so that no number of additions takes a record away from its owner."""
        stored = self.store.templates_of(person)
        mine = [t for t in stored if t.model == self.model and t.vector.shape == vectors.shape[1:] and _is_unit(t.vector)]
        # Newest first: of two that add the same, the newer stays. Templates of another model wait beside for being embedded again.
        candidates: list[Template | int] = [*reversed(range(len(crops))), *reversed(mine)]
        every = np.stack([vectors[c] if isinstance(c, int) else c.vector for c in candidates])
        worths = [enrol.worth(crops[c]) if isinstance(c, int) else _stored_worth(c) for c in candidates]
        anchor = len(candidates) - 1 if mine else None
        chosen = [candidates[i] for i in enrol.best_templates(every, worths, self.standards.max_templates, anchor)]
        numbers = {t.number for t in chosen if isinstance(t, Template)}
        kept = tuple(t for t in stored if t.number in numbers or t.model != self.model)
        fresh = tuple((crops[i], vectors[i]) for i in sorted(c for c in chosen if isinstance(c, int)))
        return Plan(person, kept, fresh, f"{len(fresh)} of {len(crops)} templates added, {len(mine) - len(numbers)} older ones let go")

    def _known(self, person: str) -> npt.NDArray[np.float32]:
        """What is enrolled of the person as vectors of this model, float32 [K, D]; of another model's templates only the crops can say."""
        vectors = self.gallery.vectors_of(person)
        if len(vectors):
            return vectors
        crops = [crop for crop in (_decoded(t.crop) for t in self.store.templates_of(person)) if crop is not None]
        return self.embedder.embed(np.stack(crops)) if crops else vectors

    def write(self, plan: Plan, record: Person, now: float) -> list[tuple[int, Vector]]:
        """Store record and templates, within a transaction; returns what `enter` needs once it is through. Raises StoreError."""
        pseudonym = self.store.pseudonym(plan.person)
        if plan.kept is not None:  # numbers are never used twice: what stays is written anew, too
            self.store.remove_person(plan.person)
        self.store.put_person(record, pseudonym)
        entries = []
        for old in plan.kept or ():
            number = self.store.add_template(plan.person, old.model, old.vector, old.crop, now)
            if old.model == self.model:
                entries.append((number, old.vector))
        for crop, vector in plan.fresh:
            entries.append((self.store.add_template(plan.person, self.model, vector, _png(crop), now), vector))
        return entries

    def enter(self, plan: Plan, entries: Sequence[tuple[int, Vector]]) -> None:
        """Let the gallery know what has been stored."""
        if plan.kept is not None:
            self.gallery.remove(plan.person)
        for number, vector in entries:
            self.gallery.add(number, plan.person, vector)


def _is_unit(vector: Vector) -> bool:
    return bool(abs(float(np.linalg.norm(vector)) - 1) < 0.01)


def _stored_worth(template: Template) -> float:
    crop = _decoded(template.crop)
    return enrol.worth(crop) if crop is not None else enrol.LEAST_WORTH


def _png(crop: Image) -> bytes:
    """The crop as a lossless file, so that another model sees exactly what this one saw."""
    done, data = cv2.imencode(".png", crop[:, :, ::-1])
    if not done:
        raise RuntimeError("a crop could not be encoded")
    return data.tobytes()


def _decoded(png: bytes) -> Image | None:
    """A stored crop, uint8 [112, 112, 3] RGB, or None for what is none."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8) if image is not None and image.shape == (112, 112, 3) else None
