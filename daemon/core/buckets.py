"""How often something may happen: token buckets. They read no clock; the time (seconds) must be of one that never steps."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """Allows `burst` at once, and `rate_s` a second in the long run."""

    rate_s: float
    burst: float
    _tokens: float = field(init=False)
    _at_s: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def allows(self, now_s: float) -> bool:
        """Whether it may happen now; if so, it counts."""
        self._tokens = min(self.burst, self._tokens + max(0.0, now_s - self._at_s) * self.rate_s)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


MOST_SENDERS = 1_000


@dataclass(slots=True)
class Refusals:
    """How many messages that are refused without being kept get an answer. So a flood of them costs neither disk nor network.

    Each sender (a key, or None for whoever has none) at each gate has a bucket, and so has the gate, for all its senders.
    """

    gate: tuple[float, float] = (5.0, 50.0)
    sender: tuple[float, float] = (2.0, 20.0)
    _gates: dict[str, Bucket] = field(default_factory=dict)
    _senders: dict[tuple[str, str | None], Bucket] = field(default_factory=dict)

    def answered(self, gate: str, sender: str | None, now_s: float) -> bool:
        """Whether a refusal of a message of `sender` at `gate` is answered."""
        if len(self._senders) > MOST_SENDERS:  # names of keys that do not exist, perhaps; the gate's own bucket still holds
            self._senders.clear()
        mine = self._senders.setdefault((gate, sender), Bucket(*self.sender))
        return mine.allows(now_s) and self._gates.setdefault(gate, Bucket(*self.gate)).allows(now_s)
