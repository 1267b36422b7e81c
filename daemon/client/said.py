"""What is heard over a link: the statuses, answers, decisions and pictures of gates. It is others' text, and has limits."""

from dataclasses import dataclass
from typing import Any

import msgspec

from daemon.client.failures import SAME_VERSION
from daemon.client.seen import Seen, read_status
from daemon.core import messages as m

LONGEST = {"status": 256 << 10, "decision": 32 << 10, "gap": 32 << 10, "visitor": 384 << 10, "result": 8 << 20}
"""How many bytes a gate's message may have. A gate's own have far less; a page of a list has most."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether the broker is there. `trouble` and `hint` are why not, and what to do."""

    connected: bool
    trouble: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class GateStatus:
    """What a gate said of itself; `seen` is None when its status was cleared: the gate is gone."""

    gate: str
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A gate's answer to anybody's command."""

    gate: str
    result: m.Result


@dataclass(frozen=True, slots=True)
class Shared:
    """The sealed picture of an unknown visitor, as the gate published it; an empty `payload` takes it back."""

    gate: str
    visitor: str
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Odd:
    """A message that nobody can believe or read; `why` in words."""

    topic: str
    why: str


Said = LinkState | GateStatus | Answered | Shared | Odd | m.DecisionMessage | m.GapMessage

_DECODERS: dict[str, msgspec.json.Decoder[m.Result] | msgspec.json.Decoder[m.DecisionMessage] | msgspec.json.Decoder[m.GapMessage]] = {
    "result": msgspec.json.Decoder(m.Result),
    "decision": msgspec.json.Decoder(m.DecisionMessage),
    "gap": msgspec.json.Decoder(m.GapMessage),
}


def place(topic: str) -> tuple[str, str] | None:
    """The gate and the kind of a message on this topic, None for one that no gate has."""
    parts = topic.split("/")
    known = len(parts) == (6 if parts[4:5] == ["visitor"] else 5) and parts[4] in LONGEST
    return (parts[3], parts[4]) if known and parts[3] != "all" and all(map(m.is_topic_segment, parts[3:])) else None


def read(topic: str, payload: bytes) -> Said:
    """What a gate says with this message, whose `place` is known. An empty payload clears a status or a picture."""
    _, _, _, gate, leaf, *more = topic.split("/")
    if len(payload) > LONGEST[leaf]:
        return Odd(topic, f"a message of {len(payload) / 1e3:,.0f} kB: a {leaf} has at most {LONGEST[leaf] >> 10} KiB")
    match leaf:
        case "status":
            return GateStatus(gate, read_status(payload) if payload else None)
        case "visitor":
            return Shared(gate, more[0], topic, payload)
        case _:
            return _decoded(topic, payload, gate, leaf)


def _decoded(topic: str, payload: bytes, gate: str, leaf: str) -> Answered | Odd | m.DecisionMessage | m.GapMessage:
    said: Any
    try:
        said = _DECODERS[leaf].decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Odd(topic, f"a message that cannot be read: {error}; {SAME_VERSION}")
    if isinstance(said, m.Result):
        return Answered(gate, said)
    own: m.DecisionMessage | m.GapMessage = said
    return own if own.gate == gate else Odd(topic, f"a message of another gate on the topic of gate {gate}")
