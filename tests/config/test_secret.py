from pathlib import Path

import pytest

from daemon.config import ConfigError, exposed_passwords, load, need_private, parse, read_secret


def test_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    assert read_secret(str(tmp_path / "secret"), "mqtt.password_file") == "hunter2"
    (tmp_path / "empty").write_text("")
    for name in ("empty", "absent"):
        with pytest.raises(ConfigError, match=r"mqtt\.password_file"):
            read_secret(str(tmp_path / name), "mqtt.password_file")


def test_a_private_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "gate.key"
    key.write_text("x")
    for mode in (0o644, 0o604, 0o602):
        key.chmod(mode)
        with pytest.raises(ConfigError, match="everybody on this machine may read") as refused:
            need_private(str(key), "mqtt.key_file")
        assert f"chmod 640 {key}" in refused.value.hint
    for mode in (0o600, 0o640, 0o400):
        key.chmod(mode)
        need_private(str(key), "mqtt.key_file")


def test_passwords_that_everybody_may_read_are_named(tmp_path: Path) -> None:
    gates = {name: {"source": "rtsp://v:{password}@192.0.2.7/", "password_file": "camera"} for name in ("north", "south")}
    config = parse({"site": "acme", "gates": gates, "mqtt": {"password_file": "mqtt-{gate}"}}, folder=tmp_path)
    assert exposed_passwords(config) is None, "there are no files yet"
    for name, mode in (("camera", 0o640), ("mqtt-north", 0o600), ("mqtt-south", 0o644)):
        (tmp_path / name).write_text("hunter2")
        (tmp_path / name).chmod(mode)
    line = exposed_passwords(config)
    assert line is not None and f"{tmp_path}/mqtt-south" in line and "mqtt-north" not in line and "chmod 640" in line
    (tmp_path / "camera").chmod(0o604)
    line = exposed_passwords(config)
    assert line is not None and line.count(f"{tmp_path}/camera") == 2, "named once, and once in the command"
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        'source = ["rtsp://guard:hunter2@h/x"]',
        'source = "rtsp:/guard:hunter2@h/x"',
        'source = "rtsp:guard:hunter2@h"',
        'source = "guard:hunter2@h/x"',
        'source = "//guard:hunter2@h/x"',
        'source = "rtsp://guard:hunter2@h:99999/x"',
        'source = "rtsp://guard:hun/ter2hunter2@h/x"',
        'source = "rtsps//guard:hunter2@h/x"',
        'source = "rtsp://guard:hunter2@h/x y"',
        'source = "gopher://guard:hunter2@h/x"',
        'source = "rtsp://guard:hunter2@h/{password}"',
        'source = "rtsp://guard:hunter2@h/x"\nusername = "guard"',
        'source = "rtsp://h/x"\nusername = ["hunter2@h"]',
        'source = "rtsp://h/x"\npassword = "hunter2"',
        'source = "rtsp://h/x"\npassword_file = ["hunter2"]',
        'source = "rtsp://h/x"\ntransport = "rtsp://guard:hunter2@h"',
        'source = "rtsp://h/x"\n"rtsp://guard:hunter2@h" = 1',
        '[gates]\nsource = "rtsp://guard:hunter2@h/x"',
        '[gates]\nnorth = "rtsp://guard:hunter2@h/x"',
        'source = "rtsp://guard:hunter2@h/x',
        "source = rtsp://guard:hunter2@h/x",
        'source = "rtsp://guard:hunter2@h/\\x"',
    ],
)
def test_no_error_of_a_configuration_repeats_an_address(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'site = "s"\nstate_dir = "state"\n{"" if text.startswith("[") else "[gates.north]"}\n{text}\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}", caught.value.message
