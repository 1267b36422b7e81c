"""A gate's link to its broker: one connection after the other, for as long as the daemon runs."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence

from daemon.config import MqttConfig
from daemon.core.messages import topic
from daemon.core.values import Incident, Link, LinkName, Outgoing
from daemon.edges.mqtt.backoff import Backoff
from daemon.edges.mqtt.bell import Bell
from daemon.edges.mqtt.client import Setup, tls_context
from daemon.edges.mqtt.connection import Connection
from daemon.edges.mqtt.news import Deliver, News

_log = logging.getLogger("ostiary.mqtt")
_generations = itertools.count(1)
"""Numbers every connection of the process, so that a receipt says on which of them its command came."""


class MqttLink:
    """Carries commands in and messages out, and survives brokers that restart, disappear or misbehave.

    `deliver` is called on the network thread with what the engine must know; it returns False when there is no room. What finds no room
    waits here and is offered again, and while a command waits nothing more is read from the broker.

    Nothing is carried over from one connection to the next. At every Link(up=True) the engine must offer again all rows that
    no Published has answered. (A Link(up=False) that found no room may be left out.)
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        site: str,
        gate: str,
        client_id: str,
        password: str | None,
        offline: bytes | None,
        deliver: Deliver,
        name: LinkName = "out",
        topics: tuple[str, ...] = (),
        always: tuple[str, ...] = (),
        wide: tuple[str, ...] = (),
    ) -> None:
        """`offline` is the last will, published retained on the gate's status topic; None leaves none. Commands come from `topics`; what is
        retained on the topics `always` comes with every connection, on those of `wide` when `replay` asks for it. Raises ConfigError for
        unusable TLS files."""
        will = None if offline is None else (topic(site, gate, "status"), offline)
        self._setup = Setup(config, gate, client_id, password, topics, will, tls_context(config), name, always, wide)
        self._news = News(gate, deliver)
        self._backoff = Backoff()
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards the two below; no connection is made once `_stopping` was set under it
        self._connection: Connection | None = None
        self._has_session = False
        self._bell: Bell | None = None  # there is one from `start` on
        self._thread: threading.Thread | None = None

    # ---- for the engine

    def start(self) -> None:
        """Connect in the background and keep trying. Does not fail because the broker is away."""
        self._bell = bell = Bell()
        name = f"mqtt-{self._setup.gate}-{self._setup.name}"
        self._thread = threading.Thread(target=self._run, args=(bell,), name=name, daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether commands arrive and messages go out: connected and subscribed."""
        connection = self._current()
        return connection is not None and connection.up

    def is_alive(self) -> bool:
        """Whether the network thread runs. If it does not, nothing will arrive any more, even if everything else looks normal."""
        return self._thread is not None and self._thread.is_alive() and not self._stopping.is_set()

    def publish(self, message: Outgoing) -> bool:
        """Hand a message over at QoS 1. False when it was not taken (not connected, or too many wait): offer it again later.

        A Published follows once the broker has answered, with `error` if it refused. Row 0 gets none.
        """
        connection = self._current()
        taken = connection is not None and connection.offer(message)
        self._ring()
        return taken

    def acknowledge(self, receipt: tuple[int, int, int]) -> None:
        """Acknowledge a Delivery to the broker. One of an earlier connection is ignored: the broker delivers it again anyway."""
        generation, mid, qos = receipt
        connection = self._current()
        if connection is not None and connection.generation == generation:
            connection.acknowledge(mid, qos)  # if it ends meanwhile, so does this acknowledgement
        self._ring()

    def replay(self, topics: Sequence[str]) -> bool:
        """Ask the broker for what it retains on some of the topics `wide`. False when the link is not up."""
        connection = self._current()
        asked = connection is not None and connection.replay(topics)
        self._ring()
        return asked

    def stop(self, farewell: Outgoing | None, timeout_s: float) -> None:
        """Publish the farewell, wait for its answer, disconnect. Takes at most `timeout_s` plus about a second.

        A farewell that the broker does not take is left to the last will: the connection is cut instead. Without a farewell the
        connection is only closed.
        """
        deadline_s = time.monotonic() + timeout_s
        connection = self._current()
        said = farewell is None or (connection is not None and connection.farewell(farewell, timeout_s))
        with self._lock:
            self._stopping.set()
            connection = self._connection
        if self._thread is None:
            return
        deadline_s = max(deadline_s, time.monotonic() + 0.5)
        if connection is not None:
            connection.leave(deadline_s if said else 0.0)
        self._ring()
        # A thread that is connecting cannot be interrupted. It ends when it has connected, or when that has failed.
        self._thread.join(deadline_s - time.monotonic() + 0.5)

    def _current(self) -> Connection | None:
        with self._lock:
            return self._connection

    def _ring(self) -> None:
        """Wake the network thread, which also offers again what found no room in the mailbox."""
        if self._bell is not None:
            self._bell.ring()

    # ---- the network thread

    def _run(self, bell: Bell) -> None:
        while (connection := self._next(bell)) is not None:
            self._guarded(connection, connection.run)
            ending = connection.ending()
            self._has_session = self._has_session or (ending.greeted and self._setup.config.session_expiry_s > 0)
            if ending.reached:
                self._backoff.ended(ending.up_s)
            else:
                self._backoff.unreachable()
            detail = ending.detail(self._setup, repeated=self._backoff.setbacks > 1)
            incident: Incident | None = "session_taken_over" if ending.taken_over else None
            self._news.add(Link(self._setup.gate, False, detail, self._setup.name, incident))
            self._pause(connection, bell)
        bell.close()

    def _next(self, bell: Bell) -> Connection | None:
        """A new connection in place of the last one; None when the link stops."""
        with self._lock:
            if self._stopping.is_set():
                return None
            self._connection = Connection(self._setup, next(_generations), self._news, bell, resumes=self._has_session)
            return self._connection

    def _guarded(self, connection: Connection, step: Callable[[], object]) -> None:
        """Run a part of the thread. An error ends the connection and not the thread, without which no command would arrive any more."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  a thread mouth
            _log.exception("gate %s: an error on the connection to the broker; the gate reconnects", self._setup.gate)
            connection.drop(f"{type(error).__name__}: {error}")

    def _pause(self, connection: Connection, bell: Bell) -> None:
        """Wait for as long as the backoff says. News that still wait are offered again meanwhile."""
        until_s = time.monotonic() + self._backoff.delay_s
        self._guarded(connection, self._news.flush)
        while not self._stopping.is_set() and (left_s := until_s - time.monotonic()) > 0:
            bell.wait(min(left_s, 1.0))
            self._guarded(connection, self._news.flush)
