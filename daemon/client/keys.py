"""Keys for commands, and the one for pictures of unknown people: files with a name and a secret. And the public keys of gates that are
believed."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.client import secret_files
from daemon.client.failures import USAGE, ClientError
from daemon.core import key_texts, sealed_box, signing
from daemon.core import messages as m

FORGED = "is not signed with --gate-key"
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Signer:
    """A key with the name that the gates know it by."""

    name: str
    key: Ed25519PrivateKey

    def sealed(self, topic: str, payload: bytes) -> bytes:
        """The command as it is sent to this topic."""
        return signing.sealed(self.name, self.key, topic, payload)


@dataclass(frozen=True, slots=True)
class Gates:
    """The public keys of the gates that are believed. Without any, everything is believed."""

    keys: tuple[Ed25519PublicKey, ...]

    def said(self, topic: str, payload: bytes) -> bool:
        """Whether one of them has said this on this topic."""
        return not self.keys or any(signing.said_by(key, topic, payload) for key in self.keys)


def believed(texts: Sequence[str]) -> Gates:
    """The gates with these public keys, as --gate-key has them. Raises ClientError."""
    try:
        return Gates(tuple(signing.public_key(text) for text in texts))
    except ValueError as error:
        hint = "give `public_key` as `ostiaryctl status` and `ostiaryd check` show it"
        raise ClientError(USAGE, f"--gate-key is not a public key: {error}", hint) from None


def read_signer(path: Path) -> Signer:
    """The key in a file of `keygen`. Raises ClientError, also for a file that others may read."""
    words = _words(path, "keygen --out FILE")
    try:
        name, secret = words
        key = signing.private_key(base64.b64decode(secret, validate=True))
    except ValueError:
        name, key = "", None
    if key is None or not m.is_topic_segment(name):
        raise ClientError(USAGE, f"{path} does not hold a key for commands", "give the file that `ostiaryctl keygen --out FILE` made")
    return Signer(name, key)


def read_visitor_key(path: Path) -> X25519PrivateKey:
    """The key that opens pictures of unknown people, in a file of `keygen --visitors`. Raises ClientError as `read_signer` does."""
    words = _words(path, "keygen --visitors --out FILE")
    try:
        _, secret, what = words
        key = sealed_box.private_key(base64.b64decode(secret, validate=True))
    except ValueError:
        what, key = "", None
    if key is None or what != key_texts.VISITORS:
        hint = "give the file that `ostiaryctl keygen --visitors --out FILE` made"
        raise ClientError(USAGE, f"{path} does not hold a key for pictures of unknown people", hint)
    return key


def _words(path: Path, maker: str) -> list[str]:
    """The words in a file that `ostiaryctl` made by `maker`; none in another file. Raises ClientError, also if others may read the file."""
    content = secret_files.read(path, _LONGEST + 1, f"give the file that `ostiaryctl {maker}` made")
    try:
        return content.decode("ascii").split()
    except ValueError:
        return []
