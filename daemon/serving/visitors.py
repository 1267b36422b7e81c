"""Pictures of people whom a gate does not know, for a desk: sealed, bounded in number and rate, and gone after some minutes.

They live in memory and at the broker only, and are lost if the broker is away. The broker drops each by itself (message expiry), also while
no gate runs. While this one runs it clears them, at the end of their time or when the gate says something else about the passage.
"""

import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from daemon.config import Config
from daemon.core import sealed_box
from daemon.core.buckets import Bucket
from daemon.core.messages import VisitorMessage, encode, utc, visitor_topic
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.portrait import jpeg
from daemon.core.values import Image, Outgoing, Reason
from daemon.edges.metrics import Metrics
from daemon.serving.gate_state import Gate
from daemon.serving.sender import GateBroker
from daemon.serving.signature import Sign

MOST = 50
"""So many pictures of a gate are at the broker; one more clears the oldest."""
AT_ONCE, EVERY_S = 10, 5.0
"""So many may come at once, and one in so many seconds in the long run. The others are counted and not shared."""


PATIENCE_S = 2.0
"""For so long a picture lets every view go first. A box that is always busy shares it all the same."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A picture that is to be shared, and what its message says. `since_s` is `seen_at` on a clock that never steps."""

    passage: int
    said: "_Said"
    seen_at: float
    since_s: float
    image: Image


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said last about a passage: unknown. `name` is what messages call the passage."""

    name: str
    event_id: str


@dataclass(frozen=True, slots=True)
class _Shared:
    """A picture at the broker, until `gone_s` on a clock that never steps."""

    topic: str
    passage: int
    gone_s: float


class Sharing:
    """The pictures of one gate. `clock` never steps (seconds), `wall` is UTC seconds."""

    def __init__(
        self, site: str, gate: str, minutes: float, key: X25519PublicKey, link: GateBroker, metrics: Metrics, clock: Callable[[], float],
        wall: Callable[[], float], sign: Sign,
    ) -> None:  # fmt: skip
        self._site, self._gate, self._seconds, self._key, self._link = site, gate, minutes * 60, key, link
        self._metrics, self._clock, self._wall, self._sign = metrics, clock, wall, sign
        self._rate = Bucket(1 / EVERY_S, AT_ONCE)
        self._waiting: deque[_Waiting] = deque()
        self._shared: deque[_Shared] = deque()
        self._over: deque[_Shared] = deque()
        self._unknown: dict[int, _Said] = {}

    def decided(self, decision: Decision, name: str, event_id: str) -> None:
        """A decision about a passage of this name is stored."""
        passage = decision.passage
        if decision.reason is Reason.NO_MATCH:
            self._unknown[passage] = _Said(name, event_id)
            return
        self._unknown.pop(passage, None)
        self._waiting = deque(one for one in self._waiting if one.passage != passage)
        self._end([one for one in self._shared if one.passage == passage])

    def take(self, strangers: Sequence[tuple[int, Image]], passages: Collection[int]) -> None:
        """The portraits of people whom nobody knows, each of its passage; `passages` go on. Those whose decision the disk did not take are
        left out."""
        for passage, image in strangers:
            said = self._unknown.get(passage)
            if said is None:
                continue
            now_s = self._clock()
            if self._rate.allows(now_s):
                self._waiting.append(_Waiting(passage, said, self._wall(), now_s, image))
            else:
                self._metrics.visitor(self._gate, "limited")
        for ended in self._unknown.keys() - set(passages):
            del self._unknown[ended]

    def tend(self, *, idle: bool) -> bool:
        """Clear what is over, and share one picture, which takes two milliseconds, if nothing else waits or it has waited for PATIENCE_S.
        Returns whether there is more to share."""
        now_s = self._clock()
        self._end([one for one in self._shared if one.gone_s <= now_s])
        while self._over and (self._over[0].gone_s + self._seconds <= now_s or self._clear(self._over[0])):
            self._over.popleft()  # the broker has dropped by itself what it could not be asked to clear
        if self._waiting and (idle or now_s - self._waiting[0].since_s >= PATIENCE_S):
            waiting = self._waiting.popleft()
            left_s = waiting.since_s + self._seconds - now_s
            if left_s > 0:
                self._share(waiting, now_s, left_s)
        return bool(self._waiting)

    def _share(self, waiting: _Waiting, now_s: float, left_s: float) -> None:
        ident = secrets.token_hex(8)
        topic = visitor_topic(self._site, self._gate, ident)
        message = VisitorMessage(
            id=ident,
            gate=self._gate,
            passage=waiting.said.name,
            event_id=waiting.said.event_id,
            seen_at=utc(waiting.seen_at),
            gone_at=utc(waiting.seen_at + self._seconds),
            key=sealed_box.fingerprint(self._key),
            sealed=sealed_box.seal(self._key, topic, jpeg(waiting.image), secrets.token_bytes(sealed_box.KEY_BYTES)),
        )
        said = Outgoing(0, topic, self._sign(topic, encode(message)), retain=True, expiry_s=ceil(left_s))
        sent = self._link.publish_aside(said)
        self._metrics.visitor(self._gate, "shared" if sent else "unsent")
        if not sent:
            return
        self._shared.append(_Shared(topic, waiting.passage, now_s + left_s))
        self._end(list(self._shared)[:-MOST])

    def _end(self, gone: list[_Shared]) -> None:
        self._shared = deque(one for one in self._shared if one not in gone)
        self._over.extend(gone)

    def _clear(self, one: _Shared) -> bool:
        return self._link.publish_aside(Outgoing(0, one.topic, b"", retain=True))


class Visitors:
    """Those of all gates that share them."""

    def __init__(
        self, config: Config, gates: Mapping[str, Gate], metrics: Metrics, clock: Callable[[], float], wall: Callable[[], float], sign: Sign
    ) -> None:
        self._gates = gates
        own = {gate: config.at(gate).decision for gate in gates}
        self._sharing = {
            gate: Sharing(
                config.site, gate, decision.share_unknown, sealed_box.public_key(decision.share_unknown_to), gates[gate].link, metrics,
                clock, wall, sign,
            )
            for gate, decision in own.items() if decision.share_unknown
        }  # fmt: skip

    def decided(self, decision: Decision, name: str, event_id: str) -> None:
        """A decision is stored; `name` is what messages call its passage."""
        if (sharing := self._sharing.get(decision.gate)) is not None:
            sharing.decided(decision, name, event_id)

    def tend(self, *, idle: bool) -> bool:
        """Go on a little; `idle` says that nothing else waits. Returns whether there is more to share."""
        more = False
        for gate, sharing in self._sharing.items():
            keeper = self._gates[gate].keeper
            strangers, keeper.strangers = keeper.strangers, []
            sharing.take(strangers, keeper.passages)
            more |= sharing.tend(idle=idle)
        return more
