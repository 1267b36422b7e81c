"""One connection of one gate to its broker. Its last will is the gate's retained status, so every gate has a connection of its own."""

import logging
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import ParamSpec

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from daemon.config import ConfigError, MqttConfig
from daemon.core.messages import command_topics, topic
from daemon.core.values import Delivery, Link, Outgoing, Published

RECEIVE_MAXIMUM = 32
"""Commands that an MQTT 5 broker sends ahead of our acknowledgements, per gate. The engine's mailbox must have room for more than this.
Not fewer, because commands that wait for a working disk stay unacknowledged, and a revocation must still get past them."""

MAX_PACKET_BYTES = 16 * 1024 * 1024
"""An MQTT 5 broker drops larger messages for us. Well above the command limit, so that a 10 MB command still gets its `too_large`."""

_IN_FLIGHT = 10  # fewer than any broker's usual receive maximum (mosquitto announces 20)
_QUEUED = 64  # paho must never hold a backlog: the outbox does, durably
_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 1, 30
_STEADY_S = 30.0  # a connection that lived shorter than this counts as a setback, and the next try waits longer

_log = logging.getLogger("ostiary.mqtt")
_P = ParamSpec("_P")


def _new_client(config: MqttConfig, client_id: str, password: str | None) -> paho.Client:
    """A client that is not connected yet. Raises ConfigError when the TLS files cannot be used."""
    if config.protocol == "5":
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
    else:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=config.session_expiry_s == 0,  # MQTT 3.1.1 knows only for ever or not at all
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
    if config.username:
        client.username_pw_set(config.username, password)
    if config.ca_file:
        try:
            client.tls_set(ca_certs=config.ca_file, certfile=config.cert_file or None, keyfile=config.key_file or None)
        except (OSError, ValueError) as error:
            files = ", ".join(f for f in (config.ca_file, config.cert_file, config.key_file) if f)
            raise ConfigError(f"mqtt: TLS cannot be set up from {files} ({error})", "PEM files, readable by the daemon's user") from None
    client.max_inflight_messages = _IN_FLIGHT
    client.max_queued_messages = _QUEUED
    client.suppress_exceptions = True  # the second net; the first is MqttLink._guarded
    return client


def _connect_properties(config: MqttConfig) -> Properties | None:
    if config.protocol != "5":
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = config.session_expiry_s
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties


def _connect_advice(reason: str, config: MqttConfig) -> str:
    """What the broker's refusal of a connection means to the person who set it up."""
    if reason in ("Not authorized", "Bad user name or password"):
        return f"the broker refused the login ({reason}): check mqtt.username, mqtt.password_file and the broker's password file"
    if reason in ("Unsupported protocol version", "Unspecified error") and config.protocol == "5":
        return f'the broker refused the connection ({reason}): if it does not speak MQTT 5, set mqtt.protocol = "3.1.1"'
    return f"the broker refused the connection ({reason})"


