"""The MQTT contract: topics; commands in; decisions, results and status out. JSON in UTF-8, strict in both directions."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from daemon.core.passages.claims import LONGEST_S, Mode

MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
"""How long a command may be."""
MAX_ENVELOPE_BYTES = MAX_PAYLOAD_BYTES + 64 * 1024
"""How long the envelope of a signed command may be: it writes the quotes of the command as two characters."""
MAX_IMAGES = 10
MAX_CAPTURE_S = 30.0
YEARS = range(2000, 3000)
"""The years (in UTC) that a command may name: sums and conversions of such times cannot overflow."""

# Python's `$` also stands before a trailing newline, and JSON Schema's does not: `(?!\n)` makes them agree.
PersonId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$(?!\n)", description="an employee number, never a name")]
Name = Annotated[str, Meta(max_length=200, description="the name that is shown to people; null is none")]
Instant = Annotated[datetime, Meta(tz=True)]
ScheduleName = Annotated[str, Meta(min_length=1, max_length=64, description="a schedule of the gate's configuration; null is any time")]
Gates = Annotated[list[str], Meta(min_length=1, max_length=64, description="gates the person may pass; null is all of them")]
ValidFrom = Annotated[Instant, Meta(description="the person may pass from then on; null is without a beginning")]
ValidUntil = Annotated[Instant, Meta(description="the person may pass before then; null is without an end")]
Consent = Annotated[str, Meta(max_length=500, description="where the person's consent is kept")]


class MessageError(ValueError):
    """A payload that is not a command. `reason` is one word for programs, `detail` one line for people."""

    def __init__(self, reason: str, detail: str, command_id: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.command_id = reason, detail, command_id


# ---- topics

LANES: dict[str, frozenset[str]] = {
    "command": frozenset(("enroll", "revoke", "suspend", "resume", "update", "verify", "list", "get", "reembed", "resync", "ping")),
    "command/enrolment": frozenset(("enroll", "update", "resume", "list", "get", "ping")),
    "command/verify": frozenset(("verify", "ping")),
    "command/revoke": frozenset(("revoke", "suspend", "ping")),
}
"""The leaves of the topics for commands, and what may be asked on each. A broker's ACL tells roles apart by them; it cannot read JSON."""

URGENT = "command/revoke"
"""The leaf for what shuts somebody out. It has a connection of its own, so that nothing else can stand before it in the broker's queue."""


def topic(site: str, gate: str, leaf: str) -> str:
    return f"ostiary/v1/{site}/{gate}/{leaf}"


def visitor_topic(site: str, gate: str, ident: str) -> str:
    """The topic of one unknown visitor's picture."""
    return topic(site, gate, f"visitor/{ident}")


def leaf_of(topic: str) -> str:
    """What stands behind the gate in a topic of `topic()`, e.g. `command/verify`."""
    return "/".join(topic.split("/")[4:])


def to_all(topic: str) -> bool:
    """Whether a topic for commands is that of all gates."""
    return topic.split("/")[3:4] == ["all"]


def command_topics(site: str, gate: str) -> tuple[str, ...]:
    """The topics from which a gate takes commands, without the urgent ones: its own, and those for all gates of the site."""
    return tuple(topic(site, to, leaf) for leaf in LANES if leaf != URGENT for to in (gate, "all"))


def urgent_topics(site: str, gate: str) -> tuple[str, ...]:
    """The topics for commands that shut somebody out."""
    return topic(site, gate, URGENT), topic(site, "all", URGENT)


