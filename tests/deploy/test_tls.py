"""The listener with TLS: only a certificate of the site's own authority lets anybody in, and its name is the login."""

import signal
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import ConfigError, MqttConfig
from daemon.core.values import Link, Outgoing, Published
from daemon.edges.mqtt.client import tls_context
from tests.fixtures.deployed import DEPLOY, Visitor, deployed, run
from tests.fixtures.link_ends import STATUS, Engine, linked
from tests.fixtures.mosquitto import Mosquitto

SCRIPT = "make-certificates.sh"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of site acme, made as README.md says."""
    folder = tmp_path_factory.mktemp("certificates")
    run(SCRIPT, str(folder), "ca", "acme")
    run(SCRIPT, str(folder), "broker", "localhost", "127.0.0.1")
    run(SCRIPT, str(folder), "login", "gate-north", "gate-south", "door-north", "hr", "mallory")
    return folder


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the same names by another authority."""
    folder = tmp_path_factory.mktemp("strangers")
    run(SCRIPT, str(folder), "ca", "acme")
    run(SCRIPT, str(folder), "broker", "localhost", "127.0.0.1")
    run(SCRIPT, str(folder), "login", "gate-north")
    return folder


@pytest.fixture
def tls_broker(tmp_path: Path, certificates: Path, mosquitto_installed: None) -> Iterator[Mosquitto]:
    with deployed(tmp_path, certificates=certificates) as running:
        yield running


def context(authority: Path, own: Path | None = None, login: str = "gate-north") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority / "ca.crt"))
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    if own is not None:
        made.load_cert_chain(own / f"{login}.crt", own / f"{login}.key")
    return made


@pytest.mark.broker
def test_a_certificate_is_one_login_with_its_rights(tls_broker: Mosquitto, certificates: Path) -> None:
    gate, desk = (Visitor(tls_broker.port, None, tls=context(certificates, certificates, login)) for login in ("gate-north", "hr"))
    assert gate.may_say("ostiary/v1/acme/north/decision") and not gate.may_say("ostiary/v1/acme/south/decision")
    assert desk.may_say("ostiary/v1/acme/north/command/revoke") and not desk.may_say("ostiary/v1/acme/north/command")
    mallory = Visitor(tls_broker.port, None, tls=context(certificates, certificates, "mallory"))
    assert not mallory.may_say("ostiary/v1/acme/north/command"), "a certificate without a section in the access list"
    for visitor in (gate, desk, mallory):
        visitor.leave()


@pytest.mark.broker
def test_a_lost_certificate_is_shut_out_by_its_section(tls_broker: Mosquitto, certificates: Path, tmp_path: Path) -> None:
    desk = Visitor(tls_broker.port, None, tls=context(certificates, certificates, "hr"))
    assert desk.may_say("ostiary/v1/acme/north/command/revoke")
    acl = tmp_path / "ostiary.acl"
    acl.write_text(acl.read_text().replace("user hr\n", "user nobody\n"))
    tls_broker.signal(signal.SIGHUP)  # systemctl reload
    desk.loop_until(lambda: False, 0.5)
    assert not desk.may_say("ostiary/v1/acme/north/command/revoke"), "also on the connection that it has"
    desk.leave()
    again = Visitor(tls_broker.port, None, tls=context(certificates, certificates, "hr"))
    assert not again.may_say("ostiary/v1/acme/north/command/revoke")
    again.leave()


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho leaves a socket to the collector when the handshake fails
def test_a_stranger_does_not_come_in(tls_broker: Mosquitto, certificates: Path, strangers: Path) -> None:
    for tls in (context(certificates), context(certificates, strangers), context(certificates, certificates, "broker")):
        try:
            visitor = Visitor(tls_broker.port, None, tls=tls)
        except OSError:  # with TLS 1.3 the refusal may come after the handshake
            continue
        assert visitor.refused in ([], [True]) and visitor.say("ostiary/v1/acme/north/decision") == "nothing"
        visitor.leave()
    plain = Visitor(tls_broker.port, "admin")
    assert plain.refused == []
    plain.leave()


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_false_broker_hears_nothing(tmp_path: Path, strangers: Path, certificates: Path, mosquitto_installed: None) -> None:
    with deployed(tmp_path, certificates=strangers) as false, pytest.raises(ssl.SSLCertVerificationError):
        Visitor(false.port, None, tls=context(certificates, certificates))


