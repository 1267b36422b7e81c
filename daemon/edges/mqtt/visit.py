"""A short visit to the broker with a gate's login: for what is said once and must be answered for."""

import queue
import threading
from collections.abc import Callable
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.config import ConfigError, MqttConfig
from daemon.core.faults import Fault
from daemon.edges.mqtt.client import tls_context

ANSWER_S = 5.0


class VisitError(Fault):
    """The broker cannot be reached, or does not take something. `hint` says what to do about it."""


class Failing(Protocol):
    """Where the error of what goes on aside is put."""

    error: VisitError | None


def aside(name: str, speak: Callable[[], None], to: Failing) -> threading.Thread:
    """Begin `speak`, a visit, in a thread of this name; whatever ends it becomes the error of `to`, and the gates go on."""

    def run() -> None:
        try:
            speak()
        except VisitError as error:
            to.error = error
        except Exception as error:  # noqa: BLE001  a thread's mouth
            to.error = VisitError(f"{type(error).__name__}: {error}", "it is tried again")

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


class Visit:
    """A connection that begins a new session in the place of an old one, and leaves none."""

    def __init__(self, config: MqttConfig, client_id: str, refused: str) -> None:
        """`config` is the gate's own form; `refused` is the hint for what the broker refuses."""
        self._config, self._refused = config, refused
        self._answers: queue.Queue[tuple[str, int, ReasonCode]] = queue.Queue()
        v5 = config.protocol == "5"
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=None if v5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        )  # fmt: skip
        client.on_connect = lambda c, u, flags, reason, properties: self._answers.put(("connect", 0, reason))
        client.on_publish = lambda c, u, mid, reason, properties: self._answers.put(("publish", mid, reason))
        client.suppress_exceptions = True
        client.connect_timeout = ANSWER_S

    def __enter__(self) -> "Visit":
        config, client = self._config, self._client
        try:
            if config.username:
                client.username_pw_set(config.username, config.password())
            if (tls := tls_context(config)) is not None:
                client.tls_set_context(tls)
            if config.protocol == "5":
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # a session that ends with the connection
                client.connect(config.host, config.port, keepalive=15, clean_start=True, properties=properties)
            else:
                client.connect(config.host, config.port, keepalive=15)
        except ConfigError as error:
            raise VisitError(error.message, error.hint) from None
        except (OSError, ValueError) as error:
            raise VisitError(f"the broker cannot be reached ({error})", "it is tried again") from None
        client.loop_start()
        try:
            self._need("connect", 0, "the login")
        except VisitError:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """At QoS 1, and wait for the answer. Raises VisitError."""
        self._need("publish", self._client.publish(topic, payload, qos=1, retain=retain).mid, f"a message to {topic}")

    def _need(self, what: str, mid: int, named: str) -> None:
        try:
            while True:
                kind, number, reason = self._answers.get(timeout=ANSWER_S)
                if kind == what and number == mid:
                    break
        except queue.Empty:
            raise VisitError("the broker does not answer", "it is tried again") from None
        if reason.is_failure:
            raise VisitError(f"the broker refuses {named}: {reason}", self._refused)

    def _close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
