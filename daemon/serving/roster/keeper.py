"""The keeper's part: it says what the whole roster is."""

from dataclasses import dataclass
from math import inf

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.core.people.roster_head import Coverage, Sum, head_said, made_head
from daemon.core.values import Outgoing
from daemon.serving.sender import Broker

SOON_S = 1.0
"""After a change the next head is made, and not more often."""
OFTEN = 20
"""So many heads are made in the life of one."""
HEAD_ROW = -1
"""Stands in the place of a row of the outbox: the head waits behind the records that it counts."""


@dataclass(slots=True)
class Keeper:
    """Owned by the engine. `life_s` is for how long a head counts. Times are seconds of a clock that never steps, and UTC seconds."""

    site: str
    name: str
    signer: Ed25519PrivateKey
    life_s: float
    coverage: Coverage
    link: Broker
    _said: dict[str, Sum] | None = None
    _said_s: float = -inf

    def tend(self, number: int, now_s: float, now: float) -> None:
        """Make the next head, with this number at the least, if one is due."""
        changed = self._said != self.coverage.writers
        if now_s - self._said_s < (SOON_S if changed else self.life_s / OFTEN):
            return
        head = made_head(self.coverage.writers, number=number, now=now, life_s=self.life_s)
        to, payload = head_said(head, self.site, self.name, self.signer)
        if self.link.publish(Outgoing(HEAD_ROW, to, payload, retain=True)):
            self._said, self._said_s = dict(self.coverage.writers), now_s

    def again(self) -> None:
        """There is a new connection, or the broker has lost the head."""
        self._said = None
