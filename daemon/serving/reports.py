"""The status of every gate: composed each turn, published when it is news, and every half minute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from daemon.core import status
from daemon.core.messages import AuditHead, Reembedding, StatusMessage, encode, topic, utc
from daemon.core.values import Outgoing
from daemon.edges.metrics import Metrics
from daemon.edges.store import Store, StoreError
from daemon.pipeline.serving import Current
from daemon.serving.gate_state import Gate
from daemon.serving.sender import Sender
from daemon.serving.signature import Sign, unsigned

STATUS_EVERY_S = 30.0
PROGRESS_EVERY_S = 2.0


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
            said = self._composed(gate, condition)
            if said.state != "offline":
                self.metrics.gate_state(name, said.state)
            every_s = STATUS_EVERY_S if said.reembedding is None else PROGRESS_EVERY_S
            due = self.clock() - gate.status_at_s >= every_s
            if not (due or gate.status is None or not status.alike(said, gate.status)):
                continue
            to = topic(self.site, name, "status")
            if gate.link.publish(Outgoing(0, to, self.sign(to, encode(said)), retain=True)):
                gate.status, gate.status_at_s = said, self.clock()

    def _composed(self, gate: Gate, condition: Condition) -> StatusMessage:
        serving, store = self.current.serving, self.store
        rules = serving.rules(gate.mode, gate.keeper.gate)
        trouble = status.Trouble(
            disk=condition.disk,
            unresolved=gate.mode != "verify" and rules.threshold is None,
            unverifiable=gate.mode != "identify" and rules.pair is None,
            idle=rules.closed,
            left_out=condition.left_out,
            camera=status.camera_trouble(gate.camera, gate.camera_detail),
            turned=gate.turns.most,
            graph=condition.graph,
            refused=self.sender.refusal(gate.keeper.gate),
            untimed=condition.untimed,
            standing=self.standing,
            recorder=condition.recorder,
            liveness=condition.liveness,
            audit=store.audit.broken,
            uncalibrated=serving.uncalibrated(rules, gate.keeper.gate),
        )
        closing, degrading = trouble.closing, trouble.degrading
        return StatusMessage(
            online=True,
            state="closed" if closing else "degraded" if degrading else "serving",
            reasons=closing + degrading,
            at=utc(self.wall()),
            boot_id=self.boot_id,
            camera=gate.camera,
            model=serving.model.id,
            provider=serving.model.provider,
            people=len(self.current.people),
            templates=serving.gallery.templates,
            gallery_revision=revision(store),
            threshold=gate.keeper.rules.threshold,
            outbox_depth=depth(store),
            version=self.version,
            reembedding=condition.reembedding,
            audit=_audit_head(store),
            mode=gate.mode,
            claim_threshold=gate.keeper.rules.pair,
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
