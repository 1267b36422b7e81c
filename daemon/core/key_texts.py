"""A key for commands as text: the line of its secret file, and its table in the gates' configuration."""

import base64

from daemon.core import signing

PROPOSED = ("enroll", "update", "suspend", "resume", "revoke", "list", "get", "ping")
"""The commands that a new key may sign, unless somebody takes some out of the table."""


def secret_line(name: str, secret: bytes) -> str:
    """The content of the secret file of the key with this name and these 32 bytes."""
    return f"{name} {base64.b64encode(secret).decode()}\n"


def table(name: str, secret: bytes) -> str:
    """What the gates need to know of the key, as TOML. A name with a dot needs quotes there, and any name may have them."""
    ops = ", ".join(f'"{op}"' for op in PROPOSED)
    return f'[commands.keys."{name}"]\npublic = "{signing.public_text(signing.private_key(secret))}"\nops = [{ops}]'
