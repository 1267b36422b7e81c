"""The MQTT contract: topics, commands in, decisions, results and status out. JSON in UTF-8, strict both ways."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from daemon.core.passages.claims import LONGEST_S, Mode

MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
MAX_IMAGES = 10
MAX_CAPTURE_S = 30.0

PersonId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$", description="an employee number, never a name")]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
ScheduleName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, description="a schedule of the gate's configuration; null is any time")
]
Gates = Annotated[list[str], msgspec.Meta(min_length=1, max_length=64, description="gates the person may pass; null is all of them")]
Consent = Annotated[str, msgspec.Meta(max_length=500, description="where the person's consent is kept")]


class MessageError(ValueError):
    """A payload that is not a command. `reason` is one word for machines, `detail` a line for people."""

    def __init__(self, reason: str, detail: str, command_id: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.command_id = reason, detail, command_id


# ---- topics


def topic(site: str, gate: str, leaf: str) -> str:
    return f"ostiary/v1/{site}/{gate}/{leaf}"


def command_topics(site: str, gate: str) -> tuple[str, str]:
    """The two topics a gate takes commands from: its own, and the one for every gate of the site."""
    return topic(site, gate, "command"), topic(site, "all", "command")


def utc(epoch_s: float) -> str:
    """RFC 3339 in UTC with milliseconds, e.g. 2026-11-21T22:55:00.123Z."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---- commands


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", kw_only=True, omit_defaults=True):
    command_id: UUID
    issued_at: Instant
    expires_at: Instant


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pictures come from the gate's own camera, over so many seconds."""

    seconds: Annotated[float, msgspec.Meta(ge=1, le=MAX_CAPTURE_S)] = 5.0


class Enroll(_Command, frozen=True, tag="enroll", kw_only=True, omit_defaults=True):
    """A new person, or more templates for one, from pictures that show exactly one face each: JPEG files, or the gate's own camera.

    `force` enrols somebody who looks like another person, `replace` lets all earlier templates go; both need a grant, as `capture` does.
    """

    person: PersonId
    images: (
        Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=MAX_IMAGES, description="JPEG files in base64; else capture")] | None
    ) = None
    capture: Capture | None = None
    name: Name | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    gates: Gates | None = None
    schedule: ScheduleName | None = None
    consent: Consent | None = None
    force: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if (self.images is None) == (self.capture is None):
            raise ValueError("give either images or capture")


class Update(_Command, frozen=True, tag="update", kw_only=True, omit_defaults=True):
    """Change a person's record. What is absent stays; null clears it (no name, no bound, every gate)."""

    person: PersonId
    name: Name | msgspec.UnsetType | None = msgspec.UNSET
    valid_from: Instant | msgspec.UnsetType | None = msgspec.UNSET
    valid_until: Instant | msgspec.UnsetType | None = msgspec.UNSET
    gates: Gates | msgspec.UnsetType | None = msgspec.UNSET
    schedule: ScheduleName | msgspec.UnsetType | None = msgspec.UNSET
    consent: Consent | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if all(f is msgspec.UNSET for f in (self.name, self.valid_from, self.valid_until, self.gates, self.schedule, self.consent)):
            raise ValueError("nothing is to be changed: give name, valid_from, valid_until, gates, schedule or consent")


class Revoke(_Command, frozen=True, tag="revoke", kw_only=True, omit_defaults=True):
    """Erase the person; from the next frame on."""

    person: PersonId


class Suspend(_Command, frozen=True, tag="suspend", kw_only=True, omit_defaults=True):
    """Keep the templates, reject the person."""

    person: PersonId


class Resume(_Command, frozen=True, tag="resume", kw_only=True, omit_defaults=True):
    """End a suspension."""

    person: PersonId


class List(_Command, frozen=True, tag="list", kw_only=True, omit_defaults=True):
    """People and template counts, in the order of their ids, a page at a time; never vectors or images."""

    after: PersonId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class Get(_Command, frozen=True, tag="get", kw_only=True, omit_defaults=True):
    """One person's record and template count; never vectors or images."""

    person: PersonId


class Verify(_Command, frozen=True, tag="verify", kw_only=True, omit_defaults=True):
    """A claim: the next person at this gate is this one, who has shown a badge, say. It stands so many seconds from `issued_at` on, and one
    passage takes it. Needs a grant, and a gate that verifies."""

    person: PersonId
    seconds: Annotated[float, msgspec.Meta(ge=1, le=LONGEST_S)] = 10.0


