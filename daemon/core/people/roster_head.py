"""The roster's head: what the keeper says the whole roster is, and for how long that counts.

A broker can lose records, hide them, or come back from an old backup. So nobody from the roster is accepted unless a fresh head says that
what this box holds is everything. The head has the number of records and a sum over all of them (each one's SHA-256 as a number, modulo
2^256: Bellare and Micciancio 1997; whoever cannot sign records cannot choose them). A sum can be followed record by record, in any order.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SETTLE_S = 20.0
"""A head and the records that it counts come from different senders. For so long they may disagree."""
LONGEST_LIFE_S = 3600.0
CLOCKS_S = 60.0
"""How far the keeper's clock may be ahead."""
_MODULUS = 1 << 256

Standing = Literal["complete", "no_head", "stale", "incomplete"]
"""Whether a box holds the whole roster: yes; no head was ever heard; the newest head has expired; records are missing."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the keeper says the roster is. It travels signed, on a topic that names the site and the keeper."""

    number: Annotated[int, Meta(ge=1, description="grows with every head")]
    records: Annotated[int, Meta(ge=0, description="how many records there are, of all writers")]
    sum: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="the sum of all records, 64 hexadecimal digits")]
    made_at: Annotated[float, Meta(description="UTC seconds")]
    expires_at: Annotated[float, Meta(description="UTC seconds; nothing counts from then on")]


@dataclass(frozen=True, slots=True)
class Sum:
    """The number of records, and their sum."""

    records: int = 0
    value: int = 0

    def changed(self, before: bytes | None, after: bytes) -> "Sum":
        """With one record (its `digest`) in the place of another, or beside the others."""
        value = self.value + _number(after) - (_number(before) if before is not None else 0)
        return Sum(self.records + (before is None), value % _MODULUS)

    @property
    def text(self) -> str:
        return f"{self.value:064x}"

    def is_of(self, head: Head) -> bool:
        return self.records == head.records and self.text == head.sum


@dataclass(slots=True)
class Coverage:
    """Whether a box holds the whole roster. `highest` is the number of the newest head that this box has ever believed; the box keeps it,
    so that an older head cannot come back. Times are UTC seconds."""

    highest: int = 0
    sum: Sum = Sum()
    head: Head | None = None
    _matched: bool = False
    _since: float | None = None
    """Since when what is held and what the heads say have differed."""
    _recent: deque[tuple[float, Sum]] = field(default_factory=deque)

    def change(self, before: bytes | None, after: bytes, now: float) -> None:
        """A record was taken, in the place of the one with the digest `before`."""
        self._recent.append((now, self.sum))
        while self._recent[0][0] < now - SETTLE_S:
            self._recent.popleft()
        self.sum = self.sum.changed(before, after)
        self._compare(now)

    def hear(self, head: Head, now: float) -> bool:
        """Take a head that the keeper has signed. Whether it counts: an older, expired or too long-lived one does not."""
        life = head.expires_at - head.made_at
        if head.number < self.highest or not 0 < life <= LONGEST_LIFE_S or not head.made_at - CLOCKS_S <= now < head.expires_at:
            return False
        self.highest, self.head = head.number, head
        self._compare(now)
        return True

    def standing(self, now: float) -> Standing:
        if self.head is None:
            return "no_head"
        if not self.head.made_at - CLOCKS_S <= now < self.head.expires_at:
            return "stale"
        settling = self._since is not None and now - self._since < SETTLE_S
        return "complete" if self._matched and (self._since is None or settling) else "incomplete"

    def _compare(self, now: float) -> None:
        """Records that came after the head was made are newer than what it counts, and take nothing from it."""
        if self.head is None:
            return
        if self.sum.is_of(self.head) or any(earlier.is_of(self.head) for _, earlier in self._recent):
            self._matched, self._since = True, None
        elif self._since is None:
            self._since = now


def _number(digest: bytes) -> int:
    return int.from_bytes(hashlib.sha256(digest).digest(), "big")