@pytest.mark.broker
def test_the_gate_itself_comes_in_by_certificate(tls_broker: Mosquitto, certificates: Path) -> None:
    """With the keys of [mqtt] as deploy/README.md shows them."""
    config = MqttConfig(
        host="127.0.0.1", port=tls_broker.port, ca_file=f"{certificates}/ca.crt",
        cert_file=f"{certificates}/gate-{{gate}}.crt", key_file=f"{certificates}/gate-{{gate}}.key",
    )  # fmt: skip
    engine = Engine()
    with linked(tls_broker.port, engine, config=config.of("north")) as link:
        assert link.publish(Outgoing(1, "ostiary/v1/acme/north/decision", b"x"))
        assert engine.next(Published).row == 1
        link.stop(Outgoing(0, STATUS, b"goodbye", retain=True), 2)


@pytest.mark.broker
def test_a_certificate_that_is_missing_is_named_and_not_the_version_of_mqtt(tls_broker: Mosquitto, certificates: Path) -> None:
    engine = Engine()
    config = MqttConfig(host="127.0.0.1", port=tls_broker.port, ca_file=f"{certificates}/ca.crt")
    with linked(tls_broker.port, engine, config=config, wait=False):
        detail = engine.next(Link, where=lambda link: not link.up).detail
    assert "mqtt.cert_file" in detail and "MQTT 5" not in detail


def test_a_key_that_everybody_may_read_is_refused(certificates: Path, tmp_path: Path) -> None:
    key = tmp_path / "gate-north.key"
    key.write_bytes((certificates / "gate-north.key").read_bytes())
    key.chmod(0o644)
    config = MqttConfig(ca_file=f"{certificates}/ca.crt", cert_file=f"{certificates}/gate-north.crt", key_file=str(key))
    with pytest.raises(ConfigError, match="everybody on this machine may read"):
        tls_context(config)
    key.chmod(0o640)
    assert tls_context(config) is not None


def test_keys_are_private_and_certificates_are_sane(certificates: Path) -> None:
    assert {path.name for path in certificates.iterdir()} == {
        f"{name}.{kind}" for name in ("ca", "broker", "gate-north", "gate-south", "door-north", "hr", "mallory") for kind in ("key", "crt")
    }
    for path in certificates.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in ("broker", "hr"):
        checked = ["openssl", "verify", "-x509_strict", "-CAfile", str(certificates / "ca.crt"), str(certificates / f"{name}.crt")]
        assert subprocess.run(checked, capture_output=True).returncode == 0
        soon = ["openssl", "x509", "-in", str(certificates / f"{name}.crt"), "-noout", "-checkend"]
        assert subprocess.run([*soon, str(800 * 86_400)], capture_output=True).returncode == 0
        assert subprocess.run([*soon, str(830 * 86_400)], capture_output=True).returncode == 1
    showing = ["openssl", "x509", "-in", str(certificates / "hr.crt"), "-noout", "-text"]
    shown = subprocess.run(showing, capture_output=True, text=True).stdout
    assert "prime256v1" in shown and "CA:FALSE" in shown and "TLS Web Client Authentication" in shown and "CN = hr" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["login", "hr"], "hr.key exists and stays unchanged"),
        (["broker", "localhost"], "broker.key exists and stays unchanged"),
        (["ca", "acme"], "ca.key exists and stays unchanged"),
        (["login", "new", "hr"], "hr.key exists and stays unchanged"),
        (["login", "../hr"], "is not a name"),
        (["login", "a/CN=admin"], "is not a name"),
        (["login", "broker"], "cannot be a login"),
        (["login", "a:b"], "cannot be a login"),
        (["login"], "usage"),
        (["ca", "a", "b"], "usage"),
        (["open", "sesame"], "usage"),
    ],
)
def test_the_script_replaces_nothing_and_refuses_what_it_does_not_know(certificates: Path, arguments: list[str], says: str) -> None:
    before = {path: path.read_bytes() for path in certificates.iterdir()}
    refused = subprocess.run(["bash", str(DEPLOY / SCRIPT), str(certificates), *arguments], capture_output=True, text=True)
    assert refused.returncode in (1, 2) and says in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert {path: path.read_bytes() for path in certificates.iterdir()} == before


def test_without_an_authority_there_are_no_certificates(tmp_path: Path) -> None:
    refused = subprocess.run(["bash", str(DEPLOY / SCRIPT), str(tmp_path / "new"), "login", "hr"], capture_output=True, text=True)
    assert refused.returncode == 1 and "has no authority yet" in refused.stderr
    assert list((tmp_path / "new").iterdir()) == []
