"""The settings file of ostiaryctl: where it is, what it says, and that options and another site's configuration win."""

from pathlib import Path

import pytest

from daemon.client.failures import ClientError
from daemon.client.settings import ClientSettings, client_settings, completed
from daemon.client.target import target
from daemon.core import settings
from daemon.ctl import __main__ as ctl
from daemon.ctl.arguments import parser
from tests.fixtures.deployed import deployed


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("daemon.client.settings.SYSTEM", tmp_path / "etc" / "client.toml")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def filled(*words: str) -> dict[str, object]:
    args = parser(ctl.RUNS).parse_args([*words, "ping"])
    return completed(vars(args))


def test_the_users_own_file_comes_before_the_machines(tmp_path: Path) -> None:
    assert client_settings() == {}
    write(tmp_path / "etc" / "client.toml", 'site = "machine"\n')
    assert client_settings() == {"site": "machine"}
    own = write(tmp_path / "home" / "ostiary" / "client.toml", 'site = "own"\npassword_file = "hr"\n')
    assert client_settings() == {"site": "own", "password_file": str(own.parent / "hr")}
    named = write(tmp_path / "named.toml", 'site = "named"\nkey = "/k"\n')
    assert client_settings(named) == {"site": "named", "key": "/k"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("site = ", "not valid TOML"),
        ("sitte = 'a'", "did you mean `site`"),
        ("port = 0", "port"),
        ("timeout = -1", "timeout"),
        ("\xff", "read"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    path = tmp_path / "home" / "ostiary" / "client.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    assert ctl.main(["ping"]) == 2
    said = capsys.readouterr().err
    assert says in said and str(path) in said and "hint:" in said
    assert ctl.main(["schema"]) == 0, "which needs no broker"


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="no such file"):
        client_settings(tmp_path / "absent.toml")


def test_options_win_and_a_password_stays_with_its_user(tmp_path: Path) -> None:
    login = 'username = "hr"\npassword_file = "/p"\nkey = "/k"\n'
    write(tmp_path / "etc" / "client.toml", f'site = "acme"\ngate = "north"\nport = 1884\n{login}')
    found = filled("--gate", "south")
    assert (found["site"], found["gate"], found["port"], found["username"], found["password_file"]) == ("acme", "south", 1884, "hr", "/p")
    assert found["key"] == Path("/k")
    assert "password_file" not in filled("--username", "admin")
    assert filled("--password-file", "/q")["username"] == "hr"


def test_with_a_configuration_the_login_counts_at_its_own_broker_only(tmp_path: Path) -> None:
    config = write(
        tmp_path / "config.toml",
        'site = "acme"\n[gates.north]\nsource = "/dev/video0"\n[mqtt]\nusername = "gate-{gate}"\npassword_file = "gate-password"\n',
    )
    write(tmp_path / "gate-password", "of the gate\n")
    write(tmp_path / "etc" / "hr", "of hr\n")
    for login, wanted in (
        ('site = "acme"\nusername = "hr"\npassword_file = "hr"', ("hr", "of hr", False)),
        ('site = "acme"\nusername = "hr"', ("hr", None, False)),
        ('site = "acme"\ngate = "south"', ("gate-north", "of the gate", True)),
        ('site = "other"\nusername = "hr"\npassword_file = "hr"', ("gate-north", "of the gate", True)),
        ('site = "acme"\nport = 1884\nusername = "hr"', ("gate-north", "of the gate", True)),
        ('site = "acme"\nhost = "192.0.2.1"\nusername = "hr"', ("gate-north", "of the gate", True)),
    ):
        write(tmp_path / "etc" / "client.toml", login)
        args = parser(ctl.RUNS).parse_args(["--config", str(config), "ping"])
        to = target(completed(vars(args)), any_gate=False)
        assert (to.site, to.gate) == ("acme", "north")
        assert (to.address.username, to.address.password, to.address.is_gates_login) == wanted, login


def test_every_key_is_an_option() -> None:
    shown = parser(ctl.RUNS).format_help()
    for key in settings.keys(ClientSettings):
        assert f"--{key.name.replace('_', '-')} " in shown


@pytest.mark.broker
def test_under_the_shipped_access_list_the_gates_login_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mosquitto_installed: None
) -> None:
    with deployed(tmp_path) as broker:
        for login in ("gate-north", "hr"):
            write(tmp_path / login, f"secret of {login}\n").chmod(0o600)
        config = write(
            tmp_path / "config.toml",
            f'site = "acme"\n[gates.north]\nsource = "/dev/video0"\n[mqtt]\nport = {broker.port}\n'
            f'username = "gate-{{gate}}"\npassword_file = "gate-{{gate}}"\n',
        )
        command = ["--config", str(config), "--timeout", "1", "revoke", "E1"]
        assert ctl.main(command) == 1
        said = capsys.readouterr().err
        assert "gate's own login" in said and "client.toml" in said and "allow" not in said
        write(tmp_path / "etc" / "client.toml", f'site = "acme"\nport = {broker.port}\nusername = "hr"\npassword_file = "{tmp_path}/hr"\n')
        assert ctl.main(command) == 3, "allowed, and no gate is there to answer"
        assert "Not authorized" not in capsys.readouterr().err
