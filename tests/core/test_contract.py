"""The contract's documents: every message and field is in them, and the examples are what they say."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from daemon.core import contract, sealed_box, signing
from daemon.core import messages as m
from tests.conftest import ROOT
from tests.fixtures.schemas import problems, resolved

SCHEMAS = contract.schemas()
ASYNCAPI = contract.asyncapi()
EXAMPLES = {example.name: example for example in contract.examples()}
KEY = signing.private_key(bytes(range(32))).public_key()


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs of the module of messages."""
    for value in vars(kind).values():
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and not value.__name__.startswith("_"):
            yield value


def test_every_message_is_in_the_schemas_and_has_an_example() -> None:
    assert {kind.__name__ for kind in structs(m)} | {"Envelope"} == set(SCHEMAS["$defs"])
    assert set(SCHEMAS["messages"]) == {kind.__name__ for kind in contract.MESSAGES} == set(EXAMPLES)
    for ref in SCHEMAS["messages"].values():
        assert resolved(ref["$ref"], SCHEMAS)["type"] == "object"


@pytest.mark.parametrize("name", SCHEMAS["$defs"])
def test_every_field_is_described(name: str) -> None:
    for field, its in SCHEMAS["$defs"][name]["properties"].items():
        said = its.get("description") or next((one["description"] for one in its.get("anyOf", ()) if "description" in one), "")
        assert len(said) > 8 and "|" not in said and "\n" not in said, f"{name}.{field}"


def kind_of(topic: str) -> str:
    """The leaf of a topic as the contract writes it."""
    leaf = m.leaf_of(topic)
    return contract.VISITOR if leaf.startswith("visitor/") else leaf


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_fits_its_schema_and_is_read_as_what_it_is(example: contract.Example) -> None:
    said = json.loads(example.payload)
    for document, place in ((SCHEMAS, "#/$defs/"), (ASYNCAPI, "#/components/schemas/")):
        assert not problems(said, {"$ref": place + example.name}, document)
        assert problems(said | {"salary": 3}, {"$ref": place + example.name}, document)
        for field in resolved(place + example.name, document)["required"]:
            assert problems({k: v for k, v in said.items() if k != field}, {"$ref": place + example.name}, document)
    leaf = kind_of(example.topic)
    if leaf in contract.SAYS:
        assert type(msgspec.json.decode(example.payload, type=contract.SAYS[leaf])).__name__ == example.name
        assert signing.said_by(KEY, example.topic, example.payload)
    elif example.name == "Envelope":
        envelope = signing.envelope(example.payload)
        assert envelope is not None and signing.holds(KEY, example.topic, envelope.body.encode(), envelope.sig)
        assert isinstance(m.parse_command(envelope.body.encode()), m.Revoke)
    else:
        command = m.parse_command(example.payload)
        assert type(command).__name__ == example.name and str(command.__struct_config__.tag) in m.LANES[leaf]


def test_what_the_gate_refuses_does_not_fit_either() -> None:
    """The schema of a command and its reader agree about the fields that have limits."""
    for name, change in (
        ("Revoke", {"person": "E1042\n"}), ("Revoke", {"person": ""}), ("Enroll", {"images": []}), ("Enroll", {"images": ["?"]}),
        ("Enroll", {"force": "yes"}), ("Verify", {"seconds": 61}), ("List", {"limit": 0}), ("Update", {"gates": []}),
        ("Ping", {"command_id": 7}), ("Enroll", {"name": "x" * 201}),
    ):  # fmt: skip
        said = json.loads(EXAMPLES[name].payload) | change
        with pytest.raises(m.MessageError):
            m.parse_command(json.dumps(said).encode())
        try:
            fits = not problems(said, SCHEMAS["messages"][name], SCHEMAS)
        except ValueError:  # base64, UUID
            fits = False
        assert not fits, (name, change)


def test_the_document_for_people_is_what_the_code_says() -> None:
    assert (ROOT / "daemon" / "CONTRACT.md").read_text("utf-8") == contract.tables()


# ---- AsyncAPI 3.0


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(ASYNCAPI))
    assert len(found) > 30
    for ref in found:
        assert resolved(ref, ASYNCAPI)


def test_channels_are_the_topics() -> None:
    channels = ASYNCAPI["channels"]
    assert {channel["address"] for channel in channels.values()} == {
        m.topic("{site}", "{gate}", leaf) for leaf in ("decision", "status", "result", "gap", "visitor/{id}", *m.LANES)
    }
    for name, channel in channels.items():
        assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
        assert set(channel) == {"address", "description", "parameters", "messages"}
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))
        leaf = m.leaf_of(channel["address"])
        if leaf in m.LANES:
            kinds = {kind.__name__: op for op, kind in contract.COMMANDS.items()}
            assert {kinds[message] for message in channel["messages"] if message != "Envelope"} == m.LANES[leaf]
            assert "Envelope" in channel["messages"]


def test_operations_send_what_the_gate_says_and_receive_what_it_is_asked() -> None:
    for name, operation in ASYNCAPI["operations"].items():
        channel = resolved(operation["channel"]["$ref"], ASYNCAPI)
        own = operation["channel"]["$ref"] + "/messages/"
        assert {ref["$ref"] for ref in operation["messages"]} == {own + message for message in channel["messages"]}
        asked = m.leaf_of(channel["address"]) in m.LANES
        assert operation["action"] == ("receive" if asked else "send") and name.startswith(operation["action"])
        assert ("reply" in operation) is asked
        assert operation["bindings"]["mqtt"]["retain"] is channel["address"].endswith(("/status", "/visitor/{id}"))


def test_the_document_has_what_the_specification_asks_for() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0" and {"title", "version"} <= set(ASYNCAPI["info"])
    assert set(ASYNCAPI) == {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"}
    for server in ASYNCAPI["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for name, message in ASYNCAPI["components"]["messages"].items():
        assert set(message) == {"name", "title", "summary", "contentType", "payload", "examples"} and message["summary"]
        (example,) = message["examples"]
        assert example["payload"] == json.loads(EXAMPLES[name].payload)


def test_the_picture_of_the_example_opens_with_the_key_that_it_names() -> None:
    desk, example = sealed_box.private_key(bytes(range(1, 33))), EXAMPLES["VisitorMessage"]
    said = msgspec.json.decode(example.payload, type=m.VisitorMessage)
    assert example.topic == m.visitor_topic("acme", "north", said.id) and said.key == sealed_box.fingerprint(desk.public_key())
    assert sealed_box.open_sealed(desk, example.topic, said.sealed).startswith(b"\xff\xd8")