class Reembed(_Command, frozen=True, tag="reembed", kw_only=True, omit_defaults=True):
    """Serve with another model: its vectors are made of the stored crops while the gate goes on with the old one, and then it takes over.

    `model` is the id of one of the two configured bundles; absent is the one that does not serve. `force` changes also where somebody
    would be left without a template. Both need a grant.
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None
    force: bool = False


class Ping(_Command, frozen=True, tag="ping", kw_only=True, omit_defaults=True):
    """Is the whole line from broker to store alive?"""


Command = Enroll | Revoke | Suspend | Resume | Update | Verify | List | Get | Reembed | Ping

_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def parse_command(payload: bytes) -> Command:
    """Bytes of a command topic to a Command. Raises MessageError, with the command's id where that much could be read."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(
            "too_large", f"the payload has {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are taken; send fewer or smaller images"
        )
    try:
        command = _decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise MessageError("malformed", str(error), _readable_id(payload)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError("malformed", f"not JSON: {error}") from None
    return command


def _readable_id(payload: bytes) -> str | None:
    """The command id of a payload that is JSON but no valid command, so that its sender can be answered."""
    try:
        value = json.loads(payload).get("command_id")
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def encode(message: msgspec.Struct) -> bytes:
    """Any message of this module to its bytes."""
    return msgspec.json.encode(message)


# ---- what the gate says

Outcome = Literal["done", "refused", "failed"]


class PersonEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of a `list` answer, or the whole of a `get` answer, which alone says what is known of the consent."""

    person: str
    name: str | None
    state: Literal["active", "suspended"]
    templates: int
    enrolled_at: str
    valid_from: str | None = None
    valid_until: str | None = None
    gates: list[str] | None = None
    schedule: str | None = None
    consent: str | None = None


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answer to one command. `command_id` is null only for a payload whose id could not be read."""

    command_id: str | None
    op: str | None
    status: Outcome
    reason: str | None
    detail: str | None
    person: str | None
    gallery_revision: int
    took_ms: float
    people: list[PersonEntry] | None = None
    next_after: str | None = None


class DecisionMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer about one passage. A consumer opens only on `accept`, `live`, a new `sequence`, before `valid_until`."""

    event_id: str
    sequence: int
    previous: int
    boot_id: str
    gate: str
    passage: str
    supersedes: str | None
    decision: Literal["accept", "reject", "unknown"]
    reason: str
    person: str | None
    captured_at: str
    decided_at: str
    valid_until: str
    live: bool
    liveness: Literal["live", "spoof", "not_evaluated"]
    faces_in_view: int
    model: str
    gallery_revision: int
    policy: str
    name: str | msgspec.UnsetType | None = msgspec.UNSET


class Reembedding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far a change of model has come: `done` of `of` templates have a vector of `model`."""

    model: str
    done: int
    of: int


class AuditHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The newest record of the audit chain, and the SHA-256 digest (64 hexadecimal digits) that vouches for it and all before it."""

    number: int
    head: str


class StatusMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Retained, and the last will. `state` is serving, degraded (working, but something needs a look) or closed (accepts nobody)."""

    online: bool
    state: Literal["serving", "degraded", "closed", "offline"]
    reasons: list[str]
    at: str | None
    boot_id: str | None
    camera: Literal["up", "down", "ended"] | None
    model: str | None
    provider: str | None
    people: int
    templates: int
    gallery_revision: int
    threshold: float | None
    outbox_depth: int
    version: str
    reembedding: Reembedding | None = None
    audit: AuditHead | None = None
    mode: Mode | None = None
    claim_threshold: float | None = None


def offline_status(version: str) -> StatusMessage:
    """What the broker says of a gate that is gone: its last will. It carries no time, because it is written beforehand."""
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


def schema() -> dict[str, Any]:
    """JSON Schema of every message, for other people's consumers."""
    names = [Enroll, Revoke, Suspend, Resume, Update, Verify, List, Get, Reembed, Ping, Result, DecisionMessage, StatusMessage]
    schemas, components = msgspec.json.schema_components(names)
    return {"messages": dict(zip([n.__name__ for n in names], schemas, strict=True)), "$defs": components}


_SEGMENT = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def is_topic_segment(text: str) -> bool:
    """Whether a site or gate name can stand in a topic (no slash, wildcard, blank or control character)."""
    return bool(_SEGMENT.match(text))
