"""Which broker ostiaryctl asks, and what it says of one that cannot serve it."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.ctl import __main__ as ctl
from tests.fixtures.fake_gate import FakeGate
from tests.fixtures.mosquitto import Mosquitto, free_port, make_certificates


def test_no_broker_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["ping"], ["list"], ["status"], ["watch"]):
        assert ctl.main(["--site", "acme", "--gate", "north", "--port", str(free_port()), *command]) == 3
        assert "cannot reach the broker at 127.0.0.1" in capsys.readouterr().err


def test_something_that_is_no_broker_is_not_waited_for_for_ever(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.client.broker.CONNECT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ctl.main(["--site", "acme", "--gate", "north", "--port", str(server.getsockname()[1]), "ping"]) == 3
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.broker
def test_refused_logins_and_commands_name_the_file_to_look_at(
    tmp_path: Path, own_broker: Callable[..., Mosquitto], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "passwords").write_text("")
    (tmp_path / "acl").write_text("topic read ostiary/#\n")
    locked = own_broker(f"allow_anonymous false\npassword_file {tmp_path / 'passwords'}\n")
    guarded = own_broker(f"allow_anonymous true\nacl_file {tmp_path / 'acl'}\n")
    common = ["--site", "acme", "--gate", "north"]
    assert ctl.main([*common, "--port", str(locked.port), "ping"]) == 3
    assert "--password-file" in capsys.readouterr().err
    assert ctl.main([*common, "--port", str(guarded.port), "ping"]) == 1
    assert "ACL" in capsys.readouterr().err


@pytest.mark.broker
def test_the_daemons_configuration_tells_site_gate_and_broker(
    broker: int, gate: FakeGate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    gates = '[gates.north]\nsource = "/dev/video0"\n[gates.south]\nsource = "/dev/video1"\n'
    config.write_text(f'site = "acme"\n{gates}[mqtt]\nport = {broker}\n')
    assert ctl.main(["--config", str(config), "ping"]) == 0
    assert len(gate.commands) == 1
    assert ctl.main(["ping", "--config", str(config), "--gate", "south", "--timeout", "0.3"]) == 3
    # The daemon's password is not shown to the broker as somebody else's.
    config.write_text(f'site = "acme"\n{gates}[mqtt]\nport = {broker}\nusername = "ostiary"\npassword_file = "nowhere"\n')
    assert ctl.main(["--config", str(config), "--username", "somebody", "ping"]) == 0
    assert ctl.main(["--config", str(config), "ping"]) == 2
    capsys.readouterr()
    config.write_text("sitte = 1\n")
    assert ctl.main(["--config", str(config), "ping"]) == 2
    assert "did you mean `site`" in capsys.readouterr().err


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho leaves a socket to the collector when the handshake fails
def test_over_tls_with_a_certificate_of_ones_own(
    tmp_path: Path, own_broker: Callable[..., Mosquitto], capsys: pytest.CaptureFixture[str]
) -> None:
    files = make_certificates(tmp_path)
    options = f"allow_anonymous true\ncafile {files.ca}\ncertfile {files.server}\nkeyfile {files.server_key}\nrequire_certificate true\n"
    common = ["--site", "acme", "--port", str(own_broker(options).port), "status", "--timeout", "0.2", "--ca-file", str(files.ca)]
    assert ctl.main([*common, "--cert-file", str(files.client), "--key-file", str(files.client_key)]) == 3
    assert "no gate has published a status" in capsys.readouterr().err
    assert ctl.main([*common[:-1], str(files.other_ca)]) == 3
    assert "certificate verify failed" in capsys.readouterr().err
