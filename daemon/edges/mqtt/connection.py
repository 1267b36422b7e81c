"""One connection to the broker, from its first byte to its last. The next connection is another object."""

import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from enum import IntEnum

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.core.values import Delivery, Incident, Link, Outgoing, Published
from daemon.edges.mqtt.bell import Bell, HasFileno
from daemon.edges.mqtt.client import Setup, ask_for_an_answer, ask_for_retained, expiry, new_client, subscribe
from daemon.edges.mqtt.ending import Ending, refused_connection, refused_subscription
from daemon.edges.mqtt.limits import Limits, limits
from daemon.edges.mqtt.news import News

IN_FLIGHT = 10
"""How many messages may be without an answer. It is below the usual Receive Maximum (mosquitto: 20), which MQTT 3.1.1 does not tell."""

QUEUED = 64
"""How many more messages may wait here. The backlog belongs in the outbox, which is durable."""

CLEAR_S = 0.01
"""For so long after the broker has answered, it is taken to answer the next message too."""

ANSWER_S = 0.1
"""A live message is sent only if it stays live for this long, the time that the broker has for its answer."""

_TURN_S = 1.0
_BRAKED_S = 0.05


class State(IntEnum):
    """How far a connection has got. A state is only ever followed by a later one, so that a late callback cannot revive a connection."""

    CONNECTING = 0
    """The broker has not answered yet."""
    SUBSCRIBING = 1
    """The broker has answered. Commands of the session may arrive already."""
    SUBSCRIBED = 2
    """The broker sends commands, and the engine has not heard of it yet."""
    UP = 3
    """The engine has heard of it: messages go out."""
    DROPPING = 4
    """Something went wrong, and `drop` knows what. The connection ends with this turn."""
    STOPPED = 5
    """It is over, or the link stops. What still arrives is ignored."""


