"""keygen: a new key that signs commands, or one that opens the pictures of unknown people."""

import argparse
import os
import secrets
from pathlib import Path

from rich.console import Console
from rich.text import Text

from daemon.client.failures import DONE, USAGE, ClientError
from daemon.core import key_texts, sealed_box, signing
from daemon.core import messages as m
from daemon.ctl.text import to_json


def make_key(args: argparse.Namespace, out: Console) -> int:
    """keygen: write a new key, and print what the gates need to know of it."""
    path: Path = args.out
    name = args.name if args.name is not None else path.stem
    if not m.is_topic_segment(name):
        raise ClientError(USAGE, f"{name!r} is not the name of a key", "give --name with 1 to 64 letters, digits, '.', '_' and '-'")
    secret = secrets.token_bytes(signing.KEY_BYTES)
    visitors: bool = args.visitors
    _write(path, key_texts.secret_line(name, secret, visitors=visitors))
    public = sealed_box.public_text(sealed_box.private_key(secret)) if visitors else signing.public_text(signing.private_key(secret))
    if hasattr(args, "json"):
        out.print(Text(to_json({"name": name, "public": public, "file": str(path)})))
        return DONE
    what = " that share pictures of unknown people" if visitors else ", without the ops that it need not sign"
    out.print(Text(f"# Add this to the configuration of the gates{what}. {path} is secret.", "dim"))
    out.print(Text(key_texts.visitors_lines(secret) if visitors else key_texts.table(name, secret)), soft_wrap=True)  # to be copied
    return DONE


def _write(path: Path, text: str) -> None:
    """A new file that nobody else may read. Raises ClientError, and then leaves no file."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ClientError(USAGE, f"{path}: there is a file already", "it is not written over: give another name") from None
    except OSError as error:
        raise ClientError(USAGE, f"{path}: {error.strerror}", "give a path in a folder that you may write to") from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ClientError(USAGE, f"{path}: {error.strerror}", "is the disk full?") from None
