"""What a gate last said of itself, as far as it can be read."""

from datetime import UTC, datetime
from math import isnan
from typing import Any

import msgspec

from daemon.core.messages import AuditHead, Reembedding, RosterStatus

DEEPEST = 16
"""So many lists and tables may lie in each other in a status: not every program can read more."""
STALE_S = 90.0
"""A gate publishes its status every 30 s. One that has missed three is stale."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A status. `odd` are the fields that cannot be read, and `said` is the whole message."""

    online: bool = False
    state: str = "unreadable"
    reasons: list[str] = []
    at: str | None = None
    camera: str | None = None
    model: str | None = None
    provider: str | None = None
    people: int = 0
    templates: int = 0
    gallery_revision: int = -1
    threshold: float | None = None
    outbox_depth: int = -1
    version: str = "of an unknown version"
    reembedding: Reembedding | None = None
    audit: AuditHead | None = None
    mode: str | None = None
    claim_threshold: float | None = None
    commands: str | None = None
    public_key: str | None = None
    calibration: str | None = None
    calibrated_at: str | None = None
    roster: RosterStatus | None = None
    odd: tuple[str, ...] = ()
    said: dict[str, Any] = {}

    @property
    def is_stale(self) -> bool:
        """Whether a gate that says it is online has been silent for too long."""
        return self.online and self.at is not None and age_s(self.at) > STALE_S

    @property
    def is_well(self) -> bool:
        return self.online and self.state in ("serving", "degraded") and not self.is_stale


def read_status(payload: bytes) -> Seen:
    """A status as far as it can be read: a gate of another version may say more, less, or in other words."""
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict) or _is_deep(said, DEEPEST):
        return Seen(odd=("the whole status",), said={"error": "its status cannot be read"})
    read: dict[str, Any] = {}
    odd = []
    for field in msgspec.structs.fields(Seen):
        if field.name in said and field.name not in ("odd", "said"):
            try:
                read[field.name] = msgspec.convert(said[field.name], field.type)
            except msgspec.ValidationError:
                odd.append(field.name)
    if read.get("at") is not None and isnan(age_s(read["at"])):
        odd.append("at")
        del read["at"]
    return Seen(**read, odd=tuple(odd), said=said)


def _is_deep(value: object, most: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not most or any(_is_deep(one, most - 1) for one in inner)


def age_s(instant: str) -> float:
    """Seconds since `instant`; NaN if that is not a time."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()
    except (ValueError, TypeError):
        return float("nan")
