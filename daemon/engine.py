"""The engine: the one owner of passages, gallery and store. It turns views into decisions and commands into results, in one thread."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from daemon import pipeline, status
from daemon.answers import Answer
from daemon.captures import Captures
from daemon.commands import Changing, Desk, Waiting
from daemon.config import Config
from daemon.core.audit import Started
from daemon.core.decide import Decision, Gatekeeper, Rules
from daemon.core.messages import AuditHead, StatusMessage, encode, topic, utc
from daemon.core.policy import forbids, timed
from daemon.core.values import Delivery, Link, Match, Outgoing, Published, Reason, Vector, View
from daemon.decisions import Decisions
from daemon.edges.gallery import Gallery, GraphState
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.metrics import Metrics
from daemon.edges.store import StoreError
from daemon.mailbox import CameraState, Mailbox, WorkerFailed
from daemon.model import Model
from daemon.reembedding import Made, Reembedder
from daemon.retention import Retention
from daemon.sender import Broker, Sender

log = logging.getLogger("ostiary")

STATUS_EVERY_S = 30.0
PROGRESS_EVERY_S = 2.0
RETRY_DISK_S = 2.0


class EngineFailed(RuntimeError):
    """Something the daemon cannot go on without has ended; systemd starts it anew."""


@dataclass(slots=True)
class Gate:
    """What the engine keeps for one gate."""

    keeper: Gatekeeper
    link: Broker
    camera: Literal["up", "down", "ended"] = "down"
    camera_detail: str | None = "not opened yet"
    live: bool = True
    stale_s: float = 2.0
    status: StatusMessage | None = None
    status_at_s: float = 0.0


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
        liveness: pipeline.Liveness | None = None,
    ) -> None:
        self.config, self.desk, self.gates, self.mailbox, self.metrics = config, desk, gates, mailbox, metrics
        self.boot_id = uuid.uuid4().hex
        self._model, self._version, self._standing, self._left_out = models[desk.model], version, standing_faults, left_out
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
        self._decisions = Decisions(config, desk.store, self.boot_id)
        self._retention = Retention(desk, config.audit.keep_days * 86_400.0)
        self._captures = Captures(desk, clock, wall)
        self._reembedder = Reembedder(desk, models, self._threshold, wall, aside)
        self._sender = Sender(desk.store, {name: gate.link for name, gate in gates.items()}, metrics, clock, wall)
        self._rules = self._base_rules()
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
        return self._depth() == 0

    def finish(self) -> None:
        """End every passage (a recording is over, or the daemon stops): what they owe is decided and stored."""
        for gate in self.gates.values():
            self._publish(gate.keeper.finish())
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
        gate = self.gates[delivery.gate]
        site = self.config.site
        with pipeline.timed(self.metrics.stage, "command"):
            answer = self.desk.handle(
                delivery.gate, topic(site, delivery.gate, "result"), delivery.payload, delivery.retained, self._wall()
            )
        if isinstance(answer, Waiting):
            shared = delivery.topic == topic(site, "all", "command")
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
            "gate %s: command %s %s: %s%s",
            gate_name,
            result.op,
            result.person or "",
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
        vectors: list[list[Vector | None]]
        if self._rules.threshold is None:
            vectors = [[None] * len(view.probes) for view in fresh]
        else:
            vectors = pipeline.embed(fresh, self.desk.embedder, self.metrics.stage)
        lives = self._lives if self._liveness is not None else None
        for view, seen in zip(fresh, vectors, strict=True):
            with pipeline.timed(self.metrics.stage, "decide"):
                decisions = self.gates[view.gate].keeper.observe(view, seen, self._find, self._permit(view.gate), lives)
            self._publish(decisions)

    def _find(self, vectors: npt.NDArray[np.float32]) -> list[Match]:
        with pipeline.timed(self.metrics.stage, "search"):
            return self.desk.gallery.search(vectors)

    def _lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        assert self._liveness is not None
        with pipeline.timed(self.metrics.stage, "liveness"):
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
                row = self._decisions.put(decision, person, self._rules, self.desk.model, self._wall())
            except StoreError as error:
                for lost in decisions[number:]:
                    self.gates[lost.gate].keeper.retract(lost)
                self._disk_failed(error.message)
                return
            self._decisions.forget(decision.gate, {*gate.keeper.passages, decision.passage})
            if gate.live:
                self._sender.captured(decision.gate, row, decision.at_s)
            self.metrics.decision(decision.gate, decision.verdict, decision.reason)
            log.info(
                "gate %s: passage %d: %s (%s)%s",
                decision.gate,
                decision.passage,
                decision.verdict,
                decision.reason,
                f" {decision.person}" if decision.person else "",
            )

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
        """Publish the status of every gate that has something new to say, or has been silent for long."""
        for name, gate in self.gates.items():
            said = self._status(gate)
            if said.state != "offline":
                self.metrics.gate_state(name, said.state)
            every_s = STATUS_EVERY_S if said.reembedding is None else PROGRESS_EVERY_S
            due = self._clock() - gate.status_at_s >= every_s
            if not (due or gate.status is None or not status.alike(said, gate.status)):
                continue
            if gate.link.publish(Outgoing(0, topic(self.config.site, name, "status"), encode(said), retain=True)):
                gate.status, gate.status_at_s = said, self._clock()

    def _status(self, gate: Gate) -> StatusMessage:
        trouble = status.Trouble(
            disk=self._disk,
            unresolved=self._base_rules().threshold is None,
            left_out=self._left_out,
            camera=status.camera_trouble(gate.camera, gate.camera_detail),
            graph=self._graph.reason if self._graph is not None else None,
            liveness=self._liveness.fault if self._liveness is not None else None,
            refused=self._sender.refusal(gate.keeper.gate),
            untimed=self._timed if not self._clock_trusted() else 0,
            standing=self._standing,
            audit=self.desk.store.audit.broken,
        )
        closing, degrading = trouble.closing, trouble.degrading
        return StatusMessage(
            online=True,
            state="closed" if closing else "degraded" if degrading else "serving",
            reasons=closing + degrading,
            at=utc(self._wall()),
            boot_id=self.boot_id,
            camera=gate.camera,
            model=self.desk.model,
            provider=self._model.provider,
            people=len(self.desk.people),
            templates=self.desk.gallery.templates,
            gallery_revision=self._revision(),
            threshold=self._rules.threshold,
            outbox_depth=self._depth(),
            version=self._version,
            reembedding=self._reembedder.progress,
            audit=self._audit_head(),
        )

    # ---- the rules in force, and the disk

    def _threshold(self, model: Model, templates: int) -> float | None:
        return pipeline.rules(self.config, model.calibration, templates).threshold

    def _base_rules(self) -> Rules:
        return pipeline.rules(self.config, self._model.calibration, self.desk.gallery.templates)

    def _adopt_rules(self) -> None:
        rules = self._base_rules()
        if self._disk is not None:  # nobody is accepted while an accept could be lost
            rules = replace(rules, threshold=None)
        self._rules = rules
        self._timed = sum(timed(person) for person in self.desk.people.values())
        revision = self._revision()
        for gate in self.gates.values():
            gate.keeper.rules = rules
            if revision != self._seen_revision:
                gate.keeper.refresh()
        self._seen_revision = revision
        self.metrics.threshold(rules.threshold)
        self.metrics.gallery(len(self.desk.people), self.desk.gallery.templates, revision)

    def _revision(self) -> int:
        try:
            return self.desk.store.revision()
        except StoreError:
            return -1

    def _audit_head(self) -> AuditHead | None:
        try:
            head = self.desk.store.audit.head()
        except StoreError:
            return None
        return AuditHead(number=head.number, head=head.digest.hex())

    def _templates(self) -> int:
        try:
            return self.desk.store.template_total()
        except StoreError:
            return self.desk.gallery.templates + self._left_out

    def _depth(self) -> int:
        try:
            return self.desk.store.depth()
        except StoreError:
            return -1

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
