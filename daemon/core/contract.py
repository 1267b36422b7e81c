"""The MQTT contract as documents for other people's programs: JSON Schemas, AsyncAPI, tables, and an example of every message."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import msgspec

from daemon.core import messages as m
from daemon.core import sealed_box, signing
from daemon.core.status import Reason, Word

VERSION = "1.0.0"
"""The version of the contract. Its first number is that of the topics."""

COMMANDS: dict[str, type[msgspec.Struct]] = {str(kind.__struct_config__.tag): kind for kind in get_args(m.Command)}
VISITOR = "visitor/{id}"
SAYS: dict[str, type[msgspec.Struct]] = {
    "decision": m.DecisionMessage, "status": m.StatusMessage, "result": m.Result, "gap": m.GapMessage,
    VISITOR: m.VisitorMessage,
}  # fmt: skip
"""What a gate says, by the leaf of the topic."""

MESSAGES: tuple[type[msgspec.Struct], ...] = (*COMMANDS.values(), signing.Envelope, *SAYS.values())

_ABOUT = {
    "decision": "The answer about a passage; again, with `supersedes`, if it changes.",
    "status": "What the gate says about itself: on change and every 30 s, retained, and as last will.",
    "result": "The answer to a command, by its command_id.",
    "gap": "Messages that will never come.",
    VISITOR: "A sealed picture of somebody unknown, retained until it is gone; only where `decision.share_unknown` is set.",
    "command": "Every command.",
    "command/enrolment": "For a desk that enrols.",
    "command/verify": "For a badge reader.",
    "command/revoke": "For what shuts somebody out: nothing else stands before it in the broker's queue.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A message and the topic it is published on, at gate north of site acme."""

    name: str
    topic: str
    payload: bytes


