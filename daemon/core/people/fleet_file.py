"""The administrator's file of a fleet, as text: the site keys, and the boxes that have them.

The broker is not asked who belongs to the fleet: somebody could put back what was taken away there.
"""

import base64
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from daemon.core import sealed_box, signing
from daemon.core.people.roster_wire import RosterError, SiteKeys, WriterName
from daemon.core.people.site_keys import Edition, Key, Number, Sealing


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A box of the fleet: the public key that signs its records (Ed25519), and the one that the site keys are sealed to (X25519).

    A `keeper` makes heads. One that is `retired` gets no keys any more; what it wrote is still read."""

    public: str
    exchange: str
    keeper: bool = False
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """A site's keys, and its boxes by the name that they write under."""

    site: str
    edition: Edition
    boxes: Mapping[str, Box] = field(default_factory=dict)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    site: WriterName
    number: Number
    ident: Key
    sealing: Sealing
    boxes: dict[WriterName, Box] = {}


def to_text(fleet: Fleet) -> str:
    """The file (TOML). Whoever has it reads every record."""
    keys = fleet.edition.keys
    lines = [
        f"# Ostiary: the keys of the fleet at site {fleet.site}. Whoever reads this file can read every picture of the roster.",
        "# Keep it secret, and keep a copy: without it no box can be admitted and no key changed. `ostiaryctl roster` writes it.",
        f'site = "{fleet.site}"',
        f"number = {fleet.edition.number}",
        f'ident = "{_base64(keys.ident)}"',
        "",
        "[sealing]",
        *(f'{number} = "{_base64(key)}"' for number, key in sorted(keys.sealing.items())),
    ]
    for name, box in sorted(fleet.boxes.items()):
        lines += ["", f'[boxes."{name}"]', f'public = "{box.public}"', f'exchange = "{box.exchange}"']
        lines += _flags(box)
    return "\n".join(lines) + "\n"


def section(fleet: Fleet, name: str, admin: str) -> str:
    """`[roster]` for the configuration of the box of this name (TOML). `admin` is the administrator's public key."""
    keeper = "true" if name in fleet.boxes and fleet.boxes[name].keeper else "false"
    lines = ["[roster]", f'name = "{name}"', f"keeper = {keeper}", f'admin = "{admin}"']
    for other, box in sorted(fleet.boxes.items()):
        lines += ["", *writer(other, box)] if other != name else []
    return "\n".join(lines) + "\n"


def writer(name: str, box: Box) -> list[str]:
    """What the other boxes' configuration says of a box: the lines of its table (TOML)."""
    return [f'[roster.writers."{name}"]', f'public = "{box.public}"', *_flags(box)]


def _flags(box: Box) -> list[str]:
    return [f"{flag} = true" for flag in ("keeper", "retired") if getattr(box, flag)]


def from_text(text: str) -> Fleet:
    """The inverse of `to_text`. Raises RosterError."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File, str_keys=True)
        for box in found.boxes.values():
            signing.public_key(box.public)
            sealed_box.public_key(box.exchange)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise RosterError(str(error)) from None
    return Fleet(found.site, Edition(found.number, SiteKeys(found.ident, found.sealing)), found.boxes)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
