"""ostiaryctl's connection to the broker: connect, subscribe, publish, wait. Every failure is a ClientError."""

import queue
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from daemon.client.failures import NO_ANSWER, REFUSED, USAGE, ClientError

CONNECT_TIMEOUT_S = 5.0
NOBODY, DENIED = 0x10, 0x87
"""Reason codes of MQTT 5: nobody has subscribed to the topic; this user may not write to it."""
_OWN_LOGIN = (
    "it is the gate's own login, which only answers. Write a login that may ask, such as hr, into ~/.config/ostiary/client.toml "
    "(`ostiaryctl --help`), or give --username and --password-file"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and the login."""

    host: str
    port: int
    protocol: Literal["5", "3.1.1"]
    username: str = ""
    password: str | None = None
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    is_gates_login: bool = False
    """Whether the login is the gate's own, which should ask nothing of itself."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that arrived."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost; it is being tried again."""

    detail: str


def paho_client(address: Address, program: str) -> paho.Client:
    """A client that is not connected yet, with an id of its own."""
    version = MQTTProtocolVersion.MQTTv5 if address.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, f"{program}-{secrets.token_hex(6)}", protocol=version)
    client.suppress_exceptions = True
    client.on_socket_open = _no_delay
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.reconnect_delay_set(1, 10)
    return client


def log_in(client: paho.Client, address: Address) -> None:
    """Give the client its login and certificates. Raises ClientError."""
    if address.username:
        client.username_pw_set(address.username, address.password)
    try:
        if address.ca_file:
            client.tls_set(address.ca_file, address.cert_file or None, address.key_file or None)
    except (OSError, ValueError) as error:
        raise ClientError(USAGE, f"TLS cannot be set up: {error}", "check --ca-file, --cert-file and --key-file (PEM)") from None


