"""A change of model: all templates are embedded anew from their stored crops, beside the model that serves, and then the other one serves.

Beside the gate it looks at one page of templates a turn, and embeds in a thread of low priority that gets crops and returns vectors and
does nothing else. The vectors are stored as they are made, so a change that was cut off has little left to do when it is asked for again.
It goes through the templates in the order of their numbers. New ones get higher numbers: people who are enrolled meanwhile come last. When
nothing is left, in that very turn, the new gallery is compared with the store, and the store notes the other model. Until then, and after a
crash at any instant before, the old model serves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from daemon.commands.answers import Answer
from daemon.commands.deferred import Arrival, Deferred, Ended
from daemon.commands.desk import Desk
from daemon.commands.enrolment import decoded
from daemon.commands.outcome import Done, Enter, Refusal
from daemon.core.counts import counted
from daemon.core.messages import Reembed, Reembedding
from daemon.core.passages.claims import Mode
from daemon.core.values import Delivery, Template, Vector
from daemon.edges.gallery import Gallery, VectorError, sound
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.store import Store, StoreError
from daemon.pipeline.model import Model
from daemon.pipeline.serving import Current, Serving
from daemon.pipeline.steps import Embeds

PAGE = 500
"""Templates looked at in one turn, about 10 ms."""
BATCH = 32
"""Crops embedded at a time."""
MOST_NAMED = 20
"""People named in an answer."""

Made = list[Vector | None]
"""The vectors of a batch of crops, in their order; None where a crop could not be read or gave no usable vector."""


@dataclass(slots=True)
class _Running:
    """`deliveries` are all messages that brought this command. Every template up to number `last` has been passed or is in `asked`;
    `owner_of` are those in the new gallery."""

    deferred: Deferred[Reembed]
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


class Reembedder:
    """Owned by the engine. `models` are those of the configured bundles, by id; `modes` are those of the gates.

    It rests while `disk_works` says no. `wake` asks for another turn at once. `wall` is UTC seconds; `aside` gives a place to embed.
    """

    def __init__(
        self,
        desk: Desk,
        store: Store,
        current: Current,
        models: Mapping[str, Model],
        modes: Mapping[str, Mode],
        *,
        disk_works: Callable[[], bool],
        wake: Callable[[], object],
        wall: Callable[[], float],
        aside: Callable[[], Aside[Made]] = lambda: Background("ostiary-reembed"),
    ) -> None:
        self._desk, self._store, self._current, self._models, self._modes = desk, store, current, models, modes
        self._disk_works, self._wake, self._wall, self._aside = disk_works, wake, wall, aside
        self._running: _Running | None = None

    @property
    def progress(self) -> Reembedding | None:
        """How far the change under way has come."""
        running = self._running
        if running is None:
            return None
        return Reembedding(model=running.model.id, done=min(running.passed - len(running.asked), running.of), of=running.of)

    @property
    def holds_others(self) -> bool:
        """Never: everything else goes on."""
        return False

    def begin(self, deferred: Deferred[Reembed], arrival: Arrival) -> Answer | None:
        """Begin, or say why not. The same command at another gate of the site joins the one under way."""
        running, command = self._running, deferred.command
        if running is not None and running.deferred.request.kept_as == deferred.request.kept_as:
            running.deliveries.append(arrival.delivery)
            return None
        if running is not None:
            return self._refuse(deferred, "busy", "another change of model is under way; wait for its result")
        serves = self._current.serving.model.id
        others = [one for one in self._models if one != serves]
        target = command.model if command.model is not None else (others or [serves])[0]
        if target not in self._models:
            configured = " and ".join(self._models)
            return self._refuse(deferred, "unknown_model", f"neither model.bundle nor model.next has this id; configured: {configured}")
        model = self._models[target]
        self._running = _Running(deferred, model, [arrival.delivery], Gallery(model.dimension), self._aside())
        return None

    def _refuse(self, deferred: Deferred[Reembed], reason: str, detail: str) -> Answer:
        return self._desk.refuse(deferred, reason, detail, self._wall())

    def turn(self) -> list[Ended]:
        """Go on a little, while the disk works; the answer when the change is over."""
        running = self._running
        if running is None or not self._disk_works():
            return []
        try:
            return self._go_on(running)
        except Exception as error:  # noqa: BLE001  one command must not end the gate
            self._running = None
            running.aside.close()
            return [Ended(tuple(running.deliveries), self._desk.failed(running.deferred.request, error, self._wall()), error)]

    def _go_on(self, running: _Running) -> list[Ended]:
        try:
            over = self._advance(running)
        except (Refusal, StoreError) as error:
            return [self._end(running, error)]
        if over:
            return [self._end(running)]
        if not running.asked:
            self._wake()  # nothing is waited for: the gates get a turn between two pages, and the next page follows at once
        return []

    def close(self) -> None:
        """The daemon stops. The sender gets no answer, and asks again."""
        if self._running is not None:
            self._running.aside.close()

    # ---- passing the templates

    def _advance(self, running: _Running) -> bool:
        """Whether every template has been passed. Raises Refusal, StoreError."""
        store, model = self._store, running.model
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
                running.aside.start(lambda stopped: embedded_crops(model.embedder, model.dimension, crops))
            except RuntimeError as error:
                raise _failed(f"no thread: {error}") from None
        return False

    def _keep(self, running: _Running, made: Made) -> None:
        """Store the vectors that were made, except those of templates that were removed meanwhile."""
        asked, running.asked = running.asked, ()
        pairs = [(template, vector) for template, vector in zip(asked, made, strict=True) if vector is not None]
        store, model = self._store, running.model.id
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

    def _end(self, running: _Running, error: Refusal | StoreError | None = None) -> Ended:
        self._running = None
        running.aside.close()

        def act() -> Done:
            if error is not None:
                raise error
            return self._done(running)

        return Ended(tuple(running.deliveries), self._desk.settle(running.deferred, act, self._wall()))

    def _done(self, running: _Running) -> Done:
        """The other model serves. Vectors of models that are no longer configured are removed. Raises Refusal, StoreError."""
        lost = self._catch_up(running)
        serving = replace(self._current.serving, model=running.model, gallery=running.gallery, left_out=len(lost))
        detail = self._verdict(running, serving, lost)

        def write() -> Enter:
            self._store.put_serving(running.model.id)
            self._store.drop_vectors(self._models)
            return lambda: self._current.serve(serving)

        return Done(detail, write)

    def _catch_up(self, running: _Running) -> list[str]:
        """Bring the new gallery up to what is enrolled at this instant. Returns the owners of templates that are not in it, one entry for
        each template.

        Memory has a say in who is enrolled: a revocation may be in force that the disk has not taken yet.
        """
        store, people, model = self._store, self._current.people, running.model.id
        owners = {number: person for number, person in store.owners().items() if person in people}
        for person in {person for number, person in running.owner_of.items() if owners.get(number) != person}:
            running.gallery.remove(person)
            for template in store.templates_of(person) if person in people else ():
                if template.number in running.owner_of and model in template.vectors:
                    running.gallery.add(template.number, person, template.vectors[model])
        return [person for number, person in owners.items() if number not in running.owner_of]

    def _verdict(self, running: _Running, then: Serving, lost: Sequence[str]) -> str:
        """The detail of the answer. Raises Refusal if a gate would close, or if somebody whom the gates know now would be unknown."""
        now, command = self._current.serving, running.deferred.command
        closing = [gate for gate, mode in self._modes.items() if then.rules(mode, gate).closed and not now.rules(mode, gate).closed]
        if closing and not command.force:
            count = then.gallery.templates
            detail = f"the card of {running.model.id} has no threshold for {counted(count, 'template')}; set decision.threshold, or force"
            raise Refusal("threshold_unresolved", detail)
        known, still = now.gallery.vectors_of, then.gallery.vectors_of
        unknown = sorted({person for person in lost if len(known(person)) and not len(still(person))})
        named = ", ".join(unknown[:MOST_NAMED]) + (f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else "")
        if unknown and not command.force:
            raise Refusal("incomplete", f"none of the stored crops of {named} can be embedded; enrol them again, or force")
        already = len(running.owner_of) - running.made
        detail = f"{running.model.id} serves: {counted(running.made, 'template')} embedded, {already} already"
        if lost:
            detail += f", {len(lost)} could not be embedded"
        return detail + (f"; without a template now: {named}" if unknown else "")


def _failed(why: str) -> Refusal:
    return Refusal("model_failed", f"nothing was changed: {why.splitlines()[0][:300]}")


def embedded_crops(embedder: Embeds, dimension: int, crops: Sequence[bytes]) -> Made:
    """The vectors of stored crops. Runs in a thread aside. Raises what the model raises."""
    images = [decoded(crop) for crop in crops]
    whole = [image for image in images if image is not None]
    vectors = iter(embedder.embed(np.stack(whole)) if whole else ())
    made = [next(vectors) if image is not None else None for image in images]
    return [v if v is not None and v.shape == (dimension,) and sound(v[None])[0] else None for v in made]
