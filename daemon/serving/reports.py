"""The status of every gate, published when it is news, and every half minute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from daemon.core import status
from daemon.core.messages import AuditHead, Reembedding, StatusMessage, encode, topic, utc
from daemon.core.values import Outgoing
from daemon.edges.metrics import GateState, Metrics
from daemon.edges.store import Store, StoreError
from daemon.pipeline.serving import Current
from daemon.serving.gate_state import Gate
from daemon.serving.sender import Sender
from daemon.serving.signature import Sign, unsigned

STATUS_EVERY_S = 30.0
PROGRESS_EVERY_S = 2.0
INCIDENT_S = 3600.0
"""So long the status speaks of an incident."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of the engine, the same for all gates; see `status.Trouble`."""

    disk: str | None
    left_out: int
    graph: str | None
    untimed: int
    recorder: Sequence[str]
    reembedding: Reembedding | None
    liveness: str | None
    unsound: str | None
    stepped: bool
    dropped: int
    revision: int


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

    @property
    def state(self) -> GateState:
        return "closed" if self.trouble.closing else "degraded" if self.trouble.degrading else "serving"


@dataclass(slots=True)
class Reports:
    """Owned by the engine. `clock` never steps (seconds), `wall` is UTC seconds; `standing` are the faults that the start found.

    `commands` says whether these must be signed, and `public_key` whose signature `sign` makes.
    """

    site: str
    store: Store
    current: Current
    sender: Sender
    metrics: Metrics
    boot_id: str
    version: str
    standing: tuple[str, ...]
    clock: Callable[[], float]
    wall: Callable[[], float]
    commands: Literal["signed", "unsigned"] = "unsigned"
    public_key: str | None = None
    sign: Sign = unsigned

    def publish(self, gates: Mapping[str, Gate], condition: Condition) -> None:
        """Publish the status of every gate that has something new to say, or has not said anything for a while."""
        for name, gate in gates.items():
            facts = self._facts(gate, condition)
            news = gate.status is None or facts != gate.facts
            if news:
                self.metrics.gate_state(name, facts.state)
            every_s = STATUS_EVERY_S if condition.reembedding is None else PROGRESS_EVERY_S
            if not gate.link.connected or not (news or self.clock() - gate.status_at_s >= every_s):
                continue
            to, said = topic(self.site, name, "status"), self._composed(gate, facts, condition.reembedding)
            if gate.link.publish(Outgoing(0, to, self.sign(to, encode(said)), retain=True)):
                gate.facts, gate.status, gate.status_at_s = facts, said, self.clock()

    def _facts(self, gate: Gate, condition: Condition) -> Facts:
        serving, rules = self.current.serving, gate.rules
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
            liveness=condition.liveness,
            audit=self.store.audit.broken,
            uncalibrated=gate.uncalibrated,
            unsound=condition.unsound,
            stepped=condition.stepped,
            dropped=condition.dropped,
            down=dict(gate.down),
            incidents={what: utc(at) for what, at in gate.incidents.items() if self.wall() - at < INCIDENT_S},
            two_faces=sorted(gate.keeper.doubles.found),
        )
        reembedding = condition.reembedding.model if condition.reembedding is not None else None  # how far it is, is no news
        return Facts(
            trouble, gate.camera, serving.model.id, serving.model.provider, len(self.current.people), serving.gallery.templates,
            condition.revision, gate.keeper.rules.threshold, gate.keeper.rules.pair, reembedding,
        )  # fmt: skip

    def _composed(self, gate: Gate, facts: Facts, reembedding: Reembedding | None) -> StatusMessage:
        return StatusMessage(
            online=True,
            state=facts.state,
            reasons=facts.trouble.closing + facts.trouble.degrading,
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
            reembedding=reembedding,
            audit=_audit_head(self.store),
            mode=gate.mode,
            claim_threshold=facts.pair,
            commands=self.commands,
            public_key=self.public_key,
        )


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
