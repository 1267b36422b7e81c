"""What a gate says about itself: its state, and the reasons for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from daemon.core.counts import counted, persons
from daemon.core.messages import StatusMessage
from daemon.core.values import CameraTrouble, Incident, LinkName

UNCALIBRATED = "uncalibrated: the threshold comes from photos by other cameras, and nobody has measured this gate; run `ostiaryd calibrate`"
"""The gate works: it adapts to its camera by itself (`cohort.py`)."""
MOST_NAMED = 5
"""People named in a reason."""

_DOWN: dict[LinkName, str] = {"commands": "commands_down", "urgent": "revocations_down"}

_INCIDENTS: dict[Incident, str] = {
    "session_taken_over": "another client came with this gate's id, and commands that waited may be lost; look for a second daemon, "
    "change the broker's passwords, and send revocations again that were not answered",
    "session_lost": "the broker has forgotten the commands that waited for this gate; send revocations again that were not answered",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Everything that may be wrong. A field is None, False, 0 or empty while nothing is wrong.

    disk: the error of the last write.
    unresolved: the card has no threshold for a search among everybody, and the gate needs one.
    unverifiable: the card has no threshold for claims, and the gate needs one.
    idle: the gate can neither search nor verify.
    left_out: the number of templates without a vector of the serving model.
    camera: what is known of a camera that is not up.
    turned: most faces come turned.
    graph: why the search is exact.
    refused: what the broker refused.
    audit: the record at which the audit chain is broken.
    untimed: the number of people with a rule of time while the clock is not trusted.
    standing: what the start found.
    recorder: why something is not recorded.
    liveness: why the liveness model could not judge.
    uncalibrated: nobody has measured this gate with the serving model.
    unsound: what in memory is not as in the store.
    down: the connections to the broker that are down, and why.
    stepped: the wall clock has stepped, and nothing answers for it.
    dropped: the number of messages that were dropped from the outbox since the start.
    incidents: what happened to the gate's session at the broker lately, and when (RFC 3339).
    two_faces: the people under whose ids two different faces were accepted here.
    """

    disk: str | None
    unresolved: bool
    unverifiable: bool
    idle: bool
    left_out: int
    camera: str | None
    turned: bool
    graph: str | None
    refused: str | None
    audit: int | None
    untimed: int
    standing: Sequence[str]
    recorder: Sequence[str] = ()
    liveness: str | None = None
    uncalibrated: bool = False
    unsound: str | None = None
    down: Mapping[LinkName, str] = field(default_factory=dict)
    incidents: Mapping[Incident, str] = field(default_factory=dict)
    stepped: bool = False
    dropped: int = 0
    two_faces: Sequence[str] = ()

    @property
    def closing(self) -> list[str]:
        """Why the gate accepts nobody."""
        reasons = [f"disk: {self.disk}"] if self.disk is not None else []
        reasons += [f"unsound: {self.unsound}; restart the daemon, which reads the store anew"] if self.unsound is not None else []
        return reasons + (self._unresolved if self.idle else [])

    @property
    def degrading(self) -> list[str]:
        """What needs attention while the gate works."""
        reasons = [] if self.idle else self._unresolved
        reasons += [other_model(self.left_out)] if self.left_out else []
        reasons += [UNCALIBRATED] if self.uncalibrated and not self.idle else []
        reasons += self.standing
        if self.camera is not None:
            reasons.append(self.camera)
        if self.turned:
            reasons.append("faces_turned: most faces are not upright here; turn the camera, or set `rotate` of this gate")
        if self.two_faces:
            named = ", ".join(self.two_faces[:MOST_NAMED]) + (" and others" if len(self.two_faces) > MOST_NAMED else "")
            reasons.append(f"two_faces: two different faces were accepted as {named}; see who they are, and enrol with replace or capture")
        if self.graph is not None:
            reasons.append(f"exact_search: {self.graph}")
        if self.liveness is not None:
            reasons.append(f"liveness_failed: {self.liveness}")
        if self.audit is not None:
            reasons.append(f"audit_broken: at record {self.audit}; `ostiaryd check --audit` shows more")
        if self.untimed:
            reasons.append(
                f"clock_untrusted: no time service keeps the clock in step; {persons(self.untimed)} with a rule of time rejected"
            )
        reasons += self.recorder
        if self.refused is not None:
            reasons.append(f"publish_refused: {self.refused}")
        if self.dropped:
            reasons.append(f"outbox_dropped: {counted(self.dropped, 'message')} given up since the start; the audit chain has them")
        if self.stepped:
            reasons.append(
                "clock_stepped: the wall clock has jumped, so no accept is live; set it right by a time service, or restart the daemon"
            )
        reasons += [f"{_DOWN[name]}: {detail}" for name, detail in self.down.items() if name in _DOWN]
        reasons += [f"{incident}: at {at}; {_INCIDENTS[incident]}" for incident, at in self.incidents.items()]
        return reasons

    @property
    def _unresolved(self) -> list[str]:
        reasons = []
        if self.unresolved:
            reasons.append(
                "threshold_unresolved: the card has no threshold for this gallery size and decision.target_fpir; set decision.threshold"
            )
        if self.unverifiable:
            reasons.append("claims_unresolved: the card has no threshold for decision.target_fmr, so nobody is verified")
        return reasons


def other_model(left_out: int) -> str:
    """The reason that says how many templates are left out."""
    return f"other_model: {counted(left_out, 'template')} without a vector of this model left out; reembed, or enrol the owners again"


def camera_trouble(state: str, trouble: CameraTrouble | None, detail: str | None) -> str | None:
    """The reason that a camera of this state and trouble is, if it is one."""
    if state == "up" and trouble is None:
        return None
    return f"camera_{trouble or state}" + (f": {detail}" if detail else "")


def offline(status: StatusMessage) -> StatusMessage:
    """A gate's farewell when the daemon stops on purpose."""
    return msgspec.structs.replace(status, online=False, state="offline", reasons=["stopped"], camera=None, reembedding=None)
