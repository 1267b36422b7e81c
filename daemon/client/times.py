"""The fields that every command has, and how long a command may wait for its gate."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

LIFETIME_S = 60
CAPTURE_LIFETIME_S = 15
"""A capture waits less. Later, somebody else may be in front of the camera."""


def times(lifetime_s: float = LIFETIME_S) -> dict[str, Any]:
    """A new id, issued now, and valid for `lifetime_s` seconds."""
    now = datetime.now(UTC)
    return {"command_id": uuid4(), "issued_at": now, "expires_at": now + timedelta(seconds=lifetime_s)}
