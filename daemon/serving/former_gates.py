"""Gates that the configuration no longer has take their leave: nobody else may speak for them at the broker, or clear what they left."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from daemon.config import Config
from daemon.core.counts import counted
from daemon.core.messages import DecisionMessage, encode, topic
from daemon.core.values import Outgoing
from daemon.edges.journal import fields
from daemon.edges.mqtt import VisitError, aside, take_leave
from daemon.edges.store import Store, StoreError
from daemon.serving.signature import Sign

log = logging.getLogger("ostiary")

AGAIN_S = 60.0
MOST = 200
"""So many waiting messages of a gate are sent in one go."""


@dataclass(slots=True)
class _Try:
    gate: str
    rows: Sequence[int]
    complete: bool
    taken: Sequence[int] = ()
    error: VisitError | None = None


class FormerGates:
    """Used by the thread that owns the store; the broker is waited for in a thread of its own. `client_id` makes the beginning of a gate's
    client ids. `clock` never steps (seconds)."""

    def __init__(
        self, config: Config, store: Store, client_id: Callable[[str], str], sign: Sign, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._store, self._client_id, self._sign, self._clock = config, store, client_id, sign, clock
        self._left: list[str] = []
        self._due_s = clock()
        self._thread: threading.Thread | None = None
        self._tried: _Try | None = None
        self._said: set[str] = set()
        try:
            known = store.gates()
            self._left = [gate for gate in known if gate not in config.gates and gate not in config.other_gates]
            self._note()
        except StoreError as error:  # the next start looks again
            log.warning("which gates were configured before is not known: %s; %s", error.message, error.hint)

    def tend(self) -> None:
        """Take the next step, if there is one. Never waits."""
        if self._tried is not None:
            if self._thread is not None and self._thread.is_alive():
                return
            tried, self._tried, self._thread = self._tried, None, None
            self._ended(tried)
        elif self._left and self._clock() >= self._due_s:
            try:
                self._begin(self._left[0])
            except StoreError:
                self._due_s = self._clock() + AGAIN_S

    def _begin(self, gate: str) -> None:
        rows = self._store.waiting(gate)
        messages = [self._outgoing(row, gate) for row in rows[:MOST]]
        tried = _Try(gate, rows[:MOST], len(rows) <= MOST)
        mqtt, site, client_id = self._config.mqtt.of(gate), self._config.site, self._client_id(gate)

        def leave() -> None:
            tried.taken = take_leave(mqtt, client_id, topic(site, gate, "status"), [one for one in messages if one is not None])

        self._tried = tried
        self._thread = aside(f"former-{gate}", leave, tried)

    def _outgoing(self, row: int, gate: str) -> Outgoing | None:
        """A message of the outbox as it is sent late; None for one that does not open."""
        message = self._store.message(row, gate)
        if message is None:
            return None
        payload = message.payload
        if message.valid_until is not None:
            payload = encode(msgspec.structs.replace(msgspec.json.decode(payload, type=DecisionMessage), live=False))
        return Outgoing(row, message.topic, self._sign(message.topic, payload))

    def _ended(self, tried: _Try) -> None:
        gate, error = tried.gate, tried.error
        if error is not None:
            self._due_s = self._clock() + AGAIN_S
            self._left.append(self._left.pop(0))
            if gate not in self._said:
                self._said.add(gate)
                where = topic(self._config.site, gate, "status")
                log.warning(
                    "gate %s is no longer configured, and its last status is still at the broker: %s; %s, or clear %s yourself: "
                    "`ostiaryctl status --forget %s` with a login that may write there",
                    gate, error.message, error.hint, where, gate, extra=fields(gate=gate),
                )  # fmt: skip
            return
        try:
            self._store.sent(list(tried.rows))
            if tried.complete:
                self._left.remove(gate)
                self._note()
                log.info(
                    "gate %s is no longer configured: its status is cleared, %s sent, and commands that waited for it alone "
                    "are dropped; send revocations again that were not answered",
                    gate, counted(len(tried.taken), "message"), extra=fields(gate=gate, sent=len(tried.taken)),
                )  # fmt: skip
        except StoreError:
            self._due_s = self._clock() + AGAIN_S

    def _note(self) -> None:
        gates = sorted({*self._config.gates, *self._left})
        if gates != self._store.gates():
            with self._store.transaction():
                self._store.put_gates(gates)