def utc(epoch_s: float) -> str:
    """RFC 3339 in UTC with milliseconds, e.g. 2026-11-21T22:55:00.123Z. Times outside of the years 1 to 9999 become the nearest of them."""
    instant = datetime.fromtimestamp(min(max(epoch_s, _FIRST_S), _LAST_S), UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_FIRST_S, _LAST_S = datetime(1, 1, 2, tzinfo=UTC).timestamp(), datetime(9999, 12, 30, tzinfo=UTC).timestamp()


# ---- commands


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", kw_only=True, omit_defaults=True):
    command_id: Annotated[UUID, Meta(description="a new one for every command; the same id always gets the same answer")]
    issued_at: Annotated[Instant, Meta(description="when the sender made the command; of two commands about a person the newer counts")]
    expires_at: Annotated[
        Instant, Meta(description="when it is too late to carry it out, 10 minutes after issued_at at most; never for revoke and suspend")
    ]

    def __post_init__(self) -> None:
        for name in ("issued_at", "expires_at", "valid_from", "valid_until"):
            instant = getattr(self, name, None)
            if isinstance(instant, datetime) and not _FIRST <= instant <= _LAST:
                raise ValueError(f"{name} is outside of the years {YEARS[0]} to {YEARS[-1]}")


_FIRST, _LAST = datetime(YEARS[0], 1, 1, tzinfo=UTC), datetime(YEARS[-1], 12, 31, tzinfo=UTC)


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pictures come from the gate's own camera, over this many seconds."""

    seconds: Annotated[float, Meta(ge=1, le=MAX_CAPTURE_S, description="for how long the gate looks at the person")] = 5.0


class Enroll(_Command, frozen=True, tag="enroll", kw_only=True, omit_defaults=True):
    """Enrol a new person, or add templates to one, from pictures with exactly one face each: JPEG files, or the gate's own camera.

    `force` enrols somebody who looks like another person; `replace` deletes all earlier templates. Both need a grant, and so does
    `capture`. `dry_run` asks for the gate's judgement only: what it refuses, it refuses as ever, and what it would do is `done` with the
    reason `dry_run`.
    """

    person: PersonId
    images: Annotated[list[bytes], Meta(min_length=1, max_length=MAX_IMAGES, description="JPEG files in base64; else capture")] | None = (
        None
    )
    capture: Annotated[Capture | None, Meta(description="look through the gate's own camera; else images")] = None
    name: Name | None = None
    valid_from: ValidFrom | None = None
    valid_until: ValidUntil | None = None
    gates: Gates | None = None
    schedule: ScheduleName | None = None
    consent: Consent | None = None
    force: Annotated[bool, Meta(description="enrol although the face looks like another person's; needs a grant")] = False
    replace: Annotated[bool, Meta(description="delete all earlier templates; needs a grant")] = False
    dry_run: Annotated[bool, Meta(description="judge the pictures as ever, and change nothing")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.images is None) == (self.capture is None):
            raise ValueError("give either images or capture")


class Update(_Command, frozen=True, tag="update", kw_only=True, omit_defaults=True):
    """Change a person's record. An absent field stays; null clears it (no name, no time limit, every gate)."""

    person: PersonId
    name: Name | msgspec.UnsetType | None = msgspec.UNSET
    valid_from: ValidFrom | msgspec.UnsetType | None = msgspec.UNSET
    valid_until: ValidUntil | msgspec.UnsetType | None = msgspec.UNSET
    gates: Gates | msgspec.UnsetType | None = msgspec.UNSET
    schedule: ScheduleName | msgspec.UnsetType | None = msgspec.UNSET
    consent: Consent | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(f is msgspec.UNSET for f in (self.name, self.valid_from, self.valid_until, self.gates, self.schedule, self.consent)):
            raise ValueError("the update changes nothing: give name, valid_from, valid_until, gates, schedule or consent")


class Revoke(_Command, frozen=True, tag="revoke", kw_only=True, omit_defaults=True):
    """Erase the person, from the next frame on."""

    person: PersonId


class Suspend(_Command, frozen=True, tag="suspend", kw_only=True, omit_defaults=True):
    """Keep the templates, reject the person."""

    person: PersonId


class Resume(_Command, frozen=True, tag="resume", kw_only=True, omit_defaults=True):
    """End a suspension."""

    person: PersonId


class List(_Command, frozen=True, tag="list", kw_only=True, omit_defaults=True):
    """List people and template counts in the order of their ids, one page at a time; never vectors or images."""

    after: Annotated[PersonId | None, Meta(description="begin behind this id; null is from the beginning")] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="how many people at most")] = 100


