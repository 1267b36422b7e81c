"""What a gate says about itself: its state, and the reasons for it. Every reason is a word of one closed list, with a row in one table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import msgspec

from daemon.core.counts import counted, persons
from daemon.core.messages import StatusMessage
from daemon.core.values import CameraTrouble, Incident, LinkName

GateState = Literal["serving", "degraded", "closed"]
GATE_STATES: tuple[GateState, ...] = ("serving", "degraded", "closed")

Severity = Literal["closes", "critical", "warning", "notice"]
"""`closes`: the gate accepts nobody. `critical`: somebody at the gate or at its broker is not served. `warning`: it works, and soon may
not, or what it says may be wrong. `notice`: it works as configured, and could be better."""

MOST_NAMED = 5
"""People named in a reason."""


class Word(StrEnum):
    """The reasons, in the order in which they are told. New ones may come: a consumer shows a word that it does not know as it is."""

    DISK = "disk"
    UNSOUND = "unsound"
    THRESHOLD_UNRESOLVED = "threshold_unresolved"
    CLAIMS_UNRESOLVED = "claims_unresolved"
    OTHER_MODEL = "other_model"
    CAMERA_DOWN = "camera_down"
    CAMERA_FROZEN = "camera_frozen"
    CAMERA_BEHIND = "camera_behind"
    CAMERA_ENDED = "camera_ended"
    TOO_SLOW = "too_slow"
    BROKER_DOWN = "broker_down"
    COMMANDS_DOWN = "commands_down"
    REVOCATIONS_DOWN = "revocations_down"
    SESSION_TAKEN_OVER = "session_taken_over"
    SESSION_LOST = "session_lost"
    PUBLISH_REFUSED = "publish_refused"
    OUTBOX_DROPPED = "outbox_dropped"
    ROSTER_DOWN = "roster_down"
    ROSTER_NO_KEY = "roster_no_key"
    ROSTER_NO_HEAD = "roster_no_head"
    ROSTER_STALE = "roster_stale"
    ROSTER_INCOMPLETE = "roster_incomplete"
    ROSTER_REFUSED = "roster_refused"
    ROSTER_AGEING = "roster_ageing"
    ROSTER_DISPUTED = "roster_disputed"
    STORE_DAMAGED = "store_damaged"
    AUDIT_BROKEN = "audit_broken"
    ERASURE_WAITS = "erasure_waits"
    DISK_LOW = "disk_low"
    CLOCK_UNTRUSTED = "clock_untrusted"
    CLOCK_STEPPED = "clock_stepped"
    FACES_TURNED = "faces_turned"
    TWO_FACES = "two_faces"
    LIVENESS_FAILED = "liveness_failed"
    EXACT_SEARCH = "exact_search"
    RECORDING_STOPPED = "recording_stopped"
    FLIGHT_STOPPED = "flight_stopped"
    METRICS_DOWN = "metrics_down"
    UNSIGNED_COMMANDS = "unsigned_commands"
    UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True, slots=True)
class Row:
    """How bad a reason is, what it says to people (`{}` is what is known of this case), and what to do next."""

    severity: Severity
    text: str
    step: str


TABLE: Mapping[Word, Row] = {
    Word.DISK: Row("closes", "{}", "make room on the disk of state_dir, or mend it; the gate reopens by itself"),
    Word.UNSOUND: Row("closes", "{}", "restart the daemon, which reads the store anew"),
    Word.THRESHOLD_UNRESOLVED: Row(
        "critical", "the card has no threshold for this gallery size and decision.target_fpir", "set decision.threshold"
    ),
    Word.CLAIMS_UNRESOLVED: Row(
        "critical",
        "the card has no threshold for decision.target_fmr, so nobody is verified",
        "set another decision.target_fmr, or use a bundle whose card has one",
    ),
    Word.OTHER_MODEL: Row("critical", "{} left out, without a vector of this model", "reembed, or enrol these people again"),
    Word.CAMERA_DOWN: Row("critical", "no picture comes{}", "check camera, cable and network; `ostiaryd check` tests the source"),
    Word.CAMERA_FROZEN: Row("critical", "the camera shows the same picture all the time{}", "restart the camera"),
    Word.CAMERA_BEHIND: Row(
        "critical", "pictures come too late to decide on{}", "check the network, lower the camera's size or rate, or give this box more CPU"
    ),
    Word.CAMERA_ENDED: Row("notice", "the recording is over{}", "nothing more comes; restart the daemon to see it again"),
    Word.TOO_SLOW: Row(
        "critical",
        "this box is too slow for its cameras: it looks at {}",
        "lower the camera's size or rate, raise detector.min_face_px, or give the box more CPU",
    ),
    Word.BROKER_DOWN: Row("critical", "no connection to the broker, decisions wait{}", "check the broker, its address and the login"),
    Word.COMMANDS_DOWN: Row("critical", "{}; commands do not arrive", "check the broker and its ACL for this gate's command topics"),
    Word.REVOCATIONS_DOWN: Row(
        "critical", "{}; revocations do not arrive on command/revoke", "check the broker and its ACL for this gate's command topics"
    ),
    Word.SESSION_TAKEN_OVER: Row(
        "critical",
        "at {}; another client came with this gate's id, and commands that waited may be lost",
        "look for a second daemon, change the broker's passwords, and send revocations again that were not answered",
    ),
    Word.SESSION_LOST: Row(
        "critical",
        "at {}; the broker has forgotten the commands that waited for this gate",
        "send revocations again that were not answered",
    ),
    Word.PUBLISH_REFUSED: Row("critical", "{}", "check the broker's ACL for this gate; the message stays in the outbox"),
    Word.OUTBOX_DROPPED: Row("critical", "{} to the broker given up since the start", "`ostiaryd audit` has them; check the broker"),
    Word.ROSTER_DOWN: Row(
        "critical",
        "{}; changes at other boxes do not arrive, and changes here wait",
        "check the broker and its ACL for this box's login (`deploy/make-acl.sh --box`)",
    ),
    Word.ROSTER_NO_KEY: Row(
        "critical",
        "this box has no keys of the site, so it shares nobody and knows nobody of other boxes{}",
        "admit the box: `ostiaryctl roster admit`",
    ),
    Word.ROSTER_NO_HEAD: Row(
        "critical",
        "no keeper has said what the whole roster is, so people of other boxes are rejected{}",
        "start the box that is the keeper",
    ),
    Word.ROSTER_STALE: Row(
        "critical",
        "the keeper's word has run out, so people of other boxes are rejected{}",
        "start the keeper, look at its connection, and at the clocks of both boxes",
    ),
    Word.ROSTER_INCOMPLETE: Row(
        "critical",
        "records of the roster are missing here, so people of other boxes are rejected{}",
        "wait while the box reads them; if it does not end, see max_queued_messages of the broker, and try `ostiaryctl roster rebuild`",
    ),
    Word.ROSTER_REFUSED: Row(
        "critical", "{}; changes here are not shared", "check the broker's ACL for this box (`deploy/make-acl.sh --box`)"
    ),
    Word.ROSTER_AGEING: Row(
        "warning",
        "the keeper is silent{}",
        "start the keeper, and look at its connection to the broker",
    ),
    Word.ROSTER_DISPUTED: Row(
        "warning",
        "two desks disagree about {}, and the stricter word counts",
        "send the person's record once more: update, resume or enroll",
    ),
    Word.STORE_DAMAGED: Row("critical", "{}", "`ostiaryd check` names them; revoke and enrol these people again, or restore a backup"),
    Word.AUDIT_BROKEN: Row("critical", "at record {}", "`ostiaryd check --audit` shows more"),
    Word.ERASURE_WAITS: Row(
        "warning",
        "what was erased from the gallery is in the database's log for more than {}, because another program reads there",
        "end what reads gallery.sqlite (`fuser -v` names it)",
    ),
    Word.DISK_LOW: Row(
        "critical", "{} left on the disk of state_dir; without room the gate closes", "make room, or lower recording.most_mb"
    ),
    Word.CLOCK_UNTRUSTED: Row(
        "warning",
        "no time service keeps the clock in step, which rejects {} with a rule of time",
        "start a time service (`timedatectl set-ntp true`)",
    ),
    Word.CLOCK_STEPPED: Row(
        "critical", "the wall clock has jumped, so no accept is live", "set it right by a time service, or restart the daemon"
    ),
    Word.FACES_TURNED: Row("warning", "most faces are not upright here", "turn the camera, or set `rotate` of this gate"),
    Word.TWO_FACES: Row("warning", "two different faces were accepted as {}", "see who they are, and enrol with replace or capture"),
    Word.LIVENESS_FAILED: Row("critical", "{}", "restart the daemon; `ostiaryd check` tests the liveness model"),
    Word.EXACT_SEARCH: Row("notice", "{}", "answers are right and come later; free memory if the gate is slow"),
    Word.RECORDING_STOPPED: Row("warning", "{}; the gate goes on without it", "make room on the disk, or lower recording.most_mb"),
    Word.FLIGHT_STOPPED: Row("warning", "{}; the gate goes on without it", "make room on the disk, or lower flight.most_mb"),
    Word.METRICS_DOWN: Row("warning", "{}; it is tried again", "set metrics.host and metrics.port to a free address of this machine"),
    Word.UNSIGNED_COMMANDS: Row(
        "warning",
        "commands are not signed, and the broker {} is not on this machine: whoever may publish there can enrol a face",
        "add [commands.keys.NAME] (`ostiaryctl keygen`)",
    ),
    Word.UNCALIBRATED: Row(
        "notice",
        "the threshold comes from photos by other cameras, and nobody has measured this gate",
        "run `ostiaryd calibrate`",
    ),
}
"""The gate works while it is `uncalibrated`: it adapts to its camera by itself (`cohort.py`)."""

STOPPED, CONNECTION_LOST = "stopped", "connection_lost"
"""What an `offline` gate gives as its reason: the daemon was stopped, or the broker has lost it (the last will)."""

_DOWN: dict[LinkName, Word] = {
    "out": Word.BROKER_DOWN, "commands": Word.COMMANDS_DOWN, "urgent": Word.REVOCATIONS_DOWN, "roster": Word.ROSTER_DOWN,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a gate is not `serving`. `closes`: it accepts nobody because of this."""

    word: Word
    detail: str = ""
    people: tuple[str, ...] = ()
    closes: bool = False

    @property
    def severity(self) -> Severity:
        return "closes" if self.closes else TABLE[self.word].severity

    def line(self, name: Callable[[str], str] = str) -> str:
        """`word: what is so; what to do`. `name` says how a person is called there."""
        row, detail = TABLE[self.word], self.detail
        if self.people:
            named = ", ".join(map(name, self.people[:MOST_NAMED]))
            detail = named + (" and others" if len(self.people) > MOST_NAMED else "")
        return f"{self.word}: {row.text.replace('{}', detail)}; {row.step}"


