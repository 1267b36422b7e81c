"""A roster record as it travels: sealed for the boxes of the site, then signed by its writer, bound to its topic.

The topic is `ostiary/v1/<site>/roster/<shard>/<ident>/<writer>`; `ident` stands for the person and says nothing about them to whoever
reads the broker's files, and the shard is its first two digits. Brokers drop what exceeds a client's queue (mosquitto: 1,020 messages
unless configured otherwise), so a box that reads everything subscribes to a few shards at a time.

The payload is a mark, the number of the sealing key, a nonce, the sealed content (AES-256-GCM, with the topic as associated data) and the
Ed25519 signature over topic, NUL and all of that.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from daemon.core.people.roster import Card, Record, Stamp

LEAF = "roster"
"""Stands in the place of a gate in the topics, so no gate may have this name."""
MOST_BYTES = 1 << 20
"""How long a record may be."""
MOST_WRITERS = 1000
"""How many boxes a fleet may have."""
MOST_CHANGES = (1 << 53) - 1
WriterName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$(?!\n)")]
KEY_BYTES, NONCE_BYTES = 32, 12
_MARK, _NUMBER_BYTES, _SIGNATURE_BYTES = b"OR1", 4, 64
_SEALED_AT = len(_MARK) + _NUMBER_BYTES + NONCE_BYTES


GROUP = 500
SHARDS, _SHARD_DIGITS = 256, 2
_IDENT = re.compile(r"[0-9a-f]{32}")


class RosterError(ValueError):
    """Something of the roster that counts for nothing; says why. `reason` is one word for programs."""

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message)
        self.reason = reason


class _Body(msgspec.Struct, frozen=True, array_like=True):
    seen: Annotated[dict[WriterName, Annotated[int, Meta(ge=0, le=MOST_CHANGES)]], Meta(max_length=MOST_WRITERS)]
    card: Card


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """What the boxes of a site share. `ident` makes the ids of people, for as long as the roster lasts. `sealing` are the keys that open
    records, by number; new records are sealed with the highest one."""

    ident: bytes = field(repr=False)
    sealing: Mapping[int, bytes] = field(repr=False)

    def ident_of(self, person: str) -> str:
        """The person's id in topics: 32 hexadecimal digits."""
        return hmac.new(self.ident, person.encode(), hashlib.sha256).hexdigest()[:32]

    @property
    def newest(self) -> int:
        return max(self.sealing)


def topic(site: str, ident: str, writer: str) -> str:
    """Where this writer's record of a person is. For `head` and `key` as the ident there is no shard."""
    shard = f"{ident[:_SHARD_DIGITS]}/" if _IDENT.fullmatch(ident) else ""
    return f"ostiary/v1/{site}/{LEAF}/{shard}{ident}/{writer}"


def writer_of(on: str) -> tuple[str, str]:
    """The `ident` and the writer in a topic. Raises RosterError for a topic that is none of the roster's."""
    parts = on.split("/")
    if len(parts) < 6 or on != topic(parts[2], parts[-2], parts[-1]):
        raise RosterError("it is not on a topic of the roster", "malformed")
    return parts[-2], parts[-1]


def groups(site: str, records: int | None) -> list[list[str]]:
    """The topic filters of all shards, in groups. A box subscribes to the next group when no more comes from the one before, so that no
    more than about GROUP records wait for it. `records` is how many there are, as far as a head says."""
    filters = [f"ostiary/v1/{site}/{LEAF}/{shard:0{_SHARD_DIGITS}x}/+/+" for shard in range(SHARDS)]
    together = max(1, SHARDS * GROUP // max(1, records if records is not None else 64 * GROUP))
    return [filters[first : first + together] for first in range(0, SHARDS, together)]


def written(site: str, keys: SiteKeys, stamp: Stamp, card: Card, signer: Ed25519PrivateKey, nonce: bytes) -> tuple[str, bytes]:
    """Topic and payload of a record. `nonce` is NONCE_BYTES that were never used before. Raises RosterError for one too long."""
    to = topic(site, keys.ident_of(card.person), stamp.writer)
    plain = _encoder.encode(_Body(dict(stamp.seen), card))
    sealed = AESGCM(keys.sealing[keys.newest]).encrypt(nonce, plain, to.encode())
    body = _MARK + keys.newest.to_bytes(_NUMBER_BYTES, "big") + nonce + sealed
    if len(body) + _SIGNATURE_BYTES > MOST_BYTES:
        raise RosterError(f"the record of a person has {len(body)} bytes, and {MOST_BYTES} are allowed", "too_large")
    return to, body + signer.sign(_signed(to, body))


def read(on: str, payload: bytes, keys: SiteKeys, writers: Mapping[str, Ed25519PublicKey]) -> Record:
    """The record of this payload on this topic. Raises RosterError for one that nobody has to believe."""
    ident, writer = writer_of(on)
    if writer not in writers:
        raise RosterError(f"{writer} is not among the roster's writers", "unknown_writer")
    if not _SEALED_AT + _SIGNATURE_BYTES < len(payload) <= MOST_BYTES or not payload.startswith(_MARK):
        raise RosterError("it is not a record", "malformed")
    body, signature = payload[:-_SIGNATURE_BYTES], payload[-_SIGNATURE_BYTES:]
    try:
        writers[writer].verify(signature, _signed(on, body))
    except InvalidSignature:
        raise RosterError(f"it is not signed by {writer}", "bad_signature") from None
    number = key_number(payload)
    if number not in keys.sealing:
        raise RosterError(f"it is sealed with key {number}, which this box does not have", "unknown_key")
    try:
        plain = AESGCM(keys.sealing[number]).decrypt(body[_SEALED_AT - NONCE_BYTES : _SEALED_AT], body[_SEALED_AT:], on.encode())
        made = _decoder.decode(plain)
    except InvalidTag:
        raise RosterError("it does not open with the key of its number", "unreadable") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RosterError(f"it says what this version does not know: {error}", "unreadable") from None
    if any(hashlib.sha256(face.crop).hexdigest() != digest for digest, face in made.card.faces.items()):
        raise RosterError("a picture in it is not the one that it names", "malformed")
    stamp = Stamp(writer, made.seen)
    if keys.ident_of(made.card.person) != ident or stamp.number < 1:
        raise RosterError("it is about another person, or has no number", "wrong_person")
    return Record(stamp, made.card, hashlib.sha256(payload).digest())


def key_number(payload: bytes) -> int:
    """The number of the key that seals a record."""
    return int.from_bytes(payload[len(_MARK) : len(_MARK) + _NUMBER_BYTES], "big")


_encoder, _decoder = msgspec.msgpack.Encoder(order="deterministic"), msgspec.msgpack.Decoder(_Body)


def _signed(on: str, body: bytes) -> bytes:
    return on.encode() + b"\0" + body
