"""The engine: the one owner of passages, gallery and store. It turns views into decisions and commands into results, in one thread."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from daemon.commands import claiming
from daemon.commands.answers import Answer
from daemon.commands.captures import Captures
from daemon.commands.desk import Changing, Claiming, Desk, Waiting
from daemon.commands.reembedding import Made, Reembedder
from daemon.config import Config
from daemon.core.audit import Started
from daemon.core.messages import topic
from daemon.core.passages.claims import Mode
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.people.policy import forbids, timed
from daemon.core.values import Delivery, Link, Match, Outgoing, Published, Reason, Vector, View
from daemon.edges.gallery import Gallery, GraphState
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.metrics import Metrics
from daemon.edges.store import StoreError
from daemon.pipeline import steps
from daemon.pipeline.model import Model
from daemon.serving import reports
from daemon.serving.decisions import Decisions
from daemon.serving.flight import Flight
from daemon.serving.gate_state import Gate as Gate
from daemon.serving.mailbox import CameraState, Mailbox, WorkerFailed
from daemon.serving.reports import Condition, Reports
from daemon.serving.retention import Retention
from daemon.serving.sender import Sender

log = logging.getLogger("ostiary")

RETRY_DISK_S = 2.0


class EngineFailed(RuntimeError):
    """Something the daemon cannot go on without has ended; systemd starts it anew."""


class Engine:
    """See the module's own words. `clock` never steps (seconds), `wall` is UTC seconds; both are arguments so that tests can hold them."""

    def __init__(
        self,
        config: Config,
        desk: Desk,
        gates: dict[str, Gate],
        mailbox: Mailbox,
        metrics: Metrics,
        models: Mapping[str, Model],
        version: str,
        standing_faults: tuple[str, ...] = (),
        left_out: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        clock_trusted: Callable[[], bool] = lambda: True,
        aside: Callable[[], Aside[Made]] = lambda: Background("ostiary-reembed"),
        flight: Flight | None = None,
        unrecorded: Callable[[], Sequence[str]] = lambda: (),
        liveness: steps.Liveness | None = None,
    ) -> None:
        self.config, self.desk, self.gates, self.mailbox, self.metrics = config, desk, gates, mailbox, metrics
        self.boot_id = uuid.uuid4().hex
        self._model, self._version, self._left_out = models[desk.model], version, left_out
        self._clock, self._wall, self._clock_trusted = clock, wall, clock_trusted
        self._liveness = liveness
        self._schedules = {name: schedule.schedule() for name, schedule in config.schedules.items()}
        self._timed = 0
        self._disk: str | None = None
        self._disk_tried_s = 0.0
        self._graph: GraphState | None = None
        self._seen_revision = 0
        self._owed: list[Delivery] = []  # commands done in memory, or refused, for want of a disk
        self._started = False  # and that is in the audit chain
        self._flight, self._unrecorded = flight if flight is not None else Flight(None, desk.store.pseudonym), unrecorded
        self._decisions = Decisions(config, desk.store, self.boot_id)
        self._retention = Retention(desk, config.audit.keep_days * 86_400.0)
        self._captures = Captures(desk, clock, wall)
        self._reembedder = Reembedder(desk, models, self._opening, wall, aside)
        self._sender = Sender(desk.store, {name: gate.link for name, gate in gates.items()}, metrics, clock, wall)
        self._reports = Reports(config, desk, self._sender, metrics, self.boot_id, version, standing_faults, clock, wall)
        self._adopt_rules()

    # ---- one turn

    def turn(self, timeout_s: float) -> None:
        """Wait for something to do, do all of it: commands first, then views, then what is to be sent. Raises EngineFailed."""
        self.mailbox.wait(timeout_s)
        self._note_start()
        self._take_events()
        self._decide(self.mailbox.views())
        for deliveries, answer in self._captures.finish():
            self._answered(deliveries, answer)
        self._retry_disk()
        self._change_model()
        self._tend_gallery()
        self._retention.tend(self._clock(), self._wall())
        self._send()
        self._report()
        self._note_claims()
        self.metrics.heartbeat()
        for name, gate in self.gates.items():
            if not gate.link.is_alive():
                raise EngineFailed(f"gate {name}: the MQTT thread has ended")

    def _note_start(self) -> None:
        """Before anything else is recorded. While the disk takes nothing the gate is closed, and it is noted when the disk works again."""
        if self._started or self._disk is not None:
            return
        store = self.desk.store
        try:
            with store.transaction():
                started = Started(boot_id=self.boot_id, version=self._version, model=self.desk.model, gallery_revision=store.revision())
                store.audit.append(self._wall(), started)
            self._started = True
        except StoreError as error:
            self._disk_failed(error.message)

    def idle(self) -> bool:
        """Nothing waits to be decided, and every recording has been seen to its end."""
        return self.mailbox.empty() and all(g.camera == "ended" for g in self.gates.values())

    def delivered(self) -> bool:
        """The broker has everything."""
        return reports.depth(self.desk.store) == 0

    def finish(self) -> None:
        """End every passage (a recording is over, or the daemon stops): what they owe is decided and stored."""
        for gate in self.gates.values():
            self._publish(gate.keeper.finish())
        self._flight.finish()
        self._send()

    def close(self) -> None:
        """End what goes on aside."""
        self._reembedder.close()

    def settle(self) -> None:
        """The connections are closed: forget what the broker has answered for, so that the next start does not send it again."""
        self._settle([event for event in self.mailbox.events() if isinstance(event, Published)])

    # ---- events

    def _take_events(self) -> None:
        published: list[Published] = []
        for event in self.mailbox.events():
            match event:
                case Delivery():
                    self._command(event)
                case Published():
                    published.append(event)
                case Link():
                    self._settle(published)  # answers of the connection that was, before it is forgotten
                    published = []
                    self._link(event)
                case CameraState():
                    self._camera(event)
                case WorkerFailed():
                    raise EngineFailed(f"gate {event.gate}: the worker ended: {event.error!r}") from event.error
        self._settle(published)

    def _settle(self, published: list[Published]) -> None:
        try:
            self._sender.settle(published)
        except StoreError as error:  # they will be sent twice; their event_id makes that harmless
            self._disk_failed(error.message)

    def _command(self, delivery: Delivery) -> None:
        gate, site, shared = self.gates[delivery.gate], self.config.site, delivery.topic == topic(self.config.site, "all", "command")
        with steps.timed(self.metrics.stage, "command"):
            answer = self.desk.handle(
                delivery.gate, topic(site, delivery.gate, "result"), delivery.payload, delivery.retained, self._wall()
            )
        if isinstance(answer, Claiming):
            answer = claiming.claim(
                answer, self.desk, gate.keeper, mode=gate.mode, pair=self._base_rules(gate.mode).pair, shared=shared,
                camera_up=gate.camera == "up", now_s=self._clock(), now=self._wall(),
            )  # fmt: skip
        if isinstance(answer, Waiting):
            begun = self._captures.begin(answer, delivery, shared=shared, camera_up=gate.camera == "up")
            if begun is None:  # acknowledged when its result is stored, some seconds from now
                log.info("gate %s: command enroll %s: looking for %g s", delivery.gate, answer.command.person, answer.seconds)
                return
            answer = begun
        if isinstance(answer, Changing):
            begun = self._begin_change(answer, delivery)
            if begun is None:  # acknowledged when its result is stored
                return
            answer = begun
        self._answered([delivery], answer)

    def _answered(self, deliveries: list[Delivery], answer: Answer) -> None:
        """A command has its answer; `deliveries` are the messages of one gate that brought it."""
        gate_name, result = deliveries[0].gate, answer.result
        link = self.gates[gate_name].link
        self.metrics.command(result.op, result.status, result.reason)
        log.info(
            "gate %s: command %s%s: %s%s",
            gate_name,
            result.op,
            f" {result.person}" if result.person else "",
            result.status,
            f" ({result.reason}: {result.detail})" if result.reason else "",
        )
        if answer.barred is not None:
            for each in self.gates.values():
                each.keeper.forget(answer.barred)
        if answer.durable:
            for delivery in deliveries:
                link.acknowledge(delivery.receipt)
        else:
            # Say so at once, keep the command, and do it again when the disk works: the broker still holds it too.
            link.publish(Outgoing(0, topic(self.config.site, gate_name, "result"), answer.encoded))
            self._disk_failed(result.detail or "")
            self._owed += [delivery for delivery in deliveries if delivery not in self._owed]
        if self._left_out:  # there may be fewer now
            self._left_out = min(self._left_out, max(0, self._templates() - self.desk.gallery.templates))
        self._adopt_rules()

    def _link(self, link: Link) -> None:
        self.gates[link.gate].status = None
        self._sender.reconnected(link.gate)
        self.metrics.broker(link.gate, link.up)
        log.info("gate %s: broker %s", link.gate, "connected" if link.up else f"lost: {link.detail}")

    def _camera(self, event: CameraState) -> None:
        gate = self.gates[event.gate]
        gate.live = event.live
        if event.state != gate.camera or event.detail != gate.camera_detail:
            log.info("gate %s: camera %s%s", event.gate, event.state, f": {event.detail}" if event.detail else "")
        gate.camera, gate.camera_detail = event.state, event.detail
        self.metrics.camera(event.gate, event.state == "up")
        self._flight.camera(event.gate, self._wall(), event.state, event.detail)
        if event.state != "up":
            # Whoever was in view is not any more, as far as anybody can tell.
            self._captures.camera_lost(event.gate)
            self._decide(self.mailbox.views())
            self._publish(gate.keeper.finish())

    # ---- views

    def _decide(self, views: list[View]) -> None:
        now_s = self._clock()
        fresh = []
        for view in views:
            gate = self.gates[view.gate]
            if gate.live and not 0 <= now_s - view.at_s <= gate.stale_s:
                self.metrics.dropped(view.gate, "stale")
                continue
            fresh.append(view)
            self._captures.observe(view)
        if not fresh:
            return
        lives = self._lives if self._liveness is not None else None
        closed = {name for name, gate in self.gates.items() if gate.keeper.rules.closed}
        embedded = iter(steps.embed([v for v in fresh if v.gate not in closed], self.desk.embedder, self.metrics.stage))
        for view in fresh:
            seen: list[Vector | None] = [None] * len(view.probes) if view.gate in closed else next(embedded)
            with steps.timed(self.metrics.stage, "decide"):
                keeper = self.gates[view.gate].keeper
                decisions = keeper.observe(view, seen, self._find, self._permit(view.gate), self._compare, lives)
            self._flight.saw(view, self.gates[view.gate].keeper)
            self._publish(decisions)

    def _find(self, vectors: npt.NDArray[np.float32]) -> list[Match]:
        with steps.timed(self.metrics.stage, "search"):
            return self.desk.gallery.search(vectors)

    def _compare(self, vector: Vector, person: str) -> float:
        with steps.timed(self.metrics.stage, "search"):
            return self.desk.gallery.likeness(vector, person)

    def _lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        assert self._liveness is not None
        with steps.timed(self.metrics.stage, "liveness"):
            return self._liveness.lives(faces)

    def _permit(self, gate: str) -> Callable[[str, float], Reason | None]:
        def permit(person: str, now: float) -> Reason | None:
            known = self.desk.people.get(person)
            # Somebody whom the gallery found and nobody knows: doubt, and doubt forbids.
            if known is None:
                return Reason.SUSPENDED
            return forbids(known, gate, now, self._schedules, self._clock_trusted())

        return permit

    def _publish(self, decisions: list[Decision]) -> None:
        for number, decision in enumerate(decisions):
            gate, person = self.gates[decision.gate], self.desk.people.get(decision.person or "")
            try:
                row = self._decisions.put(decision, person, gate.keeper.rules, self.desk.model, self._wall())
            except StoreError as error:
                for lost in decisions[number:]:
                    self.gates[lost.gate].keeper.retract(lost)
                self._disk_failed(error.message)
                return
            self._decisions.forget(decision.gate, {*gate.keeper.passages, decision.passage})
            if gate.live:
                self._sender.captured(decision.gate, row, decision.at_s)
            self._flight.decided(decision)
            self.metrics.decision(decision.gate, decision.verdict, decision.reason)
            log.info(
                "gate %s: passage %d: %s (%s)%s",
                decision.gate,
                decision.passage,
                decision.verdict,
                decision.reason,
                f" {decision.person}" if decision.person else "",
            )

    def _note_claims(self) -> None:
        for name, gate in self.gates.items():
            for person, how in gate.keeper.claims.ended:
                self.metrics.claim(name, how)
                log.info("gate %s: the claim of %s ended: %s", name, person, how)
            gate.keeper.claims.ended.clear()

    # ---- another model

    def _begin_change(self, changing: Changing, delivery: Delivery) -> Answer | None:
        answer = self._reembedder.begin(changing, delivery)
        progress = self._reembedder.progress
        if answer is None and progress is not None:
            log.info("gate %s: command reembed: embedding with %s", delivery.gate, progress.model)
        return answer

    def _change_model(self) -> None:
        """Go on with a change of model, if one is under way and the disk works."""
        change = self._reembedder.turn() if self._disk is None else None
        if change is None:
            if self._disk is None and self._reembedder.ready:
                self.mailbox.wake.set()  # whoever stands at the gate has a turn between two of its pages, and nobody waits for none
            return
        if change.gallery is not None:
            self._serve(change.model, change.gallery, change.left_out)
        first, others = change.deliveries[0].gate, [d for d in change.deliveries if d.gate != change.deliveries[0].gate]
        self._answered([d for d in change.deliveries if d.gate == first], change.answer)
        if not change.answer.durable:
            self._owed += [delivery for delivery in others if delivery not in self._owed]
            return
        for delivery in others:  # the same command at another gate: its answer is stored by now
            self._command(delivery)

    def _serve(self, model: Model, gallery: Gallery, left_out: int) -> None:
        """The store says that another model serves, so from the next frame on it does. What the old one saw counts no more."""
        self.desk.gallery.close()
        self.desk.serve(gallery, model, partial(self._threshold, model))
        self._model, self._left_out = model, left_out
        for gate in self.gates.values():
            gate.keeper.begin_anew()
        self.metrics.info(self._version, model.id, model.provider)
        log.info("model %s on %s serves", model.id, model.provider)
        self._adopt_rules()

    # ---- the gallery's graph

    def _tend_gallery(self) -> None:
        self.desk.gallery.tend(self._clock())
        graph = self.desk.gallery.graph_state
        if graph == self._graph:
            return
        self._graph = graph
        self.metrics.graph(graph.state, graph.recall)
        log.log(
            logging.WARNING if graph.reason else logging.INFO,
            "search graph %s%s%s",
            graph.state,
            f", recall {graph.recall:.3f}" if graph.recall is not None else "",
            f": {graph.reason}; the search is exact" if graph.reason else "",
        )

    # ---- what goes out

    def _send(self) -> None:
        if self._disk is not None:
            return
        try:
            self._sender.send()
        except StoreError as error:
            self._disk_failed(error.message)

    def _report(self) -> None:
        untimed = self._timed if not self._clock_trusted() else 0
        graph = self._graph.reason if self._graph is not None else None
        liveness, progress = self._liveness.fault if self._liveness is not None else None, self._reembedder.progress
        self._reports.publish(
            self.gates, Condition(self._model, self._disk, self._left_out, graph, untimed, self._unrecorded(), progress, liveness)
        )

    # ---- the rules in force, and the disk

    def _threshold(self, model: Model, templates: int) -> float | None:
        return steps.rules(self.config, model.calibration, templates).threshold

    def _opening(self, model: Model, templates: int) -> float | None:
        """A threshold that the gates would have with that model; None where one of them would be closed."""
        all_rules = [steps.rules(self.config, model.calibration, templates, gate.mode) for gate in self.gates.values()]
        return None if any(rules.closed for rules in all_rules) else all_rules[0].threshold or all_rules[0].pair

    def _base_rules(self, mode: Mode = "identify") -> Rules:
        return steps.rules(self.config, self._model.calibration, self.desk.gallery.templates, mode)

    def _adopt_rules(self) -> None:
        self._timed = sum(timed(person) for person in self.desk.people.values())
        revision = reports.revision(self.desk.store)
        for gate in self.gates.values():
            rules = self._base_rules(gate.mode)
            # Nobody is accepted while an accept could be lost.
            gate.keeper.rules = rules if self._disk is None else replace(rules, threshold=None, pair=None)
            if revision != self._seen_revision:
                gate.keeper.refresh()
                self._flight.renew()
        self._seen_revision = revision
        self.metrics.threshold(self._base_rules().threshold if self._disk is None else None)
        self.metrics.gallery(len(self.desk.people), self.desk.gallery.templates, revision)

    def _templates(self) -> int:
        try:
            return self.desk.store.template_total()
        except StoreError:
            return self.desk.gallery.templates + self._left_out

    def _disk_failed(self, detail: str) -> None:
        if self._disk is None:
            log.error("gate closed: %s", detail)
        self._disk, self._disk_tried_s = detail, self._clock()
        self._adopt_rules()

    def _retry_disk(self) -> None:
        if self._disk is None or self._clock() - self._disk_tried_s < RETRY_DISK_S:
            return
        self._disk_tried_s = self._clock()
        try:
            self.desk.store.probe()
        except StoreError:
            return
        self._disk = None
        log.info("the disk takes writes again; the gate reopens")
        self._adopt_rules()
        self._note_start()
        owed, self._owed = self._owed, []
        for delivery in owed:
            self._command(delivery)