def state(reasons: Iterable[Reason]) -> GateState:
    """`closed` if one of the reasons closes the gate, `degraded` with any other, `serving` without."""
    closing = [reason.severity == "closes" for reason in reasons]
    return "closed" if any(closing) else "degraded" if closing else "serving"


def summary(gates: Mapping[str, Sequence[Reason]]) -> str:
    """All gates of a box in one line, for the service manager: `gate north degraded (camera_down); gate south serving`."""
    return "; ".join(
        f"gate {name} {state(reasons)}" + (f" ({', '.join(reason.word for reason in reasons)})" if reasons else "")
        for name, reasons in gates.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Everything that may be wrong. A field is None, False, 0 or empty while nothing is wrong.

    disk: the error of the last write.
    unresolved: the card has no threshold for a search among everybody, and the gate needs one.
    unverifiable: the card has no threshold for claims, and the gate needs one.
    idle: the gate can neither search nor verify.
    left_out: the number of templates without a vector of the serving model.
    camera: what kind of trouble the camera is in, and what is known of it.
    slow: what the gate looks at, and what it needs, if that is too little.
    turned: most faces come turned.
    graph: why the search is exact.
    refused: what the broker refused.
    audit: the record at which the audit chain is broken.
    untimed: the number of people with a rule of time while the clock is not trusted.
    standing: what the start found, and what only a restart ends.
    recorder: why something is not recorded.
    metrics: why the metrics are not served.
    liveness: why the liveness model could not judge.
    uncalibrated: nobody has measured this gate with the serving model.
    unsound: what in memory is not as in the store.
    unerased: for how long something that was erased is still in the log of the database.
    low: how much room is left on the disk, if that is little.
    down: the connections to the broker that are down, and why.
    stepped: the wall clock has stepped, and nothing answers for it.
    dropped: the number of messages that were dropped from the outbox since the start.
    incidents: what happened to the gate's session at the broker lately, and when (RFC 3339).
    two_faces: the people under whose ids two different faces were accepted here.
    roster: what is wrong with the roster that the box shares.
    disputed: the people about whom two desks disagree.
    """

    disk: str | None = None
    unresolved: bool = False
    unverifiable: bool = False
    idle: bool = False
    left_out: int = 0
    camera: tuple[CameraTrouble | Literal["ended"], str | None] | None = None
    slow: str | None = None
    turned: bool = False
    graph: str | None = None
    refused: str | None = None
    audit: int | None = None
    untimed: int = 0
    standing: Mapping[Word, str] = field(default_factory=dict)
    recorder: Mapping[Word, str] = field(default_factory=dict)
    metrics: str | None = None
    liveness: str | None = None
    uncalibrated: bool = False
    unsound: str | None = None
    unerased: str | None = None
    low: str | None = None
    down: Mapping[LinkName, str] = field(default_factory=dict)
    incidents: Mapping[Incident, str] = field(default_factory=dict)
    stepped: bool = False
    dropped: int = 0
    two_faces: Sequence[str] = ()
    roster: Mapping[Word, str] = field(default_factory=dict)
    disputed: Sequence[str] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Those that close the gate first, and then in the order of the words."""
        found: dict[Word, str | None] = {
            Word.DISK: self.disk,
            Word.UNSOUND: self.unsound,
            Word.THRESHOLD_UNRESOLVED: _if(self.unresolved),
            Word.CLAIMS_UNRESOLVED: _if(self.unverifiable),
            Word.OTHER_MODEL: counted(self.left_out, "template") if self.left_out else None,
            Word.TOO_SLOW: self.slow,
            Word.PUBLISH_REFUSED: self.refused,
            Word.OUTBOX_DROPPED: counted(self.dropped, "message") if self.dropped else None,
            Word.AUDIT_BROKEN: None if self.audit is None else str(self.audit),
            Word.ERASURE_WAITS: self.unerased,
            Word.DISK_LOW: self.low,
            Word.CLOCK_UNTRUSTED: persons(self.untimed) if self.untimed else None,
            Word.CLOCK_STEPPED: _if(self.stepped),
            Word.FACES_TURNED: _if(self.turned),
            Word.LIVENESS_FAILED: self.liveness,
            Word.EXACT_SEARCH: self.graph,
            Word.METRICS_DOWN: self.metrics,
            Word.UNCALIBRATED: _if(self.uncalibrated and not self.idle),
            **self.standing,
            **self.recorder,
            **self.roster,
            **{_DOWN[name]: _more(detail) if name == "out" else detail for name, detail in self.down.items()},
            **{Word(incident): at for incident, at in self.incidents.items()},
        }
        if self.camera is not None:
            found[Word(f"camera_{self.camera[0]}")] = _more(self.camera[1])
        closing = {Word.DISK, Word.UNSOUND} | ({Word.THRESHOLD_UNRESOLVED, Word.CLAIMS_UNRESOLVED} if self.idle else set())
        told = [Reason(word, detail, closes=word in closing) for word in Word if (detail := found.get(word)) is not None]
        if self.two_faces:
            told.append(Reason(Word.TWO_FACES, people=tuple(self.two_faces)))
        if self.disputed:
            told.append(Reason(Word.ROSTER_DISPUTED, people=tuple(self.disputed)))
        order = list(Word)
        return tuple(sorted(told, key=lambda reason: (not reason.closes, order.index(reason.word))))


def camera_trouble(
    state: str, trouble: CameraTrouble | None, detail: str | None
) -> tuple[CameraTrouble | Literal["ended"], str | None] | None:
    """What a camera of this state is, if it is not well: a `Trouble.camera`."""
    if state == "up" and trouble is None:
        return None
    return ("ended" if state == "ended" else trouble or "down"), detail


def offline(status: StatusMessage) -> StatusMessage:
    """A gate's farewell when the daemon stops on purpose."""
    return msgspec.structs.replace(status, online=False, state="offline", reasons=[STOPPED], camera=None, reembedding=None)


def _if(holds: bool) -> str | None:
    return "" if holds else None


def _more(detail: str | None) -> str:
    return f": {detail}" if detail else ""
