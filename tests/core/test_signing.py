"""Signatures: over the topic and every byte, in the two forms that travel."""

import json

import pytest

from daemon.core import signing

KEY = signing.private_key(bytes(range(32)))
OTHER = signing.private_key(bytes(32))
PUBLIC = signing.public_key(signing.public_text(KEY))
TOPIC = "ostiary/v1/hq/north/command"


def test_an_envelope_holds_for_its_topic_and_key_and_every_byte_of_its_body() -> None:
    body = '{"name":"Ağaoğlu \\"A\\""}'.encode()
    found = signing.envelope(signing.sealed("hr-1", KEY, TOPIC, body))
    assert found is not None and found.key == "hr-1" and found.body.encode() == body
    assert signing.holds(PUBLIC, TOPIC, body, found.sig)
    assert not signing.holds(PUBLIC, TOPIC.replace("north", "south"), body, found.sig)
    assert not signing.holds(PUBLIC, TOPIC, body[:-1] + b" }", found.sig)
    assert not signing.holds(signing.public_key(signing.public_text(OTHER)), TOPIC, body, found.sig)
    for forged in ("", "AAAA", found.sig[:-1], found.sig + "=", "ü" * 88, "A" * 86 + "=="):
        assert not signing.holds(PUBLIC, TOPIC, body, forged)


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b'{"key":1,"sig":"","body":""}', b'{"key":"k","sig":"","body":"","more":1}', b"\xff"]
)
def test_anything_else_is_no_envelope(payload: bytes) -> None:
    assert signing.envelope(payload) is None


def test_what_a_gate_says_stays_json_and_is_bound_to_its_topic() -> None:
    said = signing.signed(KEY, TOPIC, b'{"a":1}')
    assert list(json.loads(said)) == ["a", "sig"]
    assert signing.said_by(PUBLIC, TOPIC, said)
    assert not signing.said_by(PUBLIC, TOPIC + "x", said)
    assert not signing.said_by(PUBLIC, TOPIC, said.replace(b"1", b"2", 1))
    assert not signing.said_by(PUBLIC, TOPIC, b'{"a":1}')
    assert not signing.said_by(PUBLIC, TOPIC, b"")
