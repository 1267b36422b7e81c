"""Keys as text: the line of a secret file, and what the gates' configuration needs to know of it."""

import base64

from daemon.core import sealed_box, signing

PROPOSED = ("enroll", "update", "suspend", "resume", "revoke", "list", "get", "ping")
"""The commands that a new key may sign, unless somebody takes some out of the table."""


VISITORS = "visitors"
"""Stands behind the secret of a key for pictures of unknown people, so that no such key is taken for one that signs."""


def secret_line(name: str, secret: bytes, *, visitors: bool = False) -> str:
    """The content of the secret file of the key with this name and these 32 bytes."""
    return f"{name} {base64.b64encode(secret).decode()}{f' {VISITORS}' if visitors else ''}\n"


def table(name: str, secret: bytes) -> str:
    """What the gates need to know of the key, as TOML. A name with a dot needs quotes there, and any name may have them."""
    ops = ", ".join(f'"{op}"' for op in PROPOSED)
    return f'[commands.keys."{name}"]\npublic = "{signing.public_text(signing.private_key(secret))}"\nops = [{ops}]'


def visitors_lines(secret: bytes) -> str:
    """What the gates need to know of a key for pictures of unknown people, as TOML; for how many minutes is to be chosen."""
    return f'[decision]\nshare_unknown = 15\nshare_unknown_to = "{sealed_box.public_text(sealed_box.private_key(secret))}"'
