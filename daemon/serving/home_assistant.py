"""Home Assistant is told about the gates, again whenever the broker may have forgotten it, and what no longer holds is cleared."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from daemon.config import Config
from daemon.core.home_assistant import Options, discovery, node
from daemon.edges.journal import fields
from daemon.edges.mqtt import Visit, VisitError, aside
from daemon.edges.store import Store, StoreError

log = logging.getLogger("ostiary")

AGAIN_S = 60.0


@dataclass(slots=True)
class _Task:
    """What the broker has to retain for one gate: payloads by topic, empty ones to clear what is there. `told` is on which of the gate's
    connections it was said last; `warned` says that the journal knows why it cannot be said."""

    messages: dict[str, bytes]
    told: int = 0
    due_s: float = 0.0
    warned: bool = False


@dataclass(slots=True)
class _Try:
    gate: str
    connection: int
    error: VisitError | None = None


class HomeAssistant:
    """Used by the thread that owns the store; the broker is waited for in a thread of its own, on a connection of its own, so that nothing
    here can stand before a decision. Before anything is said the store notes its topics: they can be cleared at any later start.

    `client_id` makes the beginning of a gate's client ids. `connections` says how often a gate's own connection to the broker came up: a
    broker may have lost what it retained. `clock` never steps (seconds).
    """

    def __init__(
        self, config: Config, store: Store, client_id: Callable[[str], str], version: str, connections: Callable[[str], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._config, self._store, self._client_id, self._connections, self._clock = config, store, client_id, connections, clock
        self._thread: threading.Thread | None = None
        self._tried: _Try | None = None
        try:
            noted = store.discovered()
        except StoreError as error:  # the next start looks again
            log.warning("what Home Assistant was told before is not known: %s; %s", error.message, error.hint)
            noted = {}
        own = config.home_assistant
        options = Options(prefix=own.prefix, version=version, names=config.enrolment.publish_names, capture=own.capture_button)
        self._tasks: dict[str, _Task] = {}
        for gate in sorted({*config.gates, *noted} - {*config.other_gates}):  # a gate that moved is told by its new box
            wanted = discovery(config.site, gate, options) if own.enabled and gate in config.gates else {}
            messages = dict.fromkeys(noted.get(gate, ()), b"") | {topic: msgspec.json.encode(one) for topic, one in wanted.items()}
            if messages:
                self._tasks[gate] = _Task(messages)

    def tend(self) -> None:
        """Take the next step, if there is one. Never waits."""
        if self._tried is not None:
            if self._thread is not None and self._thread.is_alive():
                return
            tried, self._tried, self._thread = self._tried, None, None
            self._ended(tried)
            return
        for gate, task in self._tasks.items():
            connection = self._connections(gate) if gate in self._config.gates else task.told + 1
            if connection > task.told and self._clock() >= task.due_s:
                try:
                    self._note()
                    self._begin(_Try(gate, connection), dict(task.messages))
                except StoreError:
                    task.due_s = self._clock() + AGAIN_S
                return

    def _begin(self, tried: _Try, messages: dict[str, bytes]) -> None:
        here = node(self._config.site, tried.gate)
        mqtt, ident = self._config.mqtt.of(tried.gate), f"{self._client_id(tried.gate)}-home"
        hint = f"allow the gate's login to write {self._config.home_assistant.prefix}/+/{here}/+/config in the broker's ACL"

        def speak() -> None:
            with Visit(mqtt, ident, hint) as visit:
                for topic, payload in messages.items():
                    visit.publish(topic, payload, retain=True)

        self._tried = tried
        self._thread = aside(f"home-{tried.gate}", speak, tried)

    def _ended(self, tried: _Try) -> None:
        gate, error, task = tried.gate, tried.error, self._tasks[tried.gate]
        if error is not None:
            task.due_s = self._clock() + AGAIN_S
            if not task.warned:
                task.warned = True
                log.warning(
                    "gate %s: Home Assistant is not told about it: %s; %s", gate, error.message, error.hint, extra=fields(gate=gate)
                )  # fmt: skip
            return
        task.told, task.warned = tried.connection, False
        task.messages = {topic: payload for topic, payload in task.messages.items() if payload}
        if task.messages:
            log.info("gate %s: Home Assistant can find it under %s", gate, self._config.home_assistant.prefix, extra=fields(gate=gate))
        else:
            del self._tasks[gate]
            log.info("gate %s: what Home Assistant was told about it is cleared", gate, extra=fields(gate=gate))
        with suppress(StoreError):  # else more is cleared at the next start than has to be
            self._note()

    def _note(self) -> None:
        topics = {gate: sorted(task.messages) for gate, task in self._tasks.items()}
        if topics != self._store.discovered():
            with self._store.transaction():
                self._store.put_discovered(topics)