def schemas() -> dict[str, Any]:
    """The JSON Schema of every message: `messages` by name, what they share in `$defs`."""
    named = {kind.__name__: {"$ref": f"#/$defs/{kind.__name__}"} for kind in MESSAGES}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "messages": named, "$defs": _components("#/$defs/{name}")}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of a gate: it sends decisions, statuses and results, and receives commands."""
    told = {example.name: json.loads(example.payload) for example in examples()}
    kinds = {kind.__name__: kind for kind in MESSAGES}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ostiary",
            "version": VERSION,
            "description": "What a gate says over MQTT, and what it may be asked. One gate is one camera. Times are RFC 3339 in UTC.",
        },
        "defaultContentType": "application/json",
        "servers": {"gate": {"host": "127.0.0.1:1883", "protocol": "mqtt", "protocolVersion": "5", "description": "The gate's broker."}},
        "channels": {_ident(leaf): _channel(leaf) for leaf in (*SAYS, *m.LANES)},
        "operations": dict(_operation(leaf) for leaf in (*SAYS, *m.LANES)),
        "components": {
            "schemas": _components("#/components/schemas/{name}"),
            "messages": {
                name: {
                    "name": name,
                    "title": name,
                    "summary": _summary(kind),
                    "contentType": "application/json",
                    "payload": {"$ref": f"#/components/schemas/{name}"},
                    "examples": [{"name": name.lower(), "payload": told[name]}],
                }
                for name, kind in kinds.items()
            },
        },
    }


def tables() -> str:
    """Every field of every message, as a document in Markdown."""
    shared = schemas()["$defs"]
    op = {"type": "string", "description": "what is asked: the name below, in lower case"}
    every = shared[m.Ping.__name__]["properties"] | {"op": op}
    parts = [_TITLE, _table("Every command", "", every, _required(shared[m.Ping.__name__]))]
    for name, schema in shared.items():
        own = {field: its for field, its in schema["properties"].items() if field not in every or "op" not in schema["properties"]}
        parts.append(_table(name, schema.get("description", ""), own, _required(schema)))
    return "\n".join(parts)


def examples() -> tuple[Example, ...]:
    """One example of every message. What is signed is signed by a key that everybody knows (32 bytes 0 to 31) and nobody should use."""
    key = signing.private_key(bytes(range(signing.KEY_BYTES)))
    commands = dict(_commands())
    place = {op: next(leaf for leaf, ops in sorted(m.LANES.items(), key=lambda lane: len(lane[1])) if op in ops) for op in commands}
    revoke = m.encode(commands["revoke"])
    told = [Example(type(command).__name__, _topic(place[op]), m.encode(command)) for op, command in commands.items()]
    told.append(Example("Envelope", _topic(m.URGENT), signing.sealed("hr-1", key, _topic(m.URGENT), revoke)))
    status = _status(signing.public_text(key))
    said = (("decision", _DECISION), ("status", status), ("result", _RESULT), ("gap", _GAP), (f"visitor/{_ID}", _visitor()))
    for leaf, message in said:
        told.append(Example(type(message).__name__, _topic(leaf), signing.signed(key, _topic(leaf), m.encode(message))))
    return tuple(told)


def _components(ref: str) -> dict[str, Any]:
    """The schemas of all messages and of what they share, by name. `ref` is how they refer to each other."""
    _, shared = msgspec.json.schema_components(MESSAGES, ref_template=ref)
    for schema in shared.values():
        if "op" in schema["properties"] and schema["title"] != m.Result.__name__:
            schema["properties"]["op"]["description"] = "what is asked"
    return shared


# ---- the parts of the AsyncAPI document


def _ident(leaf: str) -> str:
    """A leaf as a name: `commandVerify`, `visitor`."""
    first, *more = leaf.removesuffix("/{id}").split("/")
    return first + "".join(word.capitalize() for word in more)


def _names(leaf: str) -> list[str]:
    """The messages of a channel. A signed command is an envelope."""
    if leaf in SAYS:
        return [SAYS[leaf].__name__]
    return [*(COMMANDS[op].__name__ for op in COMMANDS if op in m.LANES[leaf]), signing.Envelope.__name__]


def _channel(leaf: str) -> dict[str, Any]:
    gate = "The gate's name" if leaf in SAYS else "The gate's name, or `all` for every gate of the site"
    return {
        "address": m.topic("{site}", "{gate}", leaf),
        "description": _ABOUT[leaf],
        "parameters": {
            "site": {"description": "The site's name"},
            "gate": {"description": gate},
            **({"id": {"description": "Names the picture"}} if leaf == VISITOR else {}),
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(leaf)},
    }


def _operation(leaf: str) -> tuple[str, dict[str, Any]]:
    channel = f"#/channels/{_ident(leaf)}"
    operation: dict[str, Any] = {
        "action": "send" if leaf in SAYS else "receive",
        "channel": {"$ref": channel},
        "summary": _ABOUT[leaf],
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _names(leaf)],
        "bindings": {"mqtt": {"qos": 1, "retain": leaf in ("status", VISITOR), "bindingVersion": "0.2.0"}},
    }
    if leaf not in SAYS:
        operation["reply"] = {"channel": {"$ref": "#/channels/result"}, "messages": [{"$ref": "#/channels/result/messages/Result"}]}
    return f"{operation['action']}{_ident(leaf)[0].upper()}{_ident(leaf)[1:]}", operation


def _summary(kind: type[msgspec.Struct]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


# ---- the tables


_TITLE = """# The messages

