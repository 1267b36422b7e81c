"""A change of model: every template is embedded anew from its stored crop, beside the model that serves, and then the other one takes over.

Beside the gate it takes a page of templates a turn and embeds in a thread of low priority, which sees crops and gives vectors and nothing
else. What it has made is stored as it goes, so that a change that was cut off has little left to do when it is asked for again. Templates
are passed in the order of their numbers, and new ones get higher numbers: whoever is enrolled meanwhile comes last, and when nothing is
left, in that very turn, the new gallery is compared with the store and the other model noted there. Until then, and after a crash at any
instant before, the old one serves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from daemon.commands.answers import Answer
from daemon.commands.desk import Changing, Desk, Refusal
from daemon.commands.enrolment import decoded
from daemon.core.messages import Reembedding
from daemon.core.values import Delivery, Template, Vector
from daemon.edges.gallery import Gallery, VectorError, sound
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.store import StoreError
from daemon.pipeline.model import Model
from daemon.pipeline.steps import Embeds

PAGE = 500
"""Templates looked at a turn, about 10 ms."""
BATCH = 32
"""Crops embedded at a time."""
MOST_NAMED = 20

Made = list[Vector | None]
"""What came of a batch of crops, in their order; None for what is no crop or gave no usable vector."""


@dataclass(slots=True)
class _Running:
    """`deliveries` are all messages that brought this command. Every template up to number `last` has been passed or is in `asked`;
    `owner_of` are those in the new gallery."""

    changing: Changing
    model: Model
    deliveries: list[Delivery]
    gallery: Gallery
    aside: Aside[Made]
    of: int = 0
    last: int = 0
    passed: int = 0
    made: int = 0
    asked: tuple[Template, ...] = ()
    owner_of: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a change of model, and the messages that asked for it.

    `gallery` is the new one, or None where nothing has changed; `left_out` how many templates are not in it.
    """

    deliveries: tuple[Delivery, ...]
    answer: Answer
    model: Model
    gallery: Gallery | None
    left_out: int


