"""The link over TLS."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config import ConfigError, MqttConfig
from daemon.core.values import Link, Outgoing, Published
from daemon.edges.mqtt import MqttLink
from tests.fixtures.link_ends import DECISION, OFFLINE, STATUS, Engine, Protocol, both_protocols, down, linked, up
from tests.fixtures.mosquitto import Mosquitto, make_certificates
from tests.fixtures.tcp_proxy import TcpProxy


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho leaves a socket to the collector when the handshake fails
@both_protocols
def test_over_tls_with_a_certificate_of_its_own(tmp_path: Path, own_broker: Callable[..., Mosquitto], protocol: Protocol) -> None:
    files = make_certificates(tmp_path)
    options = f"allow_anonymous true\ncafile {files.ca}\ncertfile {files.server}\nkeyfile {files.server_key}\nrequire_certificate true\n"
    engine = Engine()
    with TcpProxy(own_broker(options).port) as proxy:
        good = MqttConfig(
            port=proxy.port, protocol=protocol, ca_file=str(files.ca), cert_file=str(files.client), key_file=str(files.client_key)
        )
        with linked(proxy.port, engine, config=good) as link:
            assert link.publish(Outgoing(1, DECISION, b"x" * 300_000))
            assert engine.next(Published).row == 1
            proxy.cut()
            assert "connection lost" in engine.next(Link, where=down).detail
            engine.next(Link, where=up)
            assert link.publish(Outgoing(2, DECISION, b"x"))
            assert engine.next(Published).row == 2
            link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 2)
        with linked(proxy.port, engine, wait=False, config=dataclasses.replace(good, ca_file=str(files.other_ca))):
            assert "certificate verify failed" in engine.next(Link, where=lambda link: "cannot reach" in link.detail).detail


def test_a_missing_ca_file_is_a_configuration_error() -> None:
    config = MqttConfig(ca_file="/nowhere/ca.pem")
    with pytest.raises(ConfigError, match=r"/nowhere/ca\.pem"):
        MqttLink(config, site="acme", gate="north", client_id="n", password=None, offline=OFFLINE, deliver=lambda news: True)
