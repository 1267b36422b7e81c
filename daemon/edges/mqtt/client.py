"""What a connection is made from: a paho client with the gate's login, last will and session."""

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from daemon.config import ConfigError, MqttConfig, need_private
from daemon.core.values import LinkName

RECEIVE_MAXIMUM = 32
"""How many unacknowledged commands an MQTT 5 broker may have sent on a connection. It is not less because commands that wait for a
working disk stay unacknowledged, and a revocation must still get past them."""

MAX_PACKET_BYTES = 16 * 1024 * 1024
"""An MQTT 5 broker does not send us larger messages. It is well above the limit of a command, so that a 10 MB command is still answered
with `too_large`."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every connection of one gate is made from."""

    config: MqttConfig
    gate: str
    client_id: str
    password: str | None = field(repr=False)
    topics: tuple[str, ...]
    """Where its commands come from, if any do."""
    will: tuple[str, bytes] | None
    """Topic and payload of the last will, which the broker retains."""
    tls: ssl.SSLContext | None
    name: LinkName = "out"
    always: tuple[str, ...] = ()
    """Topics whose retained messages are wanted with every connection."""
    wide: tuple[str, ...] = ()
    """Topics whose retained messages come when the engine asks for them (`replay`): they are more than a broker sends in one go."""

    @property
    def subscribed(self) -> tuple[str, ...]:
        return (*self.topics, *self.always, *self.wide)

    @property
    def address(self) -> str:
        return f"{self.config.host}:{self.config.port}"

    @property
    def is_v5(self) -> bool:
        return self.config.protocol == "5"


def tls_context(config: MqttConfig) -> ssl.SSLContext | None:
    """The TLS settings, or None where there is no TLS. Raises ConfigError for files that cannot be used."""
    if not config.ca_file:
        return None
    if config.key_file:
        need_private(config.key_file, "mqtt.key_file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asks for a certificate and checks the name in it
    try:
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file or None)
        context.load_verify_locations(config.ca_file)
    except (OSError, ValueError) as error:
        files = ", ".join(f for f in (config.ca_file, config.cert_file, config.key_file) if f)
        raise ConfigError(f"mqtt: TLS cannot be set up from {files} ({error})", "give PEM files that the daemon's user can read") from None
    return context


def new_client(setup: Setup) -> paho.Client:
    """A client that is not connected yet. It serves one connection, and one thread uses it."""
    config = setup.config
    if setup.is_v5:
        client = paho.Client(CallbackAPIVersion.VERSION2, setup.client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
    else:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            setup.client_id,
            clean_session=config.session_expiry_s == 0,  # MQTT 3.1.1 keeps a session for ever or not at all
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
    if config.username:
        client.username_pw_set(config.username, setup.password)
    if setup.tls is not None:
        client.tls_set_context(setup.tls)
    if setup.will is not None:
        topic, payload = setup.will
        client.will_set(topic, payload, qos=1, retain=True)
    # The connection counts its unanswered messages itself: it learns the broker's limit too late for paho's own window.
    client.max_inflight_messages = client.max_queued_messages = 0
    client.on_socket_open = _no_delay
    client.on_socket_register_write = _write_later
    client.connect_async(config.host, config.port, config.keepalive_s, clean_start=False, properties=_connect_properties(setup))
    return client


def subscribe(client: paho.Client, setup: Setup) -> tuple[int, int | None]:
    """Ask for all topics at QoS 1. Returns paho's error code, and the packet number that the answer will have. (MQTT 3.1.1 always sends
    what is retained.)"""
    wanted = {
        **dict.fromkeys((*setup.topics, *setup.wide), SubscribeOptions.RETAIN_DO_NOT_SEND),
        **dict.fromkeys(setup.always, SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE),
    }
    return _subscribe(client, setup, wanted)


def ask_for_retained(client: paho.Client, setup: Setup, topics: Sequence[str]) -> tuple[int, int | None]:
    """Ask for what is retained on some of the topics. Returns the same."""
    return _subscribe(client, setup, dict.fromkeys(topics, SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE))


def _subscribe(client: paho.Client, setup: Setup, wanted: Mapping[str, int]) -> tuple[int, int | None]:
    if setup.is_v5:
        return client.subscribe(
            [
                # What is wanted with every connection says by its flag whether it is news, or was kept.
                (topic, SubscribeOptions(qos=1, retainAsPublished=topic not in setup.always, retainHandling=handling))
                for topic, handling in wanted.items()
            ]
        )
    return client.subscribe([(topic, 1) for topic in wanted])


def ask_for_an_answer(client: paho.Client) -> tuple[int, int | None]:
    """Ask the broker something that every broker answers and that changes nothing: to end a subscription that never was. Returns paho's
    error code, and the packet number that the answer will have. (paho has no ping of one's own.)"""
    return client.unsubscribe("ostiary/never")


def expiry(setup: Setup, expiry_s: int | None) -> Properties | None:
    """The properties of a message that the broker may keep for `expiry_s` seconds. MQTT 3.1.1 has none."""
    if expiry_s is None or not setup.is_v5:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, expiry_s)
    return properties


def _connect_properties(setup: Setup) -> Properties | None:
    if not setup.is_v5:
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = setup.config.session_expiry_s
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties


def _no_delay(client: paho.Client, userdata: object, sock: object) -> None:
    # Nagle's algorithm against delayed acknowledgements costs 40 to 80 ms per decision.
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _write_later(client: paho.Client, userdata: object, sock: object) -> None:
    """Without this callback paho would write, and perhaps end the connection, within the call that queues a packet."""