class Reembedder:
    """Owned by the engine. `models` are those of the configured bundles, by id; `threshold` is the gates' with a model and so many
    templates, None where one would be closed; `wall` is UTC seconds; `aside` gives a place to embed."""

    def __init__(
        self,
        desk: Desk,
        models: Mapping[str, Model],
        threshold: Callable[[Model, int], float | None],
        wall: Callable[[], float],
        aside: Callable[[], Aside[Made]] = lambda: Background("ostiary-reembed"),
    ) -> None:
        self._desk, self._models, self._threshold, self._wall, self._aside = desk, models, threshold, wall, aside
        self._running: _Running | None = None

    @property
    def progress(self) -> Reembedding | None:
        """How far the change under way has come."""
        running = self._running
        if running is None:
            return None
        return Reembedding(model=running.model.id, done=min(running.passed - len(running.asked), running.of), of=running.of)

    @property
    def ready(self) -> bool:
        """Whether another turn at once would get it further: nothing is waited for."""
        return self._running is not None and not self._running.asked

    def begin(self, changing: Changing, delivery: Delivery) -> Answer | None:
        """Begin, or the answer why not. The same command at another gate of the site joins the one under way."""
        running = self._running
        if running is not None and running.changing.command.command_id == changing.command.command_id:
            running.deliveries.append(delivery)
            return None
        if running is not None:
            return self._refuse(changing, "busy", "another change of model is under way; wait for its result")
        wanted = changing.command.model
        others = [one for one in self._models if one != self._desk.model]
        target = wanted if wanted is not None else (others or [self._desk.model])[0]
        if target not in self._models:
            known = " and ".join(self._models)
            return self._refuse(changing, "unknown_model", f"neither model.bundle nor model.next is of this id; configured: {known}")
        model = self._models[target]
        self._running = _Running(changing, model, [delivery], Gallery(model.dimension), self._aside())
        return None

    def _refuse(self, changing: Changing, reason: str, detail: str) -> Answer:
        return self._desk.refuse(changing, reason, detail, self._wall())

    def turn(self) -> Change | None:
        """Go on a little; what came of it, once it is over."""
        running = self._running
        if running is None:
            return None
        try:
            if not self._advance(running):
                return None
        except (Refusal, StoreError) as error:
            return self._end(running, error)
        return self._end(running)

    def close(self) -> None:
        """The daemon stops: whoever asked is not answered, and asks again."""
        if self._running is not None:
            self._running.aside.close()

    # ---- passing the templates

    def _advance(self, running: _Running) -> bool:
        """Whether every template has been passed. Raises Refusal, StoreError."""
        store, model = self._desk.store, running.model
        if running.asked:
            outcome = running.aside.outcome()
            if outcome is None:
                return False
            if isinstance(outcome, Exception):
                raise _failed(str(outcome) or type(outcome).__name__)
            self._keep(running, outcome)
        page = store.templates_after(running.last, model.id, PAGE, BATCH)
        if page.last is None:
            return True
        for template in page.templates:
            if template.vectors:
                self._enter(running, template, template.vectors[model.id])
        running.asked = tuple(template for template in page.templates if not template.vectors and template.crop)
        running.last, running.passed = page.last, running.passed + len(page.templates)
        running.of = max(store.template_total(), running.passed)
        if running.asked:
            crops = [template.crop for template in running.asked]
            try:
                running.aside.start(lambda stopped: _embedded(model.embedder, model.dimension, crops))
            except RuntimeError as error:
                raise _failed(f"no thread: {error}") from None
        return False

    def _keep(self, running: _Running, made: Made) -> None:
        """Store what has been made, but of templates that have gone meanwhile."""
        asked, running.asked = running.asked, ()
        pairs = [(template, vector) for template, vector in zip(asked, made, strict=True) if vector is not None]
        store, model = self._desk.store, running.model.id
        with store.transaction():
            kept = [pair for pair in pairs if store.put_vector(pair[0].number, pair[0].person, model, pair[1])]
        running.made += len(kept)
        for template, vector in kept:
            self._enter(running, template, vector)

    def _enter(self, running: _Running, template: Template, vector: Vector) -> None:
        try:
            running.gallery.add(template.number, template.person, vector)
        except VectorError as error:  # it opened: an earlier daemon stored it so, and no start with this model would take it
            raise _failed(f"the stored vector of template {template.number} is unusable: {error.message}") from None
        running.owner_of[template.number] = template.person

    # ---- the end

    def _end(self, running: _Running, error: Refusal | StoreError | None = None) -> Change:
        self._running = None
        running.aside.close()
        lost: list[str] = []

        def settle() -> str:
            if error is not None:
                raise error
            lost.extend(self._catch_up(running))
            return self._verdict(running, lost)

        answer = self._desk.change(running.changing, running.model.id, self._models, settle, self._wall())
        done = answer.durable and answer.result.status == "done"
        return Change(tuple(running.deliveries), answer, running.model, running.gallery if done else None, len(lost))

    def _catch_up(self, running: _Running) -> list[str]:
        """Bring the new gallery up to what is enrolled this instant; whose templates are not in it, one entry a template.

        Who was revoked counts by the engine's own table too: a revocation may be in force that the disk has not taken yet.
        """
        desk, model = self._desk, running.model.id
        owners = {number: person for number, person in desk.store.owners().items() if person in desk.people}
        for person in {person for number, person in running.owner_of.items() if owners.get(number) != person}:
            running.gallery.remove(person)
            for template in desk.store.templates_of(person) if person in desk.people else ():
                if template.number in running.owner_of and model in template.vectors:
                    running.gallery.add(template.number, person, template.vectors[model])
        return [person for number, person in owners.items() if number not in running.owner_of]

    def _verdict(self, running: _Running, lost: Sequence[str]) -> str:
        """The detail of the answer. Raises Refusal where the gate would close, or somebody it knows now be unknown to it."""
        now, then = self._desk.gallery, running.gallery
        closed = self._threshold(running.model, then.templates) is None
        if closed and self._desk.threshold(now.templates) is not None and not running.changing.command.force:
            detail = f"the card of {running.model.id} has no threshold for {then.templates} templates; set decision.threshold, or force"
            raise Refusal("threshold_unresolved", detail)
        unknown = sorted({person for person in lost if len(now.vectors_of(person)) and not len(then.vectors_of(person))})
        named = ", ".join(unknown[:MOST_NAMED]) + (f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else "")
        if unknown and not running.changing.command.force:
            raise Refusal("incomplete", f"none of the stored crops of {named} can be embedded; enrol them again, or force")
        detail = f"{running.model.id} serves: {running.made} templates embedded, {len(running.owner_of) - running.made} were already"
        if lost:
            detail += f", {len(lost)} could not be"
        return detail + (f"; without a template now: {named}" if unknown else "")


def _failed(why: str) -> Refusal:
    return Refusal("model_failed", f"nothing was changed: {why.splitlines()[0][:300]}")


def _embedded(embedder: Embeds, dimension: int, crops: Sequence[bytes]) -> Made:
    """In the thread aside. Raises what the model raises."""
    images = [decoded(crop) for crop in crops]
    whole = [image for image in images if image is not None]
    vectors = iter(embedder.embed(np.stack(whole)) if whole else ())
    made = [next(vectors) if image is not None else None for image in images]
    return [v if v is not None and v.shape == (dimension,) and sound(v[None])[0] else None for v in made]
