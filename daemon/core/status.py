"""What a gate says of itself: its state, and the reasons for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from daemon.core.messages import StatusMessage


@dataclass(frozen=True, slots=True)
class Trouble:
    """Everything that may be wrong, each None, False or 0 while it is not.

    `disk` is the error of the last write. `unresolved` means that the card has no threshold to search among all by, `unverifiable` that it
    has none for claims, where the gate should do that; `idle` that the gate can do nothing at all. `left_out` counts templates without a
    vector of the serving model. `camera` is what is known of one that is not up, `graph` why the search is exact, `refused` what the broker
    would not take. `audit` is the record at which the chain is broken, `untimed` counts people with a rule of time that no clock judges,
    `standing` is what the start found, `recorder` why something is not recorded, `liveness` why its model could not judge.
    """

    disk: str | None
    unresolved: bool
    unverifiable: bool
    idle: bool
    left_out: int
    camera: str | None
    graph: str | None
    refused: str | None
    audit: int | None
    untimed: int
    standing: Sequence[str]
    recorder: Sequence[str] = ()
    liveness: str | None = None

    @property
    def closing(self) -> list[str]:
        """Why the gate accepts nobody."""
        return ([f"disk: {self.disk}"] if self.disk is not None else []) + (self._unresolved if self.idle else [])

    @property
    def degrading(self) -> list[str]:
        """What needs a look, while the gate works."""
        reasons = [] if self.idle else self._unresolved
        reasons += [other_model(self.left_out)] if self.left_out else []
        reasons += self.standing
        if self.camera is not None:
            reasons.append(self.camera)
        if self.graph is not None:
            reasons.append(f"exact_search: {self.graph}")
        if self.liveness is not None:
            reasons.append(f"liveness_failed: {self.liveness}")
        if self.audit is not None:
            reasons.append(f"audit_broken: at record {self.audit}; `ostiaryd check --audit` tells more")
        if self.untimed:
            reasons.append(
                f"clock_untrusted: no time service keeps the clock in step; {self.untimed} people with a rule of time are rejected"
            )
        reasons += self.recorder
        if self.refused is not None:
            reasons.append(f"publish_refused: {self.refused}")
        return reasons

    @property
    def _unresolved(self) -> list[str]:
        reasons = []
        if self.unresolved:
            reasons.append("threshold_unresolved: the card has none for this gallery size and decision.target_fpir; set decision.threshold")
        if self.unverifiable:
            reasons.append("claims_unresolved: the card has no threshold for decision.target_fmr, so nobody is verified")
        return reasons


def other_model(left_out: int) -> str:
    """The reason that so many templates are left out."""
    return f"other_model: {left_out} templates have no vector of this model and are left out; reembed, or enrol these people again"


def camera_trouble(state: str, detail: str | None) -> str | None:
    """The reason that a camera of this state is, if it is one."""
    return None if state == "up" else f"camera_{state}" + (f": {detail}" if detail else "")


def offline(status: StatusMessage) -> StatusMessage:
    """A gate's farewell when the daemon stops on purpose."""
    return msgspec.structs.replace(status, online=False, state="offline", reasons=["stopped"], camera=None, reembedding=None)


def alike(a: StatusMessage, b: StatusMessage) -> bool:
    """Whether two statuses say the same, but for the time, the outbox, the newest audit record, and how far a change of model has come."""
    return _lasting(a) == _lasting(b)


def _lasting(status: StatusMessage) -> StatusMessage:
    reembedding = status.reembedding
    if reembedding is not None:
        reembedding = msgspec.structs.replace(reembedding, done=0, of=0)
    return msgspec.structs.replace(status, at=None, outbox_depth=0, audit=None, reembedding=reembedding)
