"""Keys for commands: a file with a name and a secret. And the public keys of gates that are believed."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daemon.client import secret_files
from daemon.client.failures import USAGE, ClientError
from daemon.core import messages as m
from daemon.core import signing

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
    content = secret_files.read(path, _LONGEST + 1, "give the file that `ostiaryctl keygen --out FILE` made")
    try:
        name, secret = content.decode("ascii").split()
        key = signing.private_key(base64.b64decode(secret, validate=True))
    except ValueError:
        name, key = "", None
    if key is None or not m.is_topic_segment(name):
        raise ClientError(USAGE, f"{path} does not hold a key for commands", "give the file that `ostiaryctl keygen --out FILE` made")
    return Signer(name, key)
