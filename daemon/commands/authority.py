"""Who may ask what: the proof that a command comes from the holder of a key, and how far the key reaches.

A signature proves who wrote a command and for which topic. It does not prove that the command is new: the order of commands and the answers
that are kept do that.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.commands.outcome import Refusal
from daemon.core import signing
from daemon.core.buckets import Bucket
from daemon.core.messages import (
    LANES,
    MAX_ENVELOPE_BYTES,
    Command,
    MessageError,
    Reembed,
    Resync,
    Revoke,
    Suspend,
    leaf_of,
    op_of,
    readable_id,
    too_large,
)
from daemon.core.values import Person


@dataclass(frozen=True, slots=True)
class Key:
    """Somebody's key for commands: the public half, the ops that it may ask for, the gates where, and the grants.

    No `gates` means all gates of the box. `rate` is in commands a minute, 1 at least.
    """

    public: Ed25519PublicKey
    ops: frozenset[str]
    gates: tuple[str, ...]
    grants: frozenset[str]
    rate: float


@dataclass(frozen=True, slots=True)
class Authority:
    """What the sender of a command may do. Without a key that is anybody who may publish at the broker."""

    grants: frozenset[str] = frozenset()
    name: str | None = None
    key: Key | None = None

    @property
    def gates(self) -> tuple[str, ...] | None:
        """The only gates that the sender may let somebody pass; None for all."""
        return (self.key.gates or None) if self.key is not None else None

    def reaches(self, record: Person) -> bool:
        """Whether somebody with this record can pass no gate but those of the sender."""
        return self.gates is None or (record.gates is not None and set(record.gates) <= set(self.gates))

    def need_reach(self, record: Person) -> None:
        """Raises Refusal for a record that the sender may neither make nor change."""
        if not self.reaches(record):
            # Not for which gates it is: that is none of the sender's business.
            detail = f"the key {self.name} is for {' and '.join(self.gates or ())} only, and the record reaches further"
            raise Refusal("wrong_gate", detail)

    def kept_as(self, command_id: str) -> str:
        """Under which id the answer is kept. An id is its sender's own: nobody takes the id of another one's command, or its answer."""
        return command_id if self.key is None else f"{self.key.public.public_bytes_raw().hex()}/{command_id}"


MOST_COUNTED = 1_000

UNPROVED = Authority()
"""Of a sender who has proved nothing yet."""


@dataclass(slots=True)
class Authorities:
    """Knows the keys, by name. With any, every command must be signed; without, none is, and `grants` holds for all of them."""

    keys: Mapping[str, Key]
    _used: dict[str, Bucket] = field(default_factory=dict)
    _counted: deque[tuple[str, UUID]] = field(default_factory=lambda: deque(maxlen=MOST_COUNTED))

    def opened(self, topic: str, payload: bytes, grants: frozenset[str]) -> tuple[bytes, Authority]:
        """The command that `payload`, which came on `topic`, carries, still unread, and its sender's authority.

        Costs one signature at most. Raises MessageError for what nobody with a key has signed for this topic.
        """
        if len(payload) > MAX_ENVELOPE_BYTES:
            raise too_large(payload, MAX_ENVELOPE_BYTES)
        envelope = signing.envelope(payload)
        if envelope is None:
            if self.keys:
                detail = "this gate takes signed commands only: use `ostiaryctl --key FILE`"
                raise MessageError("unsigned", detail, readable_id(payload))
            return payload, Authority(grants)
        body = envelope.body.encode()
        key = self.keys.get(envelope.key)
        if key is None:
            detail = "this gate's configuration has no [commands.keys] of this name" if self.keys else "this gate has no [commands.keys]"
            raise MessageError("unknown_key", detail, readable_id(body))
        if not signing.holds(key.public, topic, body, envelope.sig):
            detail = f"not signed by the key that this gate knows as {envelope.key}, or not for this topic"
            raise MessageError("bad_signature", detail, readable_id(body))
        return body, Authority(key.grants, envelope.key, key)

    def count(self, authority: Authority, command: Command, at_s: float) -> None:
        """Count a command at `at_s` (seconds of a clock that never steps). Raises MessageError if the key has used up its rate.

        Who must be shut out is shut out at any rate.
        """
        if authority.key is None or authority.name is None or isinstance(command, Revoke | Suspend):
            return
        rate = authority.key.rate
        if not self._used.setdefault(authority.name, Bucket(rate / 60, rate)).allows(at_s):
            detail = f"the key {authority.name} may send {authority.key.rate:g} commands a minute; send it again later"
            raise MessageError("too_many", detail, str(command.command_id))
        self._counted.append((authority.name, command.command_id))

    def counted(self, authority: Authority, command: Command) -> bool:
        """Whether this very command of a key was counted lately: whoever may publish can record it and send it again."""
        return (authority.name, command.command_id) in self._counted

    def check(self, authority: Authority, command: Command, gate: str, topic: str) -> None:
        """Raises Refusal unless the sender may ask this of this gate, and on this topic."""
        op, lane = op_of(command), leaf_of(topic)
        taken = LANES.get(lane, frozenset())
        if op not in taken:
            raise Refusal("wrong_topic", f"`{op}` is not taken on {lane}, which takes {', '.join(sorted(taken)) or 'nothing'}")
        key = authority.key
        if key is None:
            return
        if op not in key.ops:
            raise Refusal("not_authorised", f"`{op}` is not among commands.keys.{authority.name}.ops in this gate's configuration")
        if key.gates and gate not in key.gates:
            raise Refusal("wrong_gate", f"the key {authority.name} may act at {' and '.join(key.gates)}, and this is {gate}")
        if key.gates and isinstance(command, Resync):
            raise Refusal("wrong_gate", f"the roster is for all gates, and the key {authority.name} may act at {' and '.join(key.gates)}")
        if key.gates and isinstance(command, Reembed):
            raise Refusal("wrong_gate", f"the model serves all gates, and the key {authority.name} may act at {' and '.join(key.gates)}")
