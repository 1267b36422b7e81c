"""Keys for commands, and the one for pictures of unknown people: files with a name and a secret. And the public keys of gates that are
believed."""

import base64
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

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
    try:
        # NONBLOCK: a pipe in its place must not stop the command.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            seen = os.fstat(file)
            content = os.read(file, _LONGEST + 1) if stat.S_ISREG(seen.st_mode) else b""
        finally:
            os.close(file)
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", f"give the file that `ostiaryctl {maker}` made") from None
    if stat.S_ISREG(seen.st_mode) and seen.st_mode & 0o077:
        message = f"{path} has mode {stat.S_IMODE(seen.st_mode):04o}: others may read the key"
        raise ClientError(USAGE, message, f"`chmod 600 {path}`, and make a new key if somebody may have read this one")
    try:
        return content.decode("ascii").split()
    except ValueError:
        return []