class Get(_Command, frozen=True, tag="get", kw_only=True, omit_defaults=True):
    """Give one person's record and template count; never vectors or images."""

    person: PersonId


class Verify(_Command, frozen=True, tag="verify", kw_only=True, omit_defaults=True):
    """Claim that the next person at this gate is this one, for example because of a badge. The claim stands for `seconds` from `issued_at`,
    and one passage takes it. It needs a grant, and a gate whose mode is verify or both."""

    person: PersonId
    seconds: Annotated[float, Meta(ge=1, le=LONGEST_S, description="for how long the claim stands, from issued_at on")] = 10.0


class Reembed(_Command, frozen=True, tag="reembed", kw_only=True, omit_defaults=True):
    """Change the model: embed the stored crops with the other model while the old one serves, then let the other model take over.

    `model` is the id of one of the two configured bundles; if it is absent, the one that does not serve. `force` changes the model even if
    somebody would have no template afterwards. Both need a grant.
    """

    model: (
        Annotated[str, Meta(min_length=1, max_length=300, description="the id of a configured bundle; null is the one that does not serve")]
        | None
    ) = None
    force: Annotated[bool, Meta(description="change although somebody would have no template afterwards; needs a grant")] = False


class Resync(_Command, frozen=True, tag="resync", kw_only=True, omit_defaults=True):
    """Throw away what came from the roster, and read all of it from the broker anew. Nobody is let in by it: until the roster is whole
    again, people of other boxes are rejected. It needs a grant (`roster`)."""


class Ping(_Command, frozen=True, tag="ping", kw_only=True, omit_defaults=True):
    """Ask whether the whole line from broker to store works."""


Command = Enroll | Revoke | Suspend | Resume | Update | Verify | List | Get | Reembed | Resync | Ping