class Broker:
    """A connection for the length of a `with`. It reconnects, and subscribes again, while it lasts.

    A broker that refuses `topics` cannot be used. One that refuses `optional` topics can: nothing comes from there."""

    def __init__(self, address: Address, topics: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._address, self._topics, self._optional = address, topics, optional
        self._mail: queue.Queue[Heard | Lost] = queue.Queue()
        self._answers: queue.Queue[str] = queue.Queue()  # one per CONNACK and SUBACK: "" or what the broker refused
        self._published: queue.Queue[tuple[int, ReasonCode]] = queue.Queue()
        self._required: Sequence[str] = topics
        """What the newest subscription needs."""
        self._client = paho_client(address, "ostiaryctl")

    def __enter__(self) -> "Broker":
        """Connect and subscribe. Raises ClientError."""
        client, address = self._client, self._address
        log_in(client, address)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        where = f"{address.host}:{address.port}"
        try:
            client.connect(address.host, address.port, keepalive=15)
        except (OSError, ValueError) as error:
            hint = "check --host, --port and the TLS options, and that the broker runs"
            raise ClientError(NO_ANSWER, f"cannot reach the broker at {where} ({error})", hint) from None
        client.loop_start()
        try:
            for step in ("connection", "subscription"):
                refused = self._answers.get(timeout=CONNECT_TIMEOUT_S)
                if refused:
                    raise ClientError(NO_ANSWER, f"the broker at {where} refused the {step}: {refused}", advice(refused, step))
        except queue.Empty:
            self._close()
            hint = "check that it is an MQTT broker, and whether it needs TLS (--ca-file) or a certificate (--cert-file, --key-file)"
            raise ClientError(NO_ANSWER, f"{where} accepts connections but does not answer", hint) from None
        except (ClientError, KeyboardInterrupt):
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def publish(self, messages: Sequence[tuple[str, bytes]], timeout_s: float) -> str:
        """Publish one of these (topic, payload): the first that the broker takes and has somebody for. Returns the last topic tried.

        At QoS 1, and waits for the broker's answers. Over MQTT 3.1.1 it takes everything, also what its ACL forbids. Raises ClientError.
        """
        deadline_s = time.monotonic() + timeout_s
        reasons = []
        for topic, payload in messages:
            reasons.append(self._published_as(topic, payload, deadline_s))
            if not reasons[-1].is_failure and reasons[-1].value != NOBODY:
                break
            if reasons[-1].is_failure and reasons[-1].value != DENIED:
                break
        if reasons[-1].is_failure and all(reason.is_failure for reason in reasons):
            raise refusal(self._address, messages[0][0], reasons[-1])
        return messages[len(reasons) - 1][0]

    def forget(self, topic: str, timeout_s: float) -> None:
        """Clear what is retained on a topic, and wait until the broker has done it. Raises ClientError."""
        reason = self._published_as(topic, b"", time.monotonic() + timeout_s, retain=True)
        deadline_s = time.monotonic() + timeout_s
        heard = None if reason.is_failure else self.next(timeout_s)  # over MQTT 3.1.1 only this tells whether it was allowed
        while isinstance(heard, Heard) and heard.payload:
            heard = self.next(deadline_s - time.monotonic())
        if not isinstance(heard, Heard):
            who = self._address.username or "this user"
            hint = (
                f"{who} may not write to {topic}: use the gate's own login. The daemon that had it clears it by itself after the gate "
                "was taken out of its configuration, if the gate's login still works"
            )
            raise ClientError(REFUSED, f"the broker refused to clear the status: {reason}", hint)

    def retain(self, topic: str, payload: bytes, timeout_s: float) -> None:
        """Publish what stays at the broker, and wait until the broker has taken it. Raises ClientError."""
        reason = self._published_as(topic, payload, time.monotonic() + timeout_s, retain=True)
        if reason.is_failure:
            raise refusal(self._address, topic, reason)

    def subscribe(self, topics: Sequence[str], timeout_s: float) -> None:
        """Subscribe to more topics; a connection that comes back has only those of the beginning. Raises ClientError."""
        while not self._answers.empty():
            self._answers.get()
        self._required = topics
        self._client.subscribe([(topic, 1) for topic in topics])
        try:
            refused = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise ClientError(
                NO_ANSWER, "the broker did not answer the subscription", "try again; in a slow network raise --timeout"
            ) from None
        if refused:
            raise ClientError(NO_ANSWER, f"the broker refused the subscription: {refused}", advice(refused, "subscription"))

    def _published_as(self, topic: str, payload: bytes, deadline_s: float, *, retain: bool = False) -> ReasonCode:
        mid = self._client.publish(topic, payload, qos=1, retain=retain).mid
        try:
            while True:
                answered, reason = self._published.get(timeout=max(0.0, deadline_s - time.monotonic()))
                if answered == mid:
                    return reason
        except queue.Empty:
            hint = "check the broker's limit on the size of messages (mosquitto: max_packet_size); in a slow network raise --timeout"
            raise ClientError(NO_ANSWER, "the broker did not acknowledge the command", hint) from None

    def next(self, timeout_s: float | None) -> Heard | Lost | None:
        """The next message, or None when none came in time (seconds; None waits without a limit)."""
        try:
            return self._mail.get(timeout=None if timeout_s is None else max(0.0, timeout_s))
        except queue.Empty:
            return None

    def _close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    # ---- on the network thread

    def _on_connect(self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object) -> None:
        self._answers.put(str(reason) if reason.is_failure else "")
        if not reason.is_failure:
            self._required = self._topics
            client.subscribe([(topic, 1) for topic in (*self._topics, *self._optional)])

    def _on_subscribe(self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: object) -> None:
        refused = [f"{topic}: {reason}" for topic, reason in zip(self._required, reasons, strict=False) if reason.is_failure]
        self._answers.put("; ".join(refused[:3]) + (f"; and {len(refused) - 3} more" if len(refused) > 3 else ""))

    def _on_publish(self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: object) -> None:
        self._published.put((mid, reason))

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        self._mail.put(Heard(message.topic, bytes(message.payload)))

    def _on_disconnect(self, client: paho.Client, userdata: object, flags: Any, reason: ReasonCode, properties: object) -> None:
        if reason.is_failure:
            self._mail.put(
                Lost(f"the broker ended the connection: {reason}" if flags.is_disconnect_packet_from_server else "the connection was lost")
            )


def refusal(address: Address, topic: str, reason: ReasonCode) -> ClientError:
    """What to say of a command that the broker did not take."""
    other = "check --site and --gate, or use a login that the broker's ACL lets do this"
    hint = f"{address.username or 'this user'} may not write to {topic}: {_OWN_LOGIN if address.is_gates_login else other}"
    return ClientError(REFUSED, f"the broker refused the command: {reason}", hint)


def _no_delay(client: paho.Client, userdata: object, sock: object) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def advice(refused: str, step: str) -> str:
    """What to do about a refused `step`, connection or subscription."""
    if step == "subscription":
        return "use a login that the broker's ACL lets read these topics (--username, or a settings file); check --site and --gate"
    if "version" in refused:
        return "the broker may not speak MQTT 5: try --protocol 3.1.1"
    return "check --username and --password-file against the broker's password file"
