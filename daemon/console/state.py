"""What the console knows of the gates: their statuses, and the last decisions. It is in memory and begins anew with every start."""

import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.client.said import LinkState
from daemon.client.seen import Seen
from daemon.console.roles import Role
from daemon.console.streams import Streams
from daemon.core import messages as m
from daemon.core.plain import printable
from daemon.core.status import CONNECTION_LOST, STOPPED, TABLE

log = logging.getLogger("ostiary.console")

KEPT, GAPS_KEPT = 1000, 200
CHANGES = ("enroll", "update", "revoke", "suspend", "resume")
"""The commands that change a person's record."""

_STEPS = {str(word): row.step for word, row in TABLE.items()}
_OFFLINE = {
    CONNECTION_LOST: ("the broker has lost the gate", "check the gate's box, its power and its network"),
    STOPPED: ("the gate's daemon was stopped", "start it again when its maintenance is over"),
}


class State:
    """Not for several threads: everything happens in the console's loop."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._decisions: OrderedDict[tuple[str, str], m.DecisionMessage] = OrderedDict()
        self._gaps: deque[m.GapMessage] = deque(maxlen=GAPS_KEPT)
        self._statuses: dict[str, Seen] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._link: dict[str, Any] = {"connected": False, "trouble": "the console is starting; wait a moment"}

    @property
    def link(self) -> Mapping[str, Any]:
        """Whether the broker is there, and if not, why."""
        return self._link

    @property
    def statuses(self) -> Mapping[str, Seen]:
        """What each gate last said of itself."""
        return self._statuses

    def gates(self) -> list[dict[str, Any]]:
        """All gates as the API tells them."""
        return [self._told[name] for name in sorted(self._told)]

    def decided(self, message: m.DecisionMessage) -> None:
        """A decision has come. One that comes again is not told again."""
        message = msgspec.structs.replace(message, sig=msgspec.UNSET)
        key = message.gate, message.event_id
        if key not in self._decisions:
            self._decisions[key] = message
            if len(self._decisions) > KEPT:
                self._decisions.popitem(last=False)
            self._streams.tell("decision", message)

    def missing(self, message: m.GapMessage) -> None:
        """Decisions that will never come."""
        message = msgspec.structs.replace(message, sig=msgspec.UNSET)
        self._gaps.append(message)
        self._streams.tell("gap", message)

    def sharing_gate(self) -> str | None:
        """The gate that enrols for all gates, because its box shares people with the others; None where all have to be asked.

        Each box would make templates of its own from the same pictures, so boxes that share a roster refuse an enrolment for all.
        """
        online = {gate: seen for gate, seen in self._statuses.items() if seen.online}
        if not online or any(seen.roster is None for seen in online.values()):
            return None
        return min(online, key=lambda gate: (not _is_complete(online[gate]), gate))

    def said(self, gate: str, seen: Seen | None) -> None:
        """A gate's status, or None for a gate whose status was cleared."""
        if seen is None:
            self._statuses.pop(gate, None)
            self._told.pop(gate, None)
            self._streams.tell("gate", {"gate": gate, "stale": False, "status": None, "advice": []})
        else:
            self._statuses[gate] = seen
            self._tell_gate(gate)

    def changed(self, gate: str, result: m.Result) -> None:
        """Somebody has changed a record, here or elsewhere."""
        if result.person is not None:
            what = {"person": result.person, "op": result.op, "gate": gate, "status": result.status}
            self._streams.tell("people", what, Role.GUARD)

    def tick(self, link: LinkState) -> None:
        """Now and then: whether the broker is there, and whose status has become stale."""
        trouble = None if link.connected else "; ".join(part for part in (link.trouble, link.hint) if part)
        now = {"connected": link.connected, "trouble": trouble}
        if now != self._link:
            self._link = now
            if trouble is None:
                log.info("connected to the broker")
            else:
                log.warning("no connection to the broker: %s", printable(trouble))
            self._streams.tell("link", now)
        for gate, seen in self._statuses.items():
            if self._told[gate]["stale"] != seen.is_stale:
                self._tell_gate(gate)

    def decisions(self, gate: str | None, decision: str | None, person: str | None, limit: int) -> dict[str, Any]:
        """The last decisions, newest first, and gaps."""
        found = []
        for one in reversed(self._decisions.values()):
            if (gate, decision, person) == (gate and one.gate, decision and one.decision, person and one.person):
                found.append(msgspec.to_builtins(one))
                if len(found) == limit:
                    break
        gaps = [msgspec.to_builtins(one) for one in reversed(self._gaps) if gate is None or one.gate == gate]
        return {"decisions": found, "gaps": gaps}

    def _tell_gate(self, gate: str) -> None:
        seen = self._statuses[gate]
        read = msgspec.to_builtins(seen)
        del read["said"], read["odd"]
        more = {name: value for name, value in seen.said.items() if name not in read and name != "sig"}
        entry = {"gate": gate, "stale": seen.is_stale, "status": more | read, "advice": [advice(line) for line in seen.reasons]}
        if entry != self._told.get(gate):
            self._told[gate] = entry
            self._streams.tell("gate", entry)


def advice(reason: str) -> dict[str, str]:
    """A reason of a status in its parts: the word, what is so, and the next step."""
    word, _, line = reason.partition(": ")
    if word in _OFFLINE:
        so, step = _OFFLINE[word]
        return {"word": word, "line": so, "next": step}
    step = _STEPS.get(word, "")
    told = line.removesuffix(f"; {step}") if step else line
    return {"word": word, "line": told or word.replace("_", " "), "next": step}


def _is_complete(seen: Seen) -> bool:
    return seen.roster is not None and seen.roster.standing == "complete"