_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def parse_command(payload: bytes) -> Command:
    """Parse the bytes of a command topic. Raises MessageError, with the command's id if it could be read."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise too_large(payload, MAX_PAYLOAD_BYTES)
    try:
        command = _decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise MessageError("malformed", str(error), readable_id(payload)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError("malformed", f"not JSON: {error}") from None
    return command


def too_large(payload: bytes, most: int) -> MessageError:
    """The error of a payload that has more than `most` bytes."""
    return MessageError("too_large", f"the payload has {len(payload)} bytes, and {most} are allowed; send fewer or smaller images")


def op_of(command: Command) -> str:
    """The name of what a command asks for, e.g. `enroll`."""
    return str(command.__struct_config__.tag)


class _Identified(msgspec.Struct, frozen=True):
    command_id: UUID


_identified = msgspec.json.Decoder(_Identified)


def readable_id(payload: bytes) -> str | None:
    """The command id of a payload that is JSON but not a valid command, so that its sender gets an answer."""
    try:
        return str(_identified.decode(payload).command_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def encode(message: msgspec.Struct) -> bytes:
    """Any message of this module as bytes."""
    return msgspec.json.encode(message)


# ---- what the gate says

Outcome = Literal["done", "refused", "failed"]
Sig = Annotated[
    str | msgspec.UnsetType,
    Meta(description="the last member: the gate's Ed25519 signature in base64, over the topic, a NUL and the message without this member"),
]


PersonState = Literal["active", "suspended", "unconfirmed"]
Calibration = Literal["gate", "photos", "fixed"]


class PersonEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of a `list` answer, or the content of a `get` answer. Only `get` includes the consent."""

    person: Annotated[str, Meta(description="the employee number")]
    name: Annotated[str | None, Meta(description="the name that is shown to people, null for none")]
    state: Annotated[PersonState, Meta(description="whether the person may pass at all")]
    templates: Annotated[int, Meta(description="how many templates the person has")]
    enrolled_at: Annotated[str, Meta(description="when the person was first enrolled")]
    valid_from: Annotated[str | None, Meta(description="the person may pass from then on; null is without a beginning")] = None
    valid_until: Annotated[str | None, Meta(description="the person may pass before then; null is without an end")] = None
    gates: Annotated[list[str] | None, Meta(description="the gates that the person may pass; null is all of them")] = None
    schedule: Annotated[str | None, Meta(description="the schedule of the configuration; null is any time")] = None
    consent: Annotated[str | None, Meta(description="where the person's consent is kept")] = None
    disputed: Annotated[bool, Meta(description="two desks of the roster disagree about the person: send what holds once more")] = False


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answer to one command. `command_id` is null only if the payload's id could not be read."""

    command_id: Annotated[str | None, Meta(description="the id of the command that is answered; null if it could not be read")]
    op: Annotated[str | None, Meta(description="what was asked; null if it could not be read")]
    status: Annotated[
        Outcome, Meta(description="`refused`: nothing was changed; `failed`: something went wrong, and the gate may try it again")
    ]
    reason: Annotated[str | None, Meta(description="one word for programs; null if all is well")]
    detail: Annotated[str | None, Meta(description="a line for people")]
    person: Annotated[str | None, Meta(description="whom the command was about")]
    gallery_revision: Annotated[int, Meta(description="the revision of the gallery after the command; -1 if it cannot be read")]
    took_ms: Annotated[float, Meta(description="milliseconds from the receipt of the command to its answer")]
    people: Annotated[list[PersonEntry] | None, Meta(description="the answer to list and get")] = None
    next_after: Annotated[str | None, Meta(description="`after` of the next page of a list; null if this was the last one")] = None
    key: Annotated[str | None, Meta(description="the name of the key that signed the command; null if it was not signed")] = None
    sig: Sig = msgspec.UNSET


class DecisionMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer about one passage. A consumer opens only on an `accept` that is `live`, has a new `sequence`, and is before
    `valid_until`."""

    event_id: Annotated[str, Meta(description="unique; a message that comes again has the same one")]
    sequence: Annotated[int, Meta(description="the number of the decision at this gate: it grows by one, also over restarts")]
    previous: Annotated[int, Meta(description="the number of the decision before; one that is missing was lost or is still to come")]
    boot_id: Annotated[str, Meta(description="names this run of the daemon: another one after every start")]
    gate: Annotated[str, Meta(description="the gate, as in the topic")]
    passage: Annotated[str, Meta(description="one face from its first frame to its last; all decisions about it have the same one")]
    supersedes: Annotated[str | None, Meta(description="the event_id of the decision about this passage that no longer holds")]
    decision: Annotated[Literal["accept", "reject", "unknown"], Meta(description="the answer")]
    reason: Annotated[str, Meta(description="why, in one word for programs")]
    person: Annotated[str | None, Meta(description="whom the gate recognised, or whose badge was claimed; null for nobody")]
    captured_at: Annotated[str, Meta(description="when the camera gave the frame that decided")]
    decided_at: Annotated[str, Meta(description="when the gate decided")]
    valid_until: Annotated[str, Meta(description="an accept opens nothing from then on (decision.accept_valid_s after captured_at)")]
    live: Annotated[bool, Meta(description="false for what is sent late, and for what opens nothing for another reason")]
    liveness: Annotated[
        Literal["live", "spoof", "not_evaluated"], Meta(description="what the liveness model says: a living face, or a picture of one")
    ]
    faces_in_view: Annotated[int, Meta(description="how many faces the frame showed")]
    model: Annotated[str, Meta(description="the id of the bundle that serves")]
    gallery_revision: Annotated[int, Meta(description="the revision of the gallery that was searched")]
    policy: Annotated[str, Meta(description="a digest of the rules in force: the same for the same rules")]
    clock_trusted: Annotated[
        bool, Meta(description="false if the wall clock has stepped, so that the times may be wrong; such a decision is not live")
    ] = True
    name: Annotated[str | msgspec.UnsetType | None, Meta(description="the person's name; absent unless enrolment.publish_names is on")] = (
        msgspec.UNSET
    )
    sig: Sig = msgspec.UNSET


class GapMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Messages that will never come, because they waited too long for the broker (`old`) or there were too many (`full`): `decisions` of
    the numbers `first` to `last`, and `answers` to commands. The audit chain of the box has the decisions."""

    gate: Annotated[str, Meta(description="the gate's name")]
    at: Annotated[str, Meta(description="when they were dropped")]
    reason: Annotated[Literal["full", "old"], Meta(description="why they were dropped")]
    decisions: Annotated[int, Meta(description="how many of them are decisions")]
    first: Annotated[int | None, Meta(description="the lowest `sequence` of these decisions; null if there are none")]
    last: Annotated[int | None, Meta(description="the highest `sequence` of these decisions; null if there are none")]
    answers: Annotated[int, Meta(description="how many of them are answers to commands")]
    sig: Sig = msgspec.UNSET


class VisitorMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A picture of somebody whom the gate does not know (`unknown no_match`), for a desk that enrols or dismisses them. It is retained at
    the broker until `gone_at` at the latest, then or earlier an empty message takes its place. Only a gate with `decision.share_unknown`
    says this."""

    id: Annotated[str, Meta(description="names the picture, as in the topic")]
    gate: Annotated[str, Meta(description="the gate's name")]
    passage: Annotated[str, Meta(description="the passage, as in its decisions")]
    event_id: Annotated[str, Meta(description="the decision that says unknown")]
    seen_at: Annotated[str, Meta(description="when the picture was chosen")]
    gone_at: Annotated[str, Meta(description="show and keep nothing of it from then on")]
    key: Annotated[str, Meta(description="whose it is: 16 hexadecimal digits of the SHA-256 of the public key")]
    sealed: Annotated[
        bytes, Meta(description="a JPEG file, sealed to that key on this topic: X25519, HKDF-SHA256, ChaCha20-Poly1305 (README.md)")
    ]
    sig: Sig = msgspec.UNSET


class Reembedding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The progress of a change of model: `done` of `of` templates have a vector of `model`."""

    model: Annotated[str, Meta(description="the bundle that will serve")]
    done: Annotated[int, Meta(description="templates that have a vector of it")]
    of: Annotated[int, Meta(description="all templates")]


class RosterStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a box knows of the roster that it shares with others."""

    name: Annotated[str, Meta(description="the name under which the box writes")]
    standing: Annotated[
        Literal["complete", "no_key", "no_head", "stale", "incomplete"],
        Meta(description="whether the box knows the whole roster; people in whom other boxes have a say pass only while it is `complete`"),
    ]
    records: Annotated[int, Meta(description="records held, of all writers; two boxes with the same `sum` hold the same")]
    sum: Annotated[str, Meta(description="the sum of these records, 64 hexadecimal digits")]
    people: Annotated[int, Meta(description="people here in whom another box has a say")]
    disputed: Annotated[int, Meta(description="people about whom two desks disagree")]
    head: Annotated[int | None, Meta(description="the number of the newest head; null if none was heard")]
    head_age_s: Annotated[float | None, Meta(description="seconds since it was made")]
    waiting: Annotated[int, Meta(description="changes made here that the other boxes do not know yet")]
    old_key: Annotated[int, Meta(description="records that an earlier key of the site seals")]
    exchange_key: Annotated[str, Meta(description="the X25519 key that the site's keys are sealed to, 32 bytes in base64")]
    keeper: Annotated[bool, Meta(description="whether this box makes heads")] = False


class AuditHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of the audit chain's newest record, and the SHA-256 digest (64 hexadecimal digits) over it and all records before it."""

    number: Annotated[int, Meta(description="the number of the newest record")]
    head: Annotated[str, Meta(description="64 hexadecimal digits")]


class StatusMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The retained status, and the last will. `state` is serving, degraded (it works, but something needs attention), closed (it accepts
    nobody) or offline."""

    online: Annotated[bool, Meta(description="false in the last will, and when the daemon has ended")]
    state: Annotated[Literal["serving", "degraded", "closed", "offline"], Meta(description="how the gate is")]
    reasons: Annotated[
        list[str],
        Meta(description="why it is not serving: one word, a colon and a line for people each; show unknown words as they are"),
    ]
    at: Annotated[str | None, Meta(description="when the gate said this; null in a last will")]
    boot_id: Annotated[str | None, Meta(description="names this run of the daemon, as in its decisions; null in a last will")]
    camera: Annotated[Literal["up", "down", "ended"] | None, Meta(description="`ended`: a recording is over; null in a last will")]
    model: Annotated[str | None, Meta(description="the id of the bundle that serves")]
    provider: Annotated[str | None, Meta(description="where it runs: cpu or cuda")]
    people: Annotated[int, Meta(description="how many people are enrolled")]
    templates: Annotated[int, Meta(description="how many templates serve")]
    gallery_revision: Annotated[int, Meta(description="grows with every change; -1 if it cannot be read")]
    threshold: Annotated[float | None, Meta(description="the similarity from which a face is a person; null if there is none")]
    outbox_depth: Annotated[int, Meta(description="how many messages wait for the broker; -1 if it cannot be read")]
    version: Annotated[str, Meta(description="the daemon's version")]
    reembedding: Annotated[Reembedding | None, Meta(description="how far a change of model has come; null if there is none")] = None
    audit: Annotated[AuditHead | None, Meta(description="the head of the audit chain; null if it cannot be read")] = None
    mode: Annotated[Mode | None, Meta(description="whether a badge says whom to compare with; null in a last will")] = None
    claim_threshold: Annotated[float | None, Meta(description="the similarity that fulfils a claim; null if there is none")] = None
    commands: Annotated[
        Literal["signed", "unsigned"] | None, Meta(description="whether commands need a signature; null in a last will")
    ] = None
    public_key: Annotated[str | None, Meta(description="the Ed25519 key that the gate signs with, 32 bytes in base64")] = None
    calibration: Annotated[
        Calibration | None,
        Meta(
            description="where the threshold comes from: people who walked past this `gate`, the card's `photos`, or `fixed` by "
            "decision.threshold; null in a last will"
        ),
    ] = None
    calibrated_at: Annotated[str | None, Meta(description="when the gate was measured; null if that is not known")] = None
    share_unknown: Annotated[float, Meta(description="for how many minutes pictures of unknown people are shared; 0 is never")] = 0.0
    metrics: Annotated[str | None, Meta(description="host:port of the Prometheus endpoint, seen from the gate's box; null is none")] = None
    roster: Annotated[RosterStatus | None, Meta(description="the roster that the box shares; null where it shares none")] = None
    schedules: Annotated[list[str], Meta(description="the schedules that a person's record may name")] = []
    gates: Annotated[list[str], Meta(description="the gates that a person's record may name")] = []
    sig: Sig = msgspec.UNSET


def offline_status(version: str) -> StatusMessage:
    """The last will, which the broker publishes when a gate is gone. It has no time, because it is written beforehand."""
    return StatusMessage(
        online=False,
        state="offline",
        reasons=["connection_lost"],
        at=None,
        boot_id=None,
        camera=None,
        model=None,
        provider=None,
        people=0,
        templates=0,
        gallery_revision=0,
        threshold=None,
        outbox_depth=0,
        version=version,
    )


_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_topic_segment(text: str) -> bool:
    """Whether a site or gate name can stand in a topic (no slash, wildcard, blank or control character)."""
    return bool(_SEGMENT.fullmatch(text))
