"""keygen: a new key that signs commands, or one that opens the pictures of unknown people."""

import argparse
import secrets
from pathlib import Path

from rich.console import Console
from rich.text import Text

from daemon.client import secret_files
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
    secret_files.make(path, key_texts.secret_line(name, secret, visitors=visitors))
    public = sealed_box.public_text(sealed_box.private_key(secret)) if visitors else signing.public_text(signing.private_key(secret))
    if hasattr(args, "json"):
        out.print(Text(to_json({"name": name, "public": public, "file": str(path)})))
        return DONE
    what = " that share pictures of unknown people" if visitors else ", without the ops that it need not sign"
    out.print(Text(f"# Add this to the configuration of the gates{what}. {path} is secret.", "dim"))
    out.print(Text(key_texts.visitors_lines(secret) if visitors else key_texts.table(name, secret)), soft_wrap=True)  # to be copied
    return DONE
