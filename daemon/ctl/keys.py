"""Keys for commands: a file with a name and a secret, and `keygen`, which makes one. And the public keys of gates that are believed."""

import argparse
import base64
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from rich.console import Console
from rich.text import Text

from daemon.core import key_texts, signing
from daemon.core import messages as m
from daemon.ctl.failures import DONE, USAGE, CtlError
from daemon.ctl.text import to_json

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


def believed(args: argparse.Namespace) -> Gates:
    """The gates of --gate-key. Raises CtlError."""
    try:
        return Gates(tuple(signing.public_key(text) for text in getattr(args, "gate_key", [])))
    except ValueError as error:
        hint = "give `public_key` as `ostiaryctl status` and `ostiaryd check` show it"
        raise CtlError(USAGE, f"--gate-key is not a public key: {error}", hint) from None


def read_signer(path: Path) -> Signer:
    """The key in a file of `keygen`. Raises CtlError, also for a file that others may read."""
    try:
        # NONBLOCK: a pipe in its place must not stop the command.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            seen = os.fstat(file)
            content = os.read(file, _LONGEST + 1) if stat.S_ISREG(seen.st_mode) else b""
        finally:
            os.close(file)
    except OSError as error:
        raise CtlError(USAGE, f"{path}: {error.strerror}", "give the file that `ostiaryctl keygen --out FILE` made") from None
    if stat.S_ISREG(seen.st_mode) and seen.st_mode & 0o077:
        message = f"{path} has mode {stat.S_IMODE(seen.st_mode):04o}: others may read the key"
        raise CtlError(USAGE, message, f"`chmod 600 {path}`, and make a new key if somebody may have read this one")
    try:
        name, secret = content.decode("ascii").split()
        key = signing.private_key(base64.b64decode(secret, validate=True))
    except ValueError:
        name, key = "", None
    if key is None or not m.is_topic_segment(name):
        raise CtlError(USAGE, f"{path} does not hold a key for commands", "give the file that `ostiaryctl keygen --out FILE` made")
    return Signer(name, key)


def make_key(args: argparse.Namespace, out: Console) -> int:
    """keygen: write a new key, and print what the gates need to know of it."""
    path: Path = args.out
    name = args.name if args.name is not None else path.stem
    if not m.is_topic_segment(name):
        raise CtlError(USAGE, f"{name!r} is not the name of a key", "give --name with 1 to 64 letters, digits, '.', '_' and '-'")
    secret = secrets.token_bytes(signing.KEY_BYTES)
    _write(path, key_texts.secret_line(name, secret))
    public = signing.public_text(signing.private_key(secret))
    if hasattr(args, "json"):
        out.print(Text(to_json({"name": name, "public": public, "file": str(path)})))
        return DONE
    out.print(Text(f"# Add this to the configuration of the gates, without the ops that it need not sign. {path} is secret.", "dim"))
    out.print(Text(key_texts.table(name, secret)), soft_wrap=True)  # to be copied
    return DONE


def _write(path: Path, text: str) -> None:
    """A new file that nobody else may read. Raises CtlError, and then leaves no file."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CtlError(USAGE, f"{path}: there is a file already", "it is not written over: give another name") from None
    except OSError as error:
        raise CtlError(USAGE, f"{path}: {error.strerror}", "give a path in a folder that you may write to") from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise CtlError(USAGE, f"{path}: {error.strerror}", "is the disk full?") from None