class Connection:
    """One connection. The network thread runs it (`run`); other threads leave here what they want from it.

    The brake: while the engine has no room for a command, nothing is read. So the broker is never faster than the engine, and nothing is
    dropped. (Receive Maximum is no brake: mosquitto 2.0.11 sends a burst of 1,500 commands ahead, whatever the client allows.) A connection
    that is not read says itself that it is still here, and is not given up because the broker seems silent.
    """

    def __init__(self, setup: Setup, generation: int, news: News, bell: Bell, *, resumes: bool = False) -> None:
        """`generation` is this connection's own number. `resumes` says that the broker has had a session for this client."""
        self.generation, self._resumes = generation, resumes
        self._setup, self._news, self._bell = setup, news, bell
        # Guards what other threads use, which are the eight below. The network thread reads the state without it, as others only stop it.
        self._lock = threading.Lock()
        self._state = State.CONNECTING
        self._first: deque[Outgoing] = deque()  # live decisions and statuses: they overtake the others
        self._waiting: deque[Outgoing] = deque()
        self._receipts: deque[tuple[int, int]] = deque()
        self._replay: Sequence[str] = ()
        self._leave_by_s = 0.0
        self._farewell: Outgoing | None = None
        self._farewell_said = False
        self._farewell_over = threading.Event()
        # From here on for the network thread alone.
        self._limits = Limits()
        self._in_flight: dict[int, Outgoing] = {}  # packet number → message without an answer
        self._held: deque[Delivery] = deque()  # commands that the engine had no room for
        self._question: int | None = None  # the packet number of `ask_for_an_answer`
        self._clear_until_s = -math.inf
        self._stay_at_s = time.monotonic() + setup.config.keepalive_s / 2
        self._subscription: int | None = None
        self._saying_goodbye = False
        self._reached = self._greeted = self._forgotten = self._begun = False
        self._why = self._said = ""
        self._up_since_s: float | None = None
        self._up_s: float | None = None
        self._client = client = new_client(setup)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    # ---- for other threads

    @property
    def up(self) -> bool:
        with self._lock:
            return self._state is State.UP

    def offer(self, message: Outgoing) -> bool:
        """Take a message to publish. False when the connection is not up, or too many wait."""
        with self._lock:
            queue = self._first if message.live_until_s is not None or not message.row else self._waiting
            if self._state is not State.UP or len(queue) >= QUEUED:
                return False
            queue.append(message)
            return True

    def acknowledge(self, mid: int, qos: int) -> None:
        """Acknowledge a command that came on this connection. Once the connection is over, this does nothing."""
        with self._lock:
            if self._state is not State.STOPPED:
                self._receipts.append((mid, qos))

    def replay(self, topics: Sequence[str]) -> bool:
        """Ask the broker for what it retains on these topics. False when the connection is not up."""
        with self._lock:
            if self._state is not State.UP:
                return False
            self._replay = topics
            return True

    def farewell(self, message: Outgoing, timeout_s: float) -> bool:
        """Publish a last message and wait for the broker's answer. False when the broker did not take it in time."""
        with self._lock:
            if self._state is not State.UP:
                return False
            self._farewell = message
            self._waiting.append(message)
        self._bell.ring()
        self._farewell_over.wait(timeout_s)
        return self._farewell_said

    def leave(self, by_s: float) -> None:
        """End this connection with a DISCONNECT. If that has not been sent by `by_s` on the monotonic clock, cut the connection."""
        with self._lock:
            self._leave_by_s = by_s
            self._state = State.STOPPED
        self._bell.ring()

    # ---- for the network thread

    def run(self) -> None:
        """Connect, and serve until the connection ends."""
        try:
            try:
                self._client.reconnect()
            except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be a host's
                self._why = f"cannot reach the broker at {self._setup.address} ({error})"
                return
            self._reached = True
            while (sock := self._client.socket()) is not None and (left_s := self._left_s()) > 0:
                self._turn(sock, min(left_s, _TURN_S))
        finally:
            self._close()

    def drop(self, why: str) -> None:
        """Give this connection up. It ends with the present turn."""
        self._why = why
        self._enter(State.DROPPING)

    def ending(self) -> Ending:
        """Why it ended, once it has."""
        return Ending(self._why, self._said, self._reached, self._greeted, self._up_s)

    def _left_s(self) -> float:
        """How long this connection may still go on."""
        with self._lock:
            if self._state is State.STOPPED:
                return self._leave_by_s - time.monotonic()
            return 0.0 if self._state is State.DROPPING else math.inf

    def _turn(self, sock: HasFileno, timeout_s: float) -> None:
        """Do what other threads asked for, then wait for the broker or for a ring, then let paho work."""
        self._tell()
        timeout_s = min(timeout_s, self._send())
        reading = self._hand_over()
        if not reading:
            timeout_s = min(timeout_s, _BRAKED_S)
        buffered = reading and isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        readable, writable = self._bell.wait(0.0 if buffered else timeout_s, sock, reading=reading, writing=self._client.want_write())
        if readable or buffered:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        if reading and not (readable or buffered):
            self._client.loop_misc()
        else:  # the answer to paho's ping may be there and not read yet, and paho would give the connection up
            self._stay()

    def _stay(self) -> None:
        """Let the broker know that we are still here."""
        if self._state not in (State.SUBSCRIBING, State.SUBSCRIBED, State.UP) or time.monotonic() < self._stay_at_s:
            return
        self._stay_at_s = time.monotonic() + self._setup.config.keepalive_s / 2
        ask_for_an_answer(self._client)

    def _tell(self) -> None:
        with self._lock:  # whoever reads the news that the connection is up finds it up, and nobody finds it up before
            if self._news.flush() and self._state is State.SUBSCRIBED:
                self._state = State.UP
                self._up_since_s = time.monotonic()

    def _hand_over(self) -> bool:
        """Give the engine the commands that it had no room for; whether it has taken all of them."""
        while self._held and self._news.deliver(self._held[0]):
            self._held.popleft()
        return not self._held

    def _send(self) -> float:
        """Send what other threads have left here. Returns in how many seconds there is more to do."""
        with self._lock:
            receipts, self._receipts = self._receipts, deque()
            replay, self._replay = self._replay, ()
            stopped = self._state is State.STOPPED
        for mid, qos in receipts:
            self._client.ack(mid, qos)
        if stopped:
            if not self._saying_goodbye:
                self._saying_goodbye = True
                self._client.disconnect()
            return math.inf
        if replay:
            code, _ = ask_for_retained(self._client, self._setup, replay)
            if code != paho.MQTT_ERR_SUCCESS:
                self.drop(f"cannot subscribe ({paho.error_string(code)})")
        while True:
            with self._lock:
                queue = self._first or self._waiting
                if self._state is not State.UP or not queue:
                    return math.inf
                message = queue[0]
            wait_s = self._wait_s(message)
            if wait_s > 0:
                return wait_s
            with self._lock:
                queue.popleft()  # only this thread takes any away
            if self._is_late(message):
                self._news.add(Published(self._setup.gate, message.row, late=True))
            else:
                self._publish(message)

    def _wait_s(self, message: Outgoing) -> float:
        """How long the next message has to wait, at most: for its place, and a live one for a broker that answers."""
        if self._is_late(message):
            return 0.0
        left_s = math.inf if message.live_until_s is None else message.live_until_s - ANSWER_S - time.monotonic()
        if len(self._in_flight) >= min(IN_FLIGHT, self._limits.receive_maximum):
            return left_s
        if message.live_until_s is None or time.monotonic() < self._clear_until_s:
            return 0.0
        if self._question is None:
            code, self._question = ask_for_an_answer(self._client)
            if code != paho.MQTT_ERR_SUCCESS:
                self.drop(f"cannot ask the broker for an answer ({paho.error_string(code)})")
        return left_s

    def _is_late(self, message: Outgoing) -> bool:
        return message.live_until_s is not None and time.monotonic() >= message.live_until_s - ANSWER_S

    def _publish(self, message: Outgoing) -> None:
        size, largest = len(message.payload) + len(message.topic) + 64, self._limits.packet_bytes
        if largest is not None and size > largest:
            # The broker would disconnect each time it is sent, and everything behind it would wait for ever.
            self._answered(message, f"too large for the broker, which accepts at most {largest} bytes")
            return
        properties = expiry(self._setup, message.expiry_s)
        sent = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            self.drop(f"cannot publish ({paho.error_string(sent.rc)})")
            return
        self._in_flight[sent.mid] = message

    def _answered(self, message: Outgoing, error: str | None) -> None:
        if message is self._farewell:
            self._farewell_said = error is None
            self._farewell_over.set()
        elif message.row:
            self._news.add(Published(self._setup.gate, message.row, error))

    def _close(self) -> None:
        self._enter(State.STOPPED)
        self._farewell_over.set()
        if self._up_since_s is not None:
            self._up_s = time.monotonic() - self._up_since_s
        self._client.reinitialise()  # closes the socket and lets go of the callbacks

    def _enter(self, state: State) -> None:
        with self._lock:
            self._state = max(self._state, state)

    # ---- called by paho, on the network thread

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: paho.ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._state is not State.CONNECTING:
            return
        self._greeted = True
        if reason.is_failure:
            self._why = refused_connection(str(reason), self._setup)
            return  # paho ends the connection
        self._limits = limits(properties)
        self._begun = bool(self._setup.wide) and not flags.session_present
        self._forgotten = self._resumes and bool(self._setup.subscribed) and not flags.session_present
        obstacle = self._limits.obstacle()
        if obstacle is not None:
            self.drop(obstacle)
            return
        self._enter(State.SUBSCRIBING)
        if not self._setup.subscribed:
            self._subscribed()
            return
        code, self._subscription = subscribe(client, self._setup)
        if code != paho.MQTT_ERR_SUCCESS:
            self.drop(f"cannot subscribe ({paho.error_string(code)})")

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        if mid != self._subscription or self._state is not State.SUBSCRIBING:
            return
        refused = [f"{t} ({r})" for t, r in zip(self._setup.subscribed, reasons, strict=True) if r.is_failure or r.value == 0]
        if refused:
            self.drop(refused_subscription(refused, self._setup))
            return
        self._subscribed()

    def _subscribed(self) -> None:
        detail = f"connected to {self._setup.address} as {self._setup.client_id}"
        incident: Incident | None = "session_lost" if self._forgotten else None
        self._news.add(Link(self._setup.gate, True, detail, self._setup.name, incident, self._begun))
        self._enter(State.SUBSCRIBED)

    def _on_unsubscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        if mid == self._question:
            self._question, self._clear_until_s = None, time.monotonic() + CLEAR_S

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if self._state not in (State.SUBSCRIBING, State.SUBSCRIBED, State.UP):
            return  # of a connection that is over: the broker delivers it again
        receipt = (self.generation, message.mid, message.qos)
        self._held.append(Delivery(self._setup.gate, message.topic, bytes(message.payload), bool(message.retain), receipt))
        self._hand_over()

    def _on_publish(self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties) -> None:
        message = self._in_flight.pop(mid, None)
        if message is not None and self._state is not State.STOPPED:
            self._answered(message, str(reason) if reason.is_failure else None)

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: paho.DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._said = str(reason)