Every field of every message, printed by `ostiaryctl schema --markdown`. README.md says on which topics they travel. Messages are JSON in
UTF-8. A field that is not listed is an error. Times are strings as in RFC 3339; a gate writes them in UTC with milliseconds.
"""


def _required(schema: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(schema.get("required", ()))


def _table(name: str, about: str, fields: Mapping[str, Any], required: frozenset[str]) -> str:
    lines = [f"## {name}", "", *(line for part in about.split("\n\n") if part for line in (" ".join(part.split()), ""))]
    if fields:
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for field, its in fields.items():
            absent = "" if field in required else ", may be absent"
            lines.append(f"| `{field}` | {_type(its)}{absent} | {_meaning(its)} |")
        lines.append("")
    return "\n".join(lines)


def _type(its: Mapping[str, Any]) -> str:
    """The type of a value in words: `whole number or null`."""
    words = {"integer": "whole number", "boolean": "true or false", "uuid": "UUID", "date-time": "time"}
    if "anyOf" in its:
        return " or ".join(_type(one) for one in its["anyOf"])
    if "$ref" in its:
        return str(its["$ref"]).rsplit("/", 1)[1]
    if "enum" in its:
        return " or ".join(f"`{value}`" for value in its["enum"])
    if its.get("type") == "array":
        return f"list of {_type(its['items'])}"
    kind = str(its.get("format") or its.get("contentEncoding") or its["type"])
    return words.get(kind, kind)


def _meaning(its: Mapping[str, Any]) -> str:
    """The description of a field, which may stand at one of its types."""
    inner = [_meaning(one) for one in its.get("anyOf", ())]
    return str(its.get("description", "")) or next(filter(None, inner), "")


# ---- the examples

_AT = datetime(2027, 3, 1, 8, 0, 0, 123000, UTC)


def _topic(leaf: str) -> str:
    return m.topic("acme", "north", leaf)


def _times(number: int) -> dict[str, Any]:
    """The fields that every command has."""
    ident = UUID(int=0x6B1F6F0E_0000_4000_8000_000000000000 + number)
    return {"command_id": ident, "issued_at": _AT, "expires_at": _AT.replace(minute=1)}


def _commands() -> list[tuple[str, m.Command]]:
    made: list[m.Command] = [
        m.Enroll(**_times(1), person="E1042", images=[_JPEG], name="Ada Lovelace", gates=["north"]),
        m.Revoke(**_times(2), person="E1042"),
        m.Suspend(**_times(3), person="E1042"),
        m.Resume(**_times(4), person="E1042"),
        m.Update(**_times(5), person="E1042", valid_until=_AT.replace(month=12), name=None),
        m.Verify(**_times(6), person="E1042", seconds=10.0),
        m.List(**_times(7), after="E1000", limit=100),
        m.Get(**_times(8), person="E1042"),
        m.Reembed(**_times(9), model="faces-2@0123456789ab"),
        m.Resync(**_times(11)),
        m.Ping(**_times(10)),
    ]
    return [(str(command.__struct_config__.tag), command) for command in made]


_RESULT = m.Result(
    command_id=str(_times(2)["command_id"]), op="revoke", status="done", reason=None, detail=None, person="E1042", gallery_revision=94,
    took_ms=3.1, key="hr-1",
)  # fmt: skip
_DECISION = m.DecisionMessage(
    event_id="9f2c41d07b6a4c0e8d15", sequence=4711, previous=4710, boot_id="5d8e0c1f", gate="north", passage="5d8e0c1f-17", supersedes=None,
    decision="accept", reason="matched", person="E1042", captured_at="2027-03-01T08:00:00.123Z", decided_at="2027-03-01T08:00:00.187Z",
    valid_until="2027-03-01T08:00:03.123Z", live=True, liveness="not_evaluated", faces_in_view=1, model="faces-1@0123456789ab",
    gallery_revision=93, policy="36b48f4ecf86",
)  # fmt: skip

_ID = "b7c1f09e2d"
_DESK, _JPEG = sealed_box.private_key(bytes(range(1, 33))), b"\xff\xd8\xff\xe0 a JPEG file \xff\xd9"


def _visitor() -> m.VisitorMessage:
    """For the key of the bytes 1 to 32, sealed with those from 2 to 33."""
    sealed = sealed_box.seal(_DESK.public_key(), _topic(f"visitor/{_ID}"), _JPEG, bytes(range(2, 34)))
    return m.VisitorMessage(
        id=_ID, gate="north", passage="5d8e0c1f-18", event_id="c1d2e3f405162738495a", seen_at="2027-03-01T08:00:00.187Z",
        gone_at="2027-03-01T08:15:00.187Z", key=sealed_box.fingerprint(_DESK.public_key()), sealed=sealed,
    )  # fmt: skip


_GAP = m.GapMessage(gate="north", at="2027-03-01T08:00:00.123Z", reason="full", decisions=998, first=3712, last=4709, answers=2)


def _status(public_key: str) -> m.StatusMessage:
    return m.StatusMessage(
        online=True, state="degraded", reasons=[Reason(Word.UNCALIBRATED).line()],
        at="2027-03-01T08:00:00.123Z", boot_id="5d8e0c1f", camera="up", model="faces-1@0123456789ab", provider="cpu", people=212,
        templates=640, gallery_revision=94, threshold=0.4312, outbox_depth=0, version="1.0.0",
        audit=m.AuditHead(number=18_220, head="0123456789abcdef" * 4), mode="identify", commands="signed", public_key=public_key,
        calibration="photos", metrics="127.0.0.1:9464", schedules=["office"], gates=["north", "south"],
    )  # fmt: skip
