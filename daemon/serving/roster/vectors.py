"""Vectors for faces that came without one of the serving model: their crops are embedded aside, a few at a time."""

import logging
from collections.abc import Callable

from daemon.commands.reembedding import BATCH, PAGE, Made, embedded_crops
from daemon.core.values import Template
from daemon.edges.gallery.background import Aside
from daemon.edges.store import Store
from daemon.pipeline.serving import Current

log = logging.getLogger("ostiary")


class Vectors:
    """Owned by the engine. `wake` asks for another turn at once."""

    def __init__(self, store: Store, current: Current, aside: Aside[Made], wake: Callable[[], object]) -> None:
        self._store, self._current, self._aside, self._wake = store, current, aside, wake
        self._model = current.serving.model.id
        self._next: int | None = 0 if current.serving.left_out else None  # the number behind which to look; None: nothing is missing
        self._asked: tuple[Template, ...] = ()

    @property
    def busy(self) -> bool:
        return self._next is not None or bool(self._asked)

    def need(self, number: int) -> None:
        """A template of this number or a higher one lacks its vector."""
        self._next = number - 1 if self._next is None else min(self._next, number - 1)

    def turn(self) -> bool:
        """Take the vectors that were made, and have the next made; whether the gallery has changed. Raises StoreError."""
        serving = self._current.serving
        if serving.model.id != self._model:
            self._model, self._next = serving.model.id, 0 if serving.left_out else None
        made = self._aside.outcome() if self._aside.busy else None
        changed = self._take(made) if made is not None else False
        if self._next is None or self._aside.busy:
            return changed
        page = self._store.templates_after(self._next, self._model, PAGE, BATCH)
        self._next = page.last
        asked = tuple(template for template in page.templates if not template.vectors and template.crop)
        if asked:
            self._asked = asked
            crops, model = [template.crop for template in asked], serving.model
            self._aside.start(lambda stopped: embedded_crops(model.embedder, model.dimension, crops))
        elif self._next is not None:
            self._wake()
        return changed

    def close(self) -> None:
        """The daemon stops. What is missing is looked for at the next start."""
        self._aside.close()

    def _take(self, made: Made | Exception) -> bool:
        asked, self._asked = self._asked, ()
        if isinstance(made, Exception):
            log.error("the faces of another box could not be embedded: %s: %s", type(made).__name__, made)
            return False
        if self._model != self._current.serving.model.id:
            return False
        pairs = [(one, vector) for one, vector in zip(asked, made, strict=True) if vector is not None]
        with self._store.transaction():
            kept = [pair for pair in pairs if self._store.put_vector(pair[0].number, pair[0].person, self._model, pair[1])]
            if kept:
                self._store.next_revision()
        for template, vector in kept:
            self._current.serving.gallery.add(template.number, template.person, vector)
        return bool(kept)
