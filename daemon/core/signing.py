"""Ed25519 signatures over a topic and a JSON text, so that a signed message cannot be moved to another topic.

A command travels in an envelope, `{"key": name, "sig": base64, "body": "the exact JSON text"}`. What a gate says stays plain JSON, and the
signature is its last member: consumers that do not check it read it as before. No form needs a property of MQTT 5.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

KEY_BYTES = 32
_SIGNATURE_CHARS = 88
_BEFORE, _AFTER = b',"sig":"', b'"}'
_TAIL_BYTES = len(_BEFORE) + _SIGNATURE_CHARS + len(_AFTER)


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed command: `sig` is `key`'s signature over the topic and `body`."""

    key: Annotated[str, Meta(description="the name of the key in the gate's configuration")]
    sig: Annotated[str, Meta(description="the Ed25519 signature in base64, over the topic, a NUL and body")]
    body: Annotated[str, Meta(description="the exact JSON text of the command")]


def private_key(secret: bytes) -> Ed25519PrivateKey:
    """The key of these 32 bytes. Raises ValueError for another number of bytes."""
    return Ed25519PrivateKey.from_private_bytes(secret)


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half as configurations and statuses write it: 32 bytes in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """The inverse of `public_text`. Raises ValueError, also for a weak key: anybody can forge signatures of those."""
    raw = base64.b64decode(text, validate=True)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"{len(raw)} bytes, and {KEY_BYTES} are needed")
    if (int.from_bytes(raw, "little") & _Y_BITS) % _P in _WEAK:
        raise ValueError("a weak key, for which anybody can sign")
    return Ed25519PublicKey.from_public_bytes(raw)


_P, _Y_BITS = 2**255 - 19, 2**255 - 1
_EIGHTH = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_WEAK = frozenset((0, 1, _P - 1, _EIGHTH, _P - _EIGHTH))
"""The y coordinates of the points whose order divides 8 (RFC 8032, section 5.1)."""


def signature(key: Ed25519PrivateKey, topic: str, body: bytes) -> bytes:
    """The signature over topic, NUL and body, in base64."""
    return base64.b64encode(key.sign(_signed(topic, body)))


def holds(key: Ed25519PublicKey, topic: str, body: bytes, sig: str | bytes) -> bool:
    """Whether `sig` is this key's signature over topic and body, as `signature` writes it: nobody can write it in another way."""
    try:
        raw = base64.b64decode(sig, validate=True)
        key.verify(raw, _signed(topic, body))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return base64.b64encode(raw) == (sig.encode() if isinstance(sig, str) else sig)


def sealed(name: str, key: Ed25519PrivateKey, topic: str, body: bytes) -> bytes:
    """The envelope of a command (UTF-8 JSON) for `topic`, signed by the key of this name."""
    return msgspec.json.encode(Envelope(name, signature(key, topic, body).decode(), body.decode()))


def envelope(payload: bytes) -> Envelope | None:
    """The envelope that a payload is, or None for anything else. Nothing of it is proved yet."""
    try:
        return msgspec.json.decode(payload, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def signed(key: Ed25519PrivateKey, topic: str, payload: bytes) -> bytes:
    """What a gate says (a JSON object that is not empty) with its signature as the last member."""
    return payload[:-1] + _BEFORE + signature(key, topic, payload) + _AFTER


def said_by(key: Ed25519PublicKey, topic: str, payload: bytes) -> bool:
    """Whether the gate with this key has said exactly this on this topic."""
    body, tail = payload[:-_TAIL_BYTES] + b"}", payload[-_TAIL_BYTES:]
    if not (tail.startswith(_BEFORE) and tail.endswith(_AFTER)):
        return False
    return holds(key, topic, body, tail[len(_BEFORE) : -len(_AFTER)])


def _signed(topic: str, body: bytes) -> bytes:
    return topic.encode() + b"\0" + body
