"""Unknown visitors: pictures that gates have sealed for this console, in memory until their time is over or a gate takes them back."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.client.said import Shared
from daemon.config.policy import LONGEST_SHARE_MIN
from daemon.console.problem import Problem
from daemon.console.roles import Role
from daemon.console.streams import Streams
from daemon.core import sealed_box
from daemon.core.messages import VisitorMessage, utc
from daemon.core.values import Reason

MOST = 500
"""Pictures that are kept."""
LONGEST = timedelta(minutes=LONGEST_SHARE_MIN)
"""No picture stays longer, whatever its message says."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A picture that is still sealed, and the topic that it came on."""

    topic: str
    message: VisitorMessage
    gone_at: datetime

    def told(self) -> dict[str, Any]:
        """The visitor as the API tells it."""
        one = self.message
        return {
            "id": one.id,
            "gate": one.gate,
            "seen_at": one.seen_at,
            "gone_at": utc(self.gone_at.timestamp()),
            "reason": Reason.NO_MATCH.value,
        }


class Visitors:
    """All visitors by their id; without a key there are none. Used in one loop only."""

    def __init__(self, key: X25519PrivateKey | None, streams: Streams) -> None:
        self._key, self._streams = key, streams
        self._mine = sealed_box.fingerprint(key.public_key()) if key is not None else ""
        self._here: OrderedDict[str, Visitor] = OrderedDict()

    def heard(self, said: Shared) -> str | None:
        """A picture has come or was taken back. Why it cannot be shown, if so."""
        if self._key is None:
            return None
        if not said.payload:
            self.gone(said.visitor)
            return None
        try:
            message = msgspec.json.decode(said.payload, type=VisitorMessage)
            until = datetime.fromisoformat(message.gone_at).astimezone(UTC)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            return f"a picture that cannot be read: {error}"
        if (message.id, message.gate) != (said.visitor, said.gate):
            return "a picture of another gate"
        if message.key != self._mine:
            return "a picture that is sealed for another console: compare decision.share_unknown_to with console.visitor_key"
        now = datetime.now(UTC)
        until = min(until, now + LONGEST)
        if until > now:
            self._here[message.id] = Visitor(said.topic, message, until)
            self._streams.tell("visitor", self._here[message.id].told(), Role.DESK)
            while len(self._here) > MOST:
                self.gone(next(iter(self._here)))
        return None

    def tick(self) -> None:
        """Forget those whose time is over."""
        now = datetime.now(UTC)
        for ident in [ident for ident, one in self._here.items() if one.gone_at <= now]:
            self.gone(ident)

    def gone(self, ident: str) -> None:
        """Forget one."""
        if self._here.pop(ident, None) is not None:
            self._streams.tell("visitor_gone", {"id": ident}, Role.DESK)

    def all(self) -> list[dict[str, Any]]:
        """All visitors, the newest first. Raises Problem where the console has no key."""
        self._need_key()
        return sorted((one.told() for one in self._here.values()), key=lambda one: str(one["seen_at"]), reverse=True)

    def find(self, ident: str) -> Visitor:
        """The visitor with this id. Raises Problem."""
        self._need_key()
        found = self._here.get(ident)
        if found is None or found.gone_at <= datetime.now(UTC):
            raise Problem(404, "visitor_gone", "this picture is gone", "load the page anew")
        return found

    def picture(self, visitor: Visitor) -> bytes:
        """The JPEG file. Raises Problem."""
        try:
            return sealed_box.open_sealed(self._need_key(), visitor.topic, visitor.message.sealed)
        except sealed_box.BoxError as error:
            raise Problem(
                502, "sealed", f"the picture cannot be opened: {error}", "compare console.visitor_key with the gate's key"
            ) from None

    def _need_key(self) -> X25519PrivateKey:
        if self._key is None:
            raise Problem(
                404, "off", "unknown visitors are not shown here", "set console.visitor_key, and decision.share_unknown at the gates"
            )
        return self._key


def off() -> Problem:
    """Nobody has set up the pictures of unknown visitors."""
    return Problem(404, "off", "unknown visitors are not shown here", "set console.visitor_key, and decision.share_unknown at the gates")
