"""The status of every gate, published when it is news, and every half minute. What is news goes to the metrics, to the journal and to the
service manager too, in the same words."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from daemon.core import status
from daemon.core.messages import AuditHead, Reembedding, RosterStatus, StatusMessage, encode, topic, utc
from daemon.core.status import Reason, Word
from daemon.core.values import OPENING, STREAM_OPEN, Outgoing
from daemon.edges.journal import fields
from daemon.edges.metrics import Metrics
from daemon.edges.store import Store, StoreError
from daemon.pipeline.serving import Current
from daemon.serving.announced import Announced
from daemon.serving.gate_state import Gate
from daemon.serving.sender import Sender
from daemon.serving.signature import Sign, unsigned

log = logging.getLogger("ostiary")

STATUS_EVERY_S = 30.0
PROGRESS_EVERY_S = 2.0
LEVELS: Mapping[status.Severity, int] = {
    "closes": logging.ERROR, "critical": logging.WARNING, "warning": logging.WARNING, "notice": logging.INFO,
}  # fmt: skip
"""How the journal takes a reason. What the disk has to do with is an error too (`ERRORS`)."""
ERRORS = frozenset({Word.DISK, Word.DISK_LOW, Word.STORE_DAMAGED, Word.AUDIT_BROKEN})
MOST_LINES = 8
"""So many lines the journal has of one reason, until it is over."""
CHANGES = re.compile(r" \(next try in [^)]*\)|[\d.:,]+")
"""What changes all the time in the detail of a reason, and is no news."""
INCIDENT_S = 3600.0
"""So long the status speaks of an incident."""


@dataclass(frozen=True, slots=True)
class SharingState:
    """The roster that the box shares: why it has no connection, what else is wrong, about whom desks disagree, what changes so often
    that not every change is news, and what the status says of it."""

    down: str | None
    troubles: Mapping[Word, str]
    disputed: Sequence[str]
    standing: str
    figures: object
    status: Callable[[], RosterStatus | None]


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of the engine, the same for all gates; see `status.Trouble`."""

    disk: str | None
    left_out: int
    graph: str | None
    untimed: int
    recorder: Mapping[Word, str]
    metrics: str | None
    low: str | None
    unerased: str | None
    reembedding: Reembedding | None
    liveness: str | None
    unsound: str | None
    stepped: bool
    dropped: int
    revision: int
    sharing: SharingState | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What makes a status news. Each turn asks every gate for these, and only for these."""

    trouble: status.Trouble
    camera: str
    model: str
    provider: str
    people: int
    templates: int
    revision: int
    threshold: float | None
    pair: float | None
    reembedding: str | None
    roster: str | None = None
    figures: object = None

    @property
    def state(self) -> status.GateState:
        return status.state(self.trouble.reasons)


@dataclass(slots=True)
class Reports:
    """Owned by the engine. `clock` never steps (seconds), `wall` is UTC seconds; `standing` are the faults that the start found.

    `announced` is what each gate's status says of its configuration. `who` says how the journal calls a person. `tell` takes the state of
    all gates in one line, for the service manager. `commands` says whether these must be signed, and `public_key` whose signature `sign`
    makes.
    """

    site: str
    store: Store
    current: Current
    sender: Sender
    metrics: Metrics
    boot_id: str
    version: str
    standing: Mapping[Word, str]
    clock: Callable[[], float]
    wall: Callable[[], float]
    commands: Literal["signed", "unsigned"] = "unsigned"
    public_key: str | None = None
    sign: Sign = unsigned
    who: Callable[[str], str] = str
    tell: Callable[[str], object] = lambda line: None
    announced: Mapping[str, Announced] = field(default_factory=dict)
    _told: str = ""

    def publish(self, gates: Mapping[str, Gate], condition: Condition) -> None:
        """Publish the status of every gate that has something new to say, or has not said anything for a while."""
        noted = False
        for name, gate in gates.items():
            facts = self._facts(gate, condition)
            if facts.trouble != gate.noted:  # not only when the status is news: the broker may not have taken the last one
                noted, gate.noted = True, facts.trouble
                self._note(name, gate, facts)
            news = gate.status is None or facts != gate.facts
            if news and condition.sharing is not None and _but_counts(facts) == _but_counts(gate.facts):
                news = self.clock() - gate.status_at_s >= PROGRESS_EVERY_S
            every_s = STATUS_EVERY_S if condition.reembedding is None else PROGRESS_EVERY_S
            if not gate.link.connected or not (news or self.clock() - gate.status_at_s >= every_s):
                continue
            to, said = topic(self.site, name, "status"), self._composed(gate, facts, condition)
            if gate.link.publish(Outgoing(0, to, self.sign(to, encode(said)), retain=True)):
                gate.facts, gate.status, gate.status_at_s = facts, said, self.clock()
        if noted and (line := status.summary({name: gate.told or () for name, gate in gates.items()})) != self._told:
            self._told = line
            self.tell(line)

    def _note(self, name: str, gate: Gate, facts: Facts) -> None:
        """The gate's state in the metrics, and what has begun and ended in the journal."""
        reasons = facts.trouble.reasons
        self.metrics.gate_state(name, facts.state)
        self.metrics.gate_reasons(name, {reason.word for reason in reasons})
        gate.opening = gate.opening and gate.camera_detail in (OPENING, STREAM_OPEN)
        for reason in reasons:
            line, said = _line(reason, opening=gate.opening), gate.said.setdefault(reason.word, set())
            if line not in said and len(said) < MOST_LINES:
                said.add(line)
                log.log(
                    line.level,
                    "gate %s: %s: %s", name, facts.state, reason.line(self.who),
                    extra=fields(gate=name, state=facts.state, reason=reason.word),
                )  # fmt: skip
        for word in gate.said.keys() - {reason.word for reason in reasons}:
            del gate.said[word]
            log.info("gate %s: %s is over", name, word, extra=fields(gate=name, state=facts.state, reason=word))
        if gate.told and not reasons:
            log.info("gate %s: serving", name, extra=fields(gate=name, state=facts.state))
        gate.told = reasons

    def _facts(self, gate: Gate, condition: Condition) -> Facts:
        serving, rules, sharing = self.current.serving, gate.rules, condition.sharing
        trouble = status.Trouble(
            disk=condition.disk,
            unresolved=gate.mode != "verify" and rules.threshold is None,
            unverifiable=gate.mode != "identify" and rules.pair is None,
            idle=rules.closed,
            left_out=condition.left_out,
            camera=status.camera_trouble(gate.camera, gate.camera_trouble, gate.camera_detail),
            turned=gate.turns.most,
            graph=condition.graph,
            refused=self.sender.refusal(gate.keeper.gate),
            untimed=condition.untimed,
            standing=self.standing,
            recorder=condition.recorder,
            metrics=condition.metrics,
            low=condition.low,
            unerased=condition.unerased,
            slow=gate.pace.slow if gate.pace is not None else None,
            liveness=condition.liveness,
            audit=self.store.audit.broken,
            uncalibrated=gate.uncalibrated,
            unsound=condition.unsound,
            stepped=condition.stepped,
            dropped=condition.dropped,
            down=dict(gate.down) if sharing is None or sharing.down is None else {**gate.down, "roster": sharing.down},
            incidents={what: utc(at) for what, at in gate.incidents.items() if self.wall() - at < INCIDENT_S},
            two_faces=sorted(gate.keeper.doubles.found),
            roster=sharing.troubles if sharing is not None else {},
            disputed=sharing.disputed if sharing is not None else (),
        )
        reembedding = condition.reembedding.model if condition.reembedding is not None else None  # how far it is, is no news
        return Facts(
            trouble, gate.camera, serving.model.id, serving.model.provider, len(self.current.people), serving.gallery.templates,
            condition.revision, gate.keeper.rules.threshold, gate.keeper.rules.pair, reembedding,
            *((sharing.standing, sharing.figures) if sharing is not None else ()),
        )  # fmt: skip

    def _composed(self, gate: Gate, facts: Facts, condition: Condition) -> StatusMessage:
        here, (measured, measured_at) = self.announced[gate.keeper.gate], self.current.serving.measured(gate.keeper.gate)
        return StatusMessage(
            online=True,
            state=facts.state,
            reasons=[reason.line() for reason in facts.trouble.reasons],
            at=utc(self.wall()),
            boot_id=self.boot_id,
            camera=gate.camera,
            model=facts.model,
            provider=facts.provider,
            people=facts.people,
            templates=facts.templates,
            gallery_revision=facts.revision,
            threshold=facts.threshold,
            outbox_depth=depth(self.store),
            version=self.version,
            reembedding=condition.reembedding,
            audit=_audit_head(self.store),
            mode=gate.mode,
            claim_threshold=facts.pair,
            commands=self.commands,
            public_key=self.public_key,
            roster=condition.sharing.status() if condition.sharing is not None else None,
            calibration="gate" if measured else "fixed" if here.fixed else "photos",
            calibrated_at=utc(measured_at) if measured_at is not None else None,
            share_unknown=here.share_unknown,
            metrics=here.metrics,
            schedules=here.schedules,
            gates=here.gates,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """What makes a reason another line of the journal: its level, whether it closes the gate, and its detail without what
    `CHANGES`. That a camera was silent and now refuses the login is news."""

    level: int
    closes: bool
    detail: str


def _but_counts(facts: object) -> object:
    """What is news even while thousands of people come in."""
    return replace(facts, people=0, templates=0, revision=0, threshold=None, pair=None, figures=None) if isinstance(facts, Facts) else facts


def _line(reason: Reason, *, opening: bool) -> Line:
    level = logging.ERROR if reason.word in ERRORS else LEVELS[reason.severity]
    if opening and reason.word is Word.CAMERA_DOWN:
        level = logging.INFO
    return Line(level, reason.closes, CHANGES.sub("", reason.detail))


def revision(store: Store) -> int:
    """The revision of the gallery; -1 if it cannot be read."""
    try:
        return store.revision()
    except StoreError:
        return -1


def depth(store: Store) -> int:
    """How many messages wait for the broker; -1 if it cannot be read."""
    try:
        return store.depth()
    except StoreError:
        return -1


def _audit_head(store: Store) -> AuditHead | None:
    try:
        head = store.audit.head()
    except StoreError:
        return None
    return AuditHead(number=head.number, head=head.digest.hex())
