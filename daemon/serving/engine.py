"""The engine: the one owner of passages, gallery and store. It turns views into decisions and commands into results, in one thread."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.commands.captures import Captures
from daemon.commands.claiming import Claiming
from daemon.commands.deferred import Waits
from daemon.commands.desk import Desk
from daemon.commands.enrolling import Crops, Enrolling
from daemon.commands.enrolment import Pictures
from daemon.commands.order import Order
from daemon.commands.reembedding import Made, Reembedder
from daemon.config import Config
from daemon.core.audit import Started
from daemon.core.messages import Enroll, Reembed, Resync, Verify
from daemon.core.pace import Pace, needed_fps
from daemon.core.status import Word
from daemon.core.values import Link, Published, View
from daemon.core.wall import WallClock
from daemon.edges.files import FileError
from daemon.edges.gallery import GraphState
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import Store, StoreError
from daemon.edges.walks import FOLDER, PURPOSE, WalksError, forget_walks
from daemon.pipeline import steps
from daemon.pipeline.model import Model
from daemon.pipeline.serving import Current
from daemon.serving import reports
from daemon.serving.ages import Ages
from daemon.serving.announced import announced
from daemon.serving.answering import Answering
from daemon.serving.deciding import Deciding
from daemon.serving.decisions import Decisions
from daemon.serving.disk import Disk, Erasure
from daemon.serving.flight import Flight
from daemon.serving.gate_state import Gate
from daemon.serving.known_as import known_as
from daemon.serving.mailbox import CameraState, Looked, Mailbox, WorkerFailed
from daemon.serving.overflow import Overflow
from daemon.serving.reports import Condition, Reports
from daemon.serving.retention import Retention
from daemon.serving.roster import Resyncing, Roster, Sharing
from daemon.serving.rules_in_force import RulesInForce
from daemon.serving.sender import Sender
from daemon.serving.signature import Sign, unsigned
from daemon.serving.visitors import Visitors

log = logging.getLogger("ostiary")


ENROL_NICE = 5
"""Somebody waits for an enrolment, but the frames come first."""


class EngineFailed(RuntimeError):
    """Something has ended that the daemon cannot go on without; systemd starts it anew."""


class Engine:
    """`clock` never steps (seconds), `wall` is UTC seconds; both are arguments so that tests can hold them. `synchronised` tells whether a
    time service keeps the wall clock, `clock_trusted` whether rules of time may be judged by it.

    `models` are those of the configured bundles, by id. `crops` looks at photos from outside. `standing` is what the start found, for the
    status. `unrecorded`, `unserved` and `low` say why recorders, metrics and disk are not well, and `tell` hands the state of all gates to
    the service manager, in one line. `sign` signs what the gates say, with the key whose public half is `public_key`.
    By `ages` what is old is deleted. `roster` is there where the box shares its people with others.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        current: Current,
        desk: Desk,
        gates: dict[str, Gate],
        mailbox: Mailbox,
        metrics: Metrics,
        models: Mapping[str, Model],
        crops: Crops,
        version: str,
        standing: Mapping[Word, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        clock_trusted: Callable[[], bool] = lambda: True,
        aside: Callable[[], Aside[Made]] = lambda: Background("ostiary-reembed"),
        pictures_aside: Aside[Pictures] | None = None,
        flight: Flight | None = None,
        unrecorded: Callable[[], Mapping[Word, str]] = dict,
        liveness: steps.Liveness | None = None,
        synchronised: Callable[[], bool] = lambda: False,
        sign: Sign = unsigned,
        public_key: str | None = None,
        unserved: Callable[[], str | None] = lambda: None,
        low: Callable[[], str | None] = lambda: None,
        tell: Callable[[str], object] = lambda line: None,
        ages: Ages | None = None,
        roster: Roster | None = None,
    ) -> None:
        self.gates, self.mailbox, self.metrics = gates, mailbox, metrics
        self.boot_id = uuid.uuid4().hex
        self._store, self._current, self._version = store, current, version
        store.settle_later()  # it takes longer than a decision
        self._clock, self._wall, self._clock_trusted, self._synchronised = clock, wall, clock_trusted, synchronised
        self._liveness, self._unrecorded, self._unserved, self._low = liveness, unrecorded, unserved, low
        self._who = who = known_as(store, ids=config.log.people)
        self._graph: GraphState | None = None
        self._started = False  # and that is in the audit chain
        self._flight = flight if flight is not None else Flight(None, store.pseudonym)
        self._wall_clock = WallClock(clock(), wall())
        self._ages = ages if ages is not None else Ages(clock, wall, synchronised, store.counted_time())
        self._sender = Sender(store, {name: gate.link for name, gate in gates.items()}, metrics, clock, sign)
        self.disk = Disk(store, clock)
        self._erasure = Erasure(store, clock)
        self._rules = RulesInForce(current, store, gates, self.disk, self._flight, metrics, version)
        order, modes = Order(store), {name: gate.mode for name, gate in gates.items()}
        self._captures = Captures(desk, config.enrolment.min_face_px, clock, wall)
        self._reembedder = Reembedder(
            desk, store, current, models, modes,
            disk_works=lambda: self.disk.works, wake=mailbox.wake.set, wall=wall, aside=aside,
        )  # fmt: skip
        pictures_aside = pictures_aside if pictures_aside is not None else Background("ostiary-enrol", mailbox.wake.set, ENROL_NICE)
        self._enrolling = Enrolling(desk, current, self._captures, crops, wall, pictures_aside)
        claiming = Claiming(desk, order, current, clock, wall)
        resyncing = Resyncing(desk, roster, wall)
        waits: dict[type, Waits[Any]] = {Enroll: self._enrolling, Verify: claiming, Reembed: self._reembedder, Resync: resyncing}
        self._sharing = Sharing(roster, order, self._rules, gates, self.disk, clock, wall, self._forget) if roster is not None else None
        self._answering = Answering(
            config.site, desk, waits, gates, mailbox.commands, self._crowded, self.disk, self._rules, metrics, wall, sign,
            ids=config.log.people, forget=self._forget,
        )  # fmt: skip
        self._walks = Path(config.state_dir) / FOLDER
        decisions = Decisions(config, store, self.boot_id)
        self._visitors = Visitors(config, gates, metrics, clock, wall, sign)
        self._deciding = Deciding(
            config, current, gates, self._rules, decisions, self._sender, self._flight, metrics, liveness, wall, clock_trusted,
            self._wall_clock, who, self._visitors, self._sharing.whole if self._sharing is not None else lambda: False,
        )  # fmt: skip
        self._overflow = Overflow(config.site, store, tuple(gates), config.outbox.most, config.outbox.keep_days * 86_400.0, metrics)
        for name, gate in gates.items():
            metrics.gate(name)
            here = config.at(name).decision
            gate.pace = Pace(needed_fps(here.min_frames, here.lost_s))
        self._retention = Retention(store, order, config.audit.keep_days * 86_400.0)
        self._reports = Reports(
            config.site, store, current, self._sender, metrics, self.boot_id, version, standing or {}, clock, wall,
            commands="signed" if config.commands.keys else "unsigned", public_key=public_key, sign=sign, who=who, tell=tell,
            announced={name: announced(config, name) for name in gates},
        )  # fmt: skip

    # ---- one turn

    def turn(self, timeout_s: float) -> None:
        """Wait for something to do, and do it: what shuts somebody out, then all views, then some commands, and send what is to be sent.
        What the commands changed is settled in the store when no view waits. Raises EngineFailed."""
        self.mailbox.wait(timeout_s)
        self._note_start()
        self._watch_clock()
        self._take_events()
        self._answering.shut_out()
        self._decide()
        self._send()  # a decision does not wait for the commands
        self._store.settle()
        self._answering.serve()
        if self.disk.recovered():
            self._rules.adopt()
            self._note_start()
            self._answering.take_owed()
        self._answering.turn()
        if self._sharing is not None and self._sharing.turn():
            self.mailbox.wake.set()
        self._tend_gallery()
        self._retention.tend(self._clock(), self._ages.now(), self._ages.reached())
        if not self.mailbox.views_wait():
            self._store.settle()
            self._erasure.tend()
        if not self._store.settle_due:
            self._report()
        if self._send() or self._store.settle_due or self._answering.has_more:
            self.mailbox.wake.set()
        if self._visitors.tend(idle=not self.mailbox.views_wait()):
            self.mailbox.wake.set()
        self._note_claims()
        self._note_doubles()
        self.metrics.heartbeat()
        for name, gate in self.gates.items():
            if not gate.link.is_alive():
                raise EngineFailed(f"gate {name}: the MQTT thread has ended")
        if self._sharing is not None and not self._sharing.is_alive():
            raise EngineFailed("the roster's MQTT thread has ended")

    def _note_start(self) -> None:
        """Before anything else is recorded. While the disk takes nothing the gate is closed, and the start is noted when the disk works."""
        if self._started or not self.disk.works:
            return
        try:
            with self._store.transaction():
                model, revision = self._current.serving.model.id, self._store.revision()
                started = Started(boot_id=self.boot_id, version=self._version, model=model, gallery_revision=revision)
                self._store.audit.append(self._wall(), started)
            self._started = True
        except StoreError as error:
            self._rules.close(error.message)

    def idle(self) -> bool:
        """Whether nothing waits to be decided, and every recording has been seen to its end."""
        return self.mailbox.empty() and all(g.camera == "ended" for g in self.gates.values())

    def delivered(self) -> bool:
        """Whether the broker has everything."""
        return reports.depth(self._store) == 0

    def finish(self) -> None:
        """End every passage (a recording is over, or the daemon stops): the decisions still due are taken and stored."""
        for gate in self.gates.values():
            self._deciding.publish(gate.keeper.finish())
        self._flight.finish()
        self._store.settle()
        self._send()

    def close(self) -> None:
        """End what goes on aside."""
        self._reembedder.close()
        self._enrolling.close()
        if self._sharing is not None:
            self._sharing.close()

    def settle(self) -> None:
        """The connections are closed: forget what the broker has answered for, so that the next start does not send it again."""
        self._settle([event for event in self.mailbox.events() if isinstance(event, Published)])

    # ---- events

    def _take_events(self) -> None:
        published: list[Published] = []
        for event in self.mailbox.events():
            match event:
                case Published():
                    published.append(event)
                case Link():
                    self._settle(published)  # answers of the connection that was, before it is forgotten
                    published = []
                    self._link(event)
                case CameraState():
                    self._camera(event)
                case Looked():
                    pace = self.gates[event.gate].pace
                    assert pace is not None
                    pace.saw(event.now_s, event.frames, event.lost)
                case WorkerFailed():
                    raise EngineFailed(f"gate {event.gate}: the worker ended: {event.error!r}") from event.error
        self._settle(published)

    def _settle(self, published: list[Published]) -> None:
        try:
            self._sender.settle(published)
        except StoreError as error:  # they will be sent twice; their event_id makes that harmless
            self._rules.close(error.message)

    def _link(self, link: Link) -> None:
        gate = self.gates[link.gate]
        if link.incident is not None:
            gate.incidents[link.incident] = self._wall()
            self.metrics.incident(link.gate, link.incident)
        gate.down.pop(link.name, None)
        if not link.up:
            gate.down[link.name] = link.detail
        if link.name == "out":
            gate.status = None
            gate.connections += link.up
            try:
                self._sender.reconnected(link.gate)
            except StoreError as error:
                self._rules.close(error.message)
        self.metrics.broker(link.gate, not gate.down)
        if link.up:  # what is lost is a reason, which the journal gets with all others
            log.info("gate %s: broker connected (%s)", link.gate, link.name, extra=fields(gate=link.gate, link=link.name))

    def _crowded(self, gate: str) -> bool:
        """Whether the next command of a gate waits: its answers pile up, or nobody can tell."""
        try:
            return self._sender.crowded(gate)
        except StoreError as error:
            self._rules.close(error.message)
            return True

    def _forget(self, person: str) -> None:
        """Erase the walks of somebody who was revoked from a calibration that is not finished."""
        try:
            forget_walks(self._walks, self._store.purpose_key(PURPOSE), person)
        except (FileError, WalksError, OSError) as error:
            log.warning("walks of a calibration may hold somebody who was revoked (%s); delete %s", type(error).__name__, self._walks)

    def _watch_clock(self) -> None:
        if self._wall_clock.watch(self._clock(), self._wall(), synchronised=self._synchronised()):
            self._sender.distrust()

    def _camera(self, event: CameraState) -> None:
        gate = self.gates[event.gate]
        gate.live = event.live
        gate.camera, gate.camera_trouble, gate.camera_detail = event.state, event.trouble, event.detail
        self.metrics.camera(event.gate, event.state == "up")
        self._flight.camera(event.gate, self._wall(), event.state, event.detail)
        if event.state != "up":
            # As far as anybody can tell, nobody is in view any more.
            self._captures.camera_lost(event.gate)
            self._decide()
            self._deciding.publish(gate.keeper.finish())

    def _decide(self) -> None:
        """Decide about the views that wait, except the stale ones."""
        now_s, fresh = self._clock(), []
        for view in self.mailbox.views():
            if self._stale(view, now_s):
                self.metrics.dropped(view.gate, "stale")
                self.gates[view.gate].pace_lost()
            else:
                fresh.append(view)
                self._captures.observe(view)
        self._deciding.decide(fresh)

    def _stale(self, view: View, now_s: float) -> bool:
        gate = self.gates[view.gate]
        return gate.live and not 0 <= now_s - view.at_s <= gate.stale_s

    def _note_claims(self) -> None:
        for name, gate in self.gates.items():
            for person, how in gate.keeper.claims.ended:
                self.metrics.claim(name, how)
                log.info("gate %s: a claim ended: %s", name, how, extra=fields(gate=name, end=how, person=self._who(person)))
            gate.keeper.claims.ended.clear()

    def _note_doubles(self) -> None:
        for name, gate in self.gates.items():
            for person in gate.keeper.doubles.news:
                self.metrics.two_faces(name)
                log.warning(
                    "gate %s: two different faces were accepted as one person; see who they are, and enrol with replace or capture", name,
                    extra=fields(gate=name, person=self._who(person)),
                )  # fmt: skip
            gate.keeper.doubles.news.clear()

    # ---- the gallery's graph

    def _tend_gallery(self) -> None:
        gallery = self._current.serving.gallery
        gallery.tend(self._clock())
        graph = gallery.graph_state
        if graph == self._graph:
            return
        self._graph = graph
        self.metrics.graph(graph.state, graph.recall)
        log.log(
            logging.INFO,
            "search graph %s%s%s",
            graph.state,
            f", recall {graph.recall:.3f}" if graph.recall is not None else "",
            f": {graph.reason}; the search is exact" if graph.reason else "",
        )

    # ---- what goes out

    def _send(self) -> bool:
        """Whether there is more to send at once."""
        if not self.disk.works:
            return False
        try:
            self._overflow.tend(self._clock(), self._wall(), self._ages.now())
            return self._sender.send()
        except StoreError as error:
            self._rules.close(error.message)
            return False

    def _report(self) -> None:
        condition = Condition(
            disk=self.disk.trouble,
            left_out=self._rules.left_out,
            graph=self._graph.reason if self._graph is not None else None,
            untimed=self._rules.timed if not self._clock_trusted() else 0,
            recorder=self._unrecorded(),
            metrics=self._unserved(),
            low=self._low(),
            unerased=self._erasure.late(),
            reembedding=self._reembedder.progress,
            liveness=self._liveness.fault if self._liveness is not None else None,
            unsound=self._rules.unsound,
            stepped=not self._wall_clock.trusted,
            dropped=self._overflow.dropped,
            revision=self._rules.revision,
            sharing=self._sharing.condition() if self._sharing is not None else None,
        )
        self._reports.publish(self.gates, condition)
