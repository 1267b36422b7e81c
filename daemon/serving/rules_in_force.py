"""The rules that the gates decide by: they follow the size of the gallery, the model that serves, and the disk."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from daemon.core.counts import counted
from daemon.core.people.policy import timed
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import Store, StoreError
from daemon.pipeline.serving import Current, Serving
from daemon.serving import reports
from daemon.serving.disk import Disk
from daemon.serving.flight import Flight
from daemon.serving.gate_state import Gate

log = logging.getLogger("ostiary")


def difference(current: Current, store: Store) -> str | None:
    """What of people and templates in memory is not as in the store; None if nothing. Raises StoreError."""
    stored = {person.person: person for person in store.people()}
    if current.people != stored:
        count = sum(current.people.get(person) != stored.get(person) for person in current.people.keys() | stored.keys())
        return f"{counted(count, 'record')} of people in memory not as in the store"
    owners = store.owners()
    stray = [number for number, person in current.serving.gallery.owners().items() if owners.get(number) != person]
    return f"{counted(len(stray), 'template')} in memory not as in the store" if stray else None


class RulesInForce:
    """Owned by the engine. `left_out` is the number of templates that have no vector of the serving model, `timed` the number of people
    with a rule of time, `unsound` why memory cannot be trusted until the next start, and `revision` that of the gallery, -1 where it cannot
    be read."""

    def __init__(
        self, current: Current, store: Store, gates: Mapping[str, Gate], disk: Disk, flight: Flight, metrics: Metrics, version: str
    ) -> None:
        self._current, self._store, self._gates, self._disk = current, store, gates, disk
        self._flight, self._metrics, self._version = flight, metrics, version
        self._adopted, self.revision = current.serving, 0
        self.left_out, self.timed = current.serving.left_out, 0
        self.unsound: str | None = None
        self.adopt()

    def close(self, detail: str) -> None:
        """A write has failed: nobody is accepted while an accept could be lost."""
        self._disk.failed(detail)
        self.adopt()

    def inspect(self) -> None:
        """Something unexpected has happened: nobody is accepted any more if memory does not follow from the store."""
        if self.unsound is not None or not self._disk.works:  # memory may be ahead of a disk that fails
            return
        try:
            self.unsound = difference(self._current, self._store)
        except StoreError as error:
            self.close(error.message)
        if self.unsound is not None:
            self.adopt()

    def adopt(self) -> None:
        """Give every gate its rules. To be called whenever memory, the store or the disk may have changed."""
        serving, people = self._current.serving, self._current.people
        if serving is not self._adopted:
            self._change(serving)
        if self.left_out:  # there may be fewer now
            self.left_out = min(self.left_out, max(0, self._templates() - serving.gallery.templates))
        revision = reports.revision(self._store)
        if revision != self.revision:
            self.timed = sum(timed(person) for person in people.values())
        for name, gate in self._gates.items():
            gate.rules = rules = serving.rules(gate.mode, name)
            gate.uncalibrated = serving.uncalibrated(rules, name)
            self._metrics.gate_calibrated(name, not gate.uncalibrated)
            gate.keeper.rules = rules if self.open else replace(rules, threshold=None, pair=None)
            now = gate.keeper.rules
            self._metrics.threshold(name, now.threshold if now.threshold is not None else now.pair)
            if revision != self.revision:
                gate.keeper.refresh()
        if revision != self.revision:
            self._flight.renew()
        self.revision = revision
        self._metrics.gallery(len(people), serving.gallery.templates, revision)

    @property
    def open(self) -> bool:
        """Whether the gates may accept anybody."""
        return self._disk.works and self.unsound is None

    def _change(self, serving: Serving) -> None:
        """Another model serves from the next frame on. What the old one saw of a face counts no more."""
        self._adopted, self.left_out = serving, serving.left_out
        for gate in self._gates.values():
            gate.keeper.begin_anew()
        self._metrics.info(self._version, serving.model.id, serving.model.provider)
        log.info(
            "model %s on %s serves", serving.model.id, serving.model.provider,
            extra=fields(model=serving.model.id, provider=serving.model.provider),
        )  # fmt: skip

    def _templates(self) -> int:
        try:
            return self._store.template_total()
        except StoreError:
            return self._current.serving.gallery.templates + self.left_out
