"""How the boxes of a site get the site keys: from the administrator, each sealed to the box's own key, and signed.

The message lies retained on `ostiary/v1/<site>/roster/key/<box>`:

    {"number": …, "sealed": base64, "sig": base64}

`sealed` is a sealed box (`sealed_box.py`) with the keys, for the X25519 key in the box's status. Everything is signed by the
administrator's Ed25519 key, over the topic. The number grows whenever the keys change, and a box takes no message with a smaller number
than it had: so nobody can give it back an older set. It has no expiry, because a box may come back after months, and one without a
clock in step needs its keys too.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from msgspec import Meta

from daemon.core import sealed_box, signing
from daemon.core.people.roster_wire import KEY_BYTES, RosterError, SiteKeys, topic

KEY = "key"
"""Stands in the place of a person's id in the topics."""
MOST_KEYS = 16
"""How many sealing keys there may be at one time."""
LONGEST = 16_384
"""How many bytes a message with keys may have."""
Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Sealing = Annotated[dict[Annotated[int, Meta(ge=1, lt=1 << 32)], Key], Meta(min_length=1, max_length=MOST_KEYS)]
Number = Annotated[int, Meta(ge=1, lt=1 << 53)]


class _Keys(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    ident: Key
    sealing: Sealing


class _Numbered(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    number: Number
    keys: _Keys


class _Message(msgspec.Struct, frozen=True):
    number: Number
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Edition:
    """The site keys as they are from one change to the next; `number` grows."""

    number: int
    keys: SiteKeys

    def rotated(self, secret: bytes, now: float) -> "Edition":
        """With a new key (KEY_BYTES random bytes) that seals from now on (UTC seconds). Raises RosterError if there are too many."""
        if len(self.keys.sealing) >= MOST_KEYS:
            raise RosterError(f"there are {MOST_KEYS} sealing keys")
        return self._next({**self.keys.sealing, self.keys.newest + 1: secret}, now)

    def forgetting(self, used: Collection[int], now: float) -> "Edition":
        """With the newest sealing key, and those with these numbers."""
        return self._next({number: key for number, key in self.keys.sealing.items() if number == self.keys.newest or number in used}, now)

    def _next(self, sealing: dict[int, bytes], now: float) -> "Edition":
        return Edition(max(self.number + 1, int(now)), replace(self.keys, sealing=sealing))


def first(ident: bytes, secret: bytes, now: float) -> Edition:
    """The keys of a new roster: twice KEY_BYTES random bytes. The numbers begin with the time (UTC seconds)."""
    return Edition(max(1, int(now)), SiteKeys(ident, {1: secret}))


def key_topic(site: str, box: str) -> str:
    return topic(site, KEY, box)


def issued(edition: Edition, site: str, box: str, to: X25519PublicKey, admin: Ed25519PrivateKey, secret: bytes) -> tuple[str, bytes]:
    """Topic and payload that give the keys to a box with this public key. `secret` is 32 random bytes, new for every message."""
    on = key_topic(site, box)
    plain = msgspec.msgpack.encode(_Keys(edition.keys.ident, dict(edition.keys.sealing)))
    message = _Message(edition.number, sealed_box.seal(to, on, plain, secret))
    return on, signing.signed(admin, on, msgspec.json.encode(message))


def number_of(on: str, payload: bytes, admin: Ed25519PublicKey) -> int:
    """The number of the edition in this message. Raises RosterError for one that the administrator has not signed."""
    return _message(on, payload, admin).number


def opened(site: str, box: str, payload: bytes, key: X25519PrivateKey, admin: Ed25519PublicKey) -> Edition:
    """What the administrator has given to the box. Raises RosterError for anything else."""
    on = key_topic(site, box)
    message = _message(on, payload, admin)
    try:
        keys = msgspec.msgpack.decode(sealed_box.open_sealed(key, on, message.sealed), type=_Keys)
    except sealed_box.BoxError:
        raise RosterError("it is sealed to another key than this box has now; admit the box again", "wrong_key") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RosterError("it holds no site keys that this version knows", "unreadable") from None
    return Edition(message.number, SiteKeys(keys.ident, keys.sealing))


def advanced(held: Edition | None, given: Edition) -> Edition:
    """What a box has after it was given this. Raises RosterError for an older edition, and for one that is not of the same roster."""
    if held is None or held == given:
        return given
    if given.number <= held.number:
        raise RosterError(f"it is edition {given.number} of the keys, and this box has {held.number}", "replayed")
    if given.keys.ident != held.keys.ident or any(given.keys.sealing.get(n, key) != key for n, key in held.keys.sealing.items()):
        raise RosterError("it has the keys of another roster", "wrong_roster")
    if given.keys.newest < held.keys.newest:
        raise RosterError(f"its newest key is {given.keys.newest}, and this box has {held.keys.newest}", "replayed")
    return given


def to_bytes(edition: Edition) -> bytes:
    """For the store of a box, which seals it."""
    return msgspec.msgpack.encode(_Numbered(edition.number, _Keys(edition.keys.ident, dict(edition.keys.sealing))))


def from_bytes(stored: bytes) -> Edition:
    """The inverse of `to_bytes`. Raises RosterError."""
    try:
        found = msgspec.msgpack.decode(stored, type=_Numbered)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RosterError("the stored site keys cannot be read") from None
    return Edition(found.number, SiteKeys(found.keys.ident, found.keys.sealing))


def _message(on: str, payload: bytes, admin: Ed25519PublicKey) -> _Message:
    if len(payload) > LONGEST or not signing.said_by(admin, on, payload):
        raise RosterError("it is not signed by the roster's administrator", "bad_signature")
    try:
        return msgspec.json.decode(payload, type=_Message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RosterError("it says what this version does not know", "unreadable") from None