def _no_delay(client: paho.Client, userdata: object, sock: object) -> None:
    # Nagle's algorithm against delayed acknowledgements costs 40 to 80 ms per decision.
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MqttLink:
    """Carries commands in and messages out, and survives brokers that come, go and misbehave.

    `deliver` is called on the network thread with what the engine must know; it returns False when the mailbox is full. A
    command that finds no room is left unacknowledged and the connection is dropped: brokers redeliver unacknowledged messages
    to a resumed session only, never within a connection. Everything else waits here and is offered again.

    Nothing is carried over from one connection to the next: at every Link(up=True), rows that were published but never
    answered by a Published have to be offered again. (A Link(up=False) that found no room may be left out.)
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
        deliver: Callable[[Delivery | Published | Link], bool],
    ) -> None:
        """`offline` is the last will, published retained on the gate's status topic; None leaves none. Raises
        ConfigError for unusable TLS files."""
        self._config, self._gate, self._deliver, self._client_id = config, gate, deliver, client_id
        self._topics = command_topics(site, gate)
        self._address = f"{config.host}:{config.port}"
        # Reentrant; guards the fields below it. Nothing of paho that takes paho's lock on outgoing messages is called under it,
        # because paho holds that lock when it calls _on_publish.
        self._lock = threading.RLock()
        self._generation = 0  # names a connection; packet numbers mean something only within one
        self._rows: dict[int, int] = {}  # packet number → row
        self._early: dict[int, str | None] = {}  # answers that overtook publish() on its way back
        self._owed: deque[Published | Link] = deque()  # what a full mailbox could not take
        self._telling = threading.Lock()
        self._up = self._dropping = self._stopping = self._greeted = False
        self._told = Link(gate, False, "")
        self._why = ""
        self._largest = 0  # bytes; 0 is no limit
        self._subscription: int | None = None
        self._up_since_s: float | None = None
        self._setbacks = 0
        self._started = False
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._client = client = _new_client(config, client_id, password)
        if offline is not None:
            client.will_set(topic(site, gate, "status"), offline, qos=1, retain=True)
        client.on_socket_open = _no_delay
        client.on_pre_connect = self._guarded(self._on_pre_connect)
        client.on_connect = self._guarded(self._on_connect)
        client.on_connect_fail = self._guarded(self._on_connect_fail)
        client.on_disconnect = self._guarded(self._on_disconnect)
        client.on_subscribe = self._guarded(self._on_subscribe)
        client.on_message = self._guarded(self._on_message)
        client.on_publish = self._guarded(self._on_publish)

    # ---- for the engine

    def start(self) -> None:
        """Connect in the background and keep trying. Does not fail because the broker is away."""
        self._client.reconnect_delay_set(_SHORTEST_RETRY_S, _LONGEST_RETRY_S)
        self._client.connect_async(
            self._config.host, self._config.port, self._config.keepalive_s, clean_start=False, properties=_connect_properties(self._config)
        )
        self._started = True
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """Whether commands arrive and messages go out: connected and subscribed."""
        with self._lock:
            return self._up

    def is_alive(self) -> bool:
        """Whether the network thread runs. If it does not, nothing will ever arrive again, whatever else looks well."""
        return self._started and not self._stopping and (self._thread is None or self._thread.is_alive())

    def publish(self, message: Outgoing) -> bool:
        """Hand a message over at QoS 1. False when it was not taken (not connected, or the window is full): offer it again later.

        A Published follows once the broker has answered, with `error` if it refused. Row 0 gets none.
        """
        self._tell()
        if not self.connected:
            return False
        size = len(message.payload) + len(message.topic) + 64
        if self._largest and size > self._largest:
            # Sending it would make the broker hang up, again and again, with everything else stuck behind it.
            self._tell(Published(self._gate, message.row, f"too large for the broker, which takes {self._largest} bytes"))
            return True
        info = self._send(message)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        with self._lock:
            answered, error = info.mid in self._early, self._early.pop(info.mid, None)
            if not answered:
                self._rows[info.mid] = message.row
        if answered and message.row:
            self._tell(Published(self._gate, message.row, error))
        return True

    def acknowledge(self, receipt: tuple[int, int, int]) -> None:
        """Tell the broker that a Delivery is done with. Nothing happens for one of an earlier connection: it comes again anyway."""
        generation, mid, qos = receipt
        with self._lock:  # a connection cannot end between the comparison and the packet
            if generation == self._generation:
                self._client.ack(mid, qos)
        self._tell()

    def stop(self, farewell: Outgoing | None, timeout_s: float) -> None:
        """Publish the farewell, wait for its answer, disconnect. Takes at most `timeout_s` and about a second, whatever the broker does.

        A farewell that gets no answer is left to the last will: the connection is cut instead. Without a farewell nothing is said.
        """
        deadline_s = time.monotonic() + timeout_s
        said = farewell is None
        if farewell is not None and self.connected:
            info = self._send(farewell)
            if info.rc == paho.MQTT_ERR_SUCCESS:
                info.wait_for_publish(timeout_s)
                said = info.is_published()
        self._stopping, self._up = True, False
        if self._started:
            self._running.wait(0.5)  # stopped right after the start
        self._end_generation()
        if not said:
            self._cut()
        self._client.disconnect()
        if self._thread is not None:
            self._thread.join(max(0.5, deadline_s - time.monotonic()))
            if self._thread.is_alive():  # the goodbye is stuck behind a full send buffer
                self._cut()
                self._thread.join(0.5)
        if self._thread is None or not self._thread.is_alive():
            self._client.reinitialise()  # closes paho's wake-up sockets and lets go of the callbacks

    # ---- on the network thread

    def _guarded(self, callback: Callable[_P, None]) -> Callable[_P, None]:
        """The thread's mouth: an exception that reached paho would end its thread and leave it looking connected."""

        def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  a thread mouth
                _log.exception("gate %s: error in %s; the connection is dropped to start over", self._gate, callback.__name__)
                self._drop(f"{type(error).__name__} in {callback.__name__}: {error}")

        return run

    def _on_pre_connect(self, client: paho.Client, userdata: object) -> None:
        self._thread = threading.current_thread()
        self._running.set()
        self._greeted = False
        self._end_generation()
        client.drop_out_messages()  # the outbox offers them again; paho would send them twice, and old status after new

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: paho.ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._greeted = True
        if self._stopping:
            client.disconnect()
            return
        if reason.is_failure:
            self._why = _connect_advice(str(reason), self._config)
            return
        self._why, self._dropping = "", False
        self._largest = int(getattr(properties, "MaximumPacketSize", 0))
        if self._config.protocol == "5":
            options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            rc, self._subscription = client.subscribe([(t, options) for t in self._topics])
        else:
            rc, self._subscription = client.subscribe([(t, 1) for t in self._topics])
        if rc != paho.MQTT_ERR_SUCCESS:
            self._drop(f"cannot subscribe ({paho.error_string(rc)})")

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        if mid != self._subscription or self._dropping or self._stopping:
            return
        refused = [f"{t} ({r})" for t, r in zip(self._topics, reasons, strict=True) if r.is_failure or r.value == 0]
        if refused:
            who = self._config.username or self._client_id
            self._drop(f"the broker does not let {who} read {' and '.join(refused)} at QoS 1: allow it in the broker's ACL")
            return
        self._up_since_s = time.monotonic()
        with self._lock:  # whoever takes this news finds the link up, and nobody finds it up before
            self._tell(Link(self._gate, True, f"connected to {self._address} as {self._client_id}"))
            self._up = True

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if self._dropping or self._stopping:
            return  # left over in the socket's buffer; delivering it now would overtake the one that found no room
        receipt = (self._generation, message.mid, message.qos)
        self._tell()
        if self._deliver(Delivery(self._gate, message.topic, bytes(message.payload), bool(message.retain), receipt)):
            return
        if message.qos == 0:  # no broker brings it again
            _log.warning("gate %s: a command sent at QoS 0 was lost because the mailbox is full; commands belong at QoS 1", self._gate)
        else:
            self._drop("the mailbox is full; the broker will deliver again")

    def _on_publish(self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties) -> None:
        error = str(reason) if reason.is_failure else None
        with self._lock:
            row = self._rows.pop(mid, None)
            if row is None:
                self._early[mid] = error
        if row:
            self._tell(Published(self._gate, row, error))

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: paho.DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._end_generation()
        was_up, self._up = self._up_since_s is not None, False
        steady = self._up_since_s is not None and time.monotonic() - self._up_since_s >= _STEADY_S
        self._up_since_s = None
        self._setbacks = 0 if steady else self._setbacks + 1
        client.reconnect_delay_set(min(_LONGEST_RETRY_S, _SHORTEST_RETRY_S * 2 ** max(0, min(self._setbacks, 8) - 1)), _LONGEST_RETRY_S)
        said = str(reason) if flags.is_disconnect_packet_from_server else "connection lost"
        detail = self._why or f"disconnected from {self._address} ({said})"
        if said == "Session taken over" or (was_up and not self._why and self._setbacks > 1):
            detail += f"; does another client, a second daemon perhaps, use the id {self._client_id}?"
        if not self._greeted and self._config.protocol == "5":
            detail += ' before it answered; if the broker does not speak MQTT 5, set mqtt.protocol = "3.1.1"'
        self._why = ""
        self._tell(Link(self._gate, False, detail))

    def _on_connect_fail(self, client: paho.Client, userdata: object) -> None:
        if self._stopping:
            client.disconnect()
            return
        self._tell(Link(self._gate, False, f"cannot reach the broker at {self._address} ({sys.exc_info()[1]})"))

    # ---- small moves

    def _send(self, message: Outgoing) -> paho.MQTTMessageInfo:
        properties = None
        if message.expiry_s is not None and self._config.protocol == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, message.expiry_s)
        return self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)

    def _end_generation(self) -> None:
        with self._lock:
            self._generation += 1
            self._rows.clear()
            self._early.clear()

    def _drop(self, why: str) -> None:
        """End this connection; the network thread notices and connects anew."""
        self._why, self._dropping, self._up = why, True, False
        self._cut()

    def _cut(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            try:
                # Not sock.shutdown: a TLS socket would take its state away from under the network thread's hands.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # it is gone already, which is all that was wanted

    def _tell(self, news: Published | Link | None = None) -> None:
        """Deliver `news` after everything that is still owed, as far as the mailbox has room."""
        with self._lock:
            if isinstance(news, Link):
                if news == self._told:
                    return
                self._told = news
                if self._owed and isinstance(self._owed[-1], Link):
                    self._owed.pop()  # only the newest state matters, and so the queue stays short
            if news is not None:
                self._owed.append(news)
        room = True
        while room and self._owed and self._telling.acquire(blocking=False):  # a thread that is at it already takes this along
            try:
                room = self._deliver_owed()
            finally:
                self._telling.release()

    def _deliver_owed(self) -> bool:
        """Whether everything found room. What did not, or met an exception, keeps its place."""
        while self._owed:
            taken = False
            with self._lock:
                news = self._owed.popleft()
            try:
                taken = self._deliver(news)
            finally:
                if not taken:
                    with self._lock:
                        self._owed.appendleft(news)
            if not taken:
                return False
        return True
