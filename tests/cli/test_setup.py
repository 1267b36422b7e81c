"""`ostiaryd setup`: what it asks, sees and tries, and that it writes a configuration that works or nothing."""

import base64
import os
import pty
import select
import stat
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.cli import setup
from daemon.cli.check import check
from daemon.config import load
from daemon.core import signing
from daemon.core.values import Image
from tests.conftest import ROOT
from tests.fixtures.mosquitto import free_port

skimage_data = pytest.importorskip("skimage.data")


def portrait() -> Image:
    return np.asarray(cv2.resize(skimage_data.astronaut()[:, :, ::-1], (480, 480)), np.uint8)


def scene(folder: Path, image: Image) -> Path:
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def options(tmp_path: Path, source: Path | str, port: int) -> list[str]:
    place = ["--config", str(tmp_path / "config.toml"), "--state-dir", str(tmp_path / "state")]
    return ["setup", *place, "--site", "acme", "--gate", "north", "--source", str(source), "--port", str(port)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that shows nothing is given up at once."""
    monkeypatch.setattr(setup, "FIRST_PICTURE_S", 0.3)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.broker
def test_it_writes_a_configuration_that_passes_check_and_says_how_to_go_on(
    tmp_path: Path, broker: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(tmp_path, scene(tmp_path / "scene", portrait()), broker), "--yes", "--command-key", "hr.1"]) == 0
    said, path = capsys.readouterr().out, tmp_path / "config.toml"
    assert "face 1: 9" in said and "good: the gate can compare it" in said
    assert all(works for _, works, _ in check(load(path)))
    assert mode(path) == 0o640 and mode(tmp_path / "hr.1.key") == 0o600 and mode(tmp_path / "north-test-frame.jpg") == 0o600
    name, secret = (tmp_path / "hr.1.key").read_text().split()
    key = signing.private_key(base64.b64decode(secret))
    assert (name, load(path).commands.keys["hr.1"].public) == ("hr.1", signing.public_text(key))
    lines = [line.strip() for line in said.splitlines() if line.startswith("    ostiary")]
    assert [line.split()[0:1] + [word for word in line.split() if word in ("run", "enroll", "watch")] for line in lines] == [
        ["ostiaryd", "run"], ["ostiaryctl", "enroll"], ["ostiaryctl", "watch"],
    ]  # fmt: skip
    drawn = cv2.imread(str(tmp_path / "north-test-frame.jpg"))
    assert drawn is not None and drawn.shape == (960, 960, 3)


def test_a_turned_camera_is_set_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = np.ascontiguousarray(np.rot90(portrait()))
    assert main([*options(tmp_path, scene(tmp_path / "scene", turned), 1), "--yes", "--anyway"]) == 1
    assert load(tmp_path / "config.toml").gates["north"].rotate == 90 and "rotate = 90 is set" in capsys.readouterr().out


@pytest.mark.parametrize(("shown", "says"), [("dark", "too dark"), ("far", "too far away"), ("night", "the picture is dark")])
def test_advice_about_what_the_camera_shows(tmp_path: Path, shown: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    dim = (portrait() * 0.08).astype(np.uint8)
    images = {"dark": dim, "far": np.full((480, 640, 3), 150, np.uint8), "night": np.full((480, 640, 3), 9, np.uint8)}
    assert main([*options(tmp_path, scene(tmp_path / "scene", images[shown]), 1), "--yes"]) == 1
    assert says in capsys.readouterr().out


def test_what_does_not_work_writes_nothing_unless_it_is_wanted(tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*options(tmp_path, "/dev/no-camera", free_port()), "--yes"]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "✗  camera north" in said and "✗  broker north" in said and "✓  model" in said
    assert "No camera yet?" in said and "sudo apt install mosquitto" in said and "Nothing is written" in said
    assert list(tmp_path.iterdir()) == []
    assert main([*command, "--anyway"]) == 1, "a script can tell"
    assert load(tmp_path / "config.toml").gates["north"].source == "/dev/no-camera"


def test_a_network_camera_that_cannot_be_reached_says_why_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*options(tmp_path, f"rtsp://127.0.0.1:{free_port()}/stream", free_port()), "--yes"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "camera north" in line]
    assert "no picture: nothing listens at the port" in line and "next try" not in line


def test_nothing_is_written_over(tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*options(tmp_path, "/dev/no-camera", free_port()), "--yes", "--anyway", "--command-key", "hr"]
    for name in ("config.toml", "hr.key"):
        (tmp_path / name).write_text("mine")
        assert main(command) == 1
        assert f"{name}: there is a file already" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
        if name == "config.toml":
            (tmp_path / name).unlink()
    assert main([*command, "--force"]) == 1 and "mine" not in (tmp_path / "hr.key").read_text()


def test_without_a_terminal_what_is_missing_is_named_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["setup", "--config", str(tmp_path / "c.toml"), "--gate", "north"]) == 78
    said = capsys.readouterr()
    assert "not given: --site, --source" in said.err and "--yes" in said.err and said.out == ""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--site", "a/b"], "--site: 'a/b' cannot be part"),
        (["--gate", "all"], "--gate: 'all'"),
        (["--source", "rtsp://viewer:s3cr#t@192.0.2.7/x"], "--source: the URL holds a login"),
        (["--source", "nowhere.mp4"], "--source: nowhere.mp4 does not exist"),
        (["--port", "0"], "--port: 0 is not a port"),
        (["--detector", "yolo"], "--detector: yolo is neither"),
        (["--host", "192.0.2.9", "--command-key", "none"], "--command-key: the broker is not on this machine"),
        (["--cert-file", "a.pem"], "--cert-file says nothing"),
        (["--username", "viewer"], "--username says nothing"),
        (["--source", "rtsp://192.0.2.7/x", "--username", "viewer"], "not given: --camera-password-file"),
        (["--mqtt-username", "gate"], "not given: --mqtt-password-file"),
        (["--mqtt-username", "gate", "--mqtt-password-file", "nowhere"], "nowhere is not a file"),
        (["--config", "/nowhere/at/all/config.toml"], "this user may not write there"),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_is_one_line_and_a_hint(
    tmp_path: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([*options(tmp_path, "/dev/video0", 1), "--yes", *more])
    said = capsys.readouterr()
    assert status == 78 and says in said.err and "s3cr" not in said.err + said.out and len(said.err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def at_a_terminal(answers: list[str], *command: str) -> tuple[str, int]:
    """What a program says to somebody who gives these answers at a terminal, each when a question ends the output; its exit status."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.environ["TERM"] = "dumb"
        os.execv(sys.executable, [sys.executable, "-m", "daemon", *command])
    said, left, deadline = b"", list(answers), time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.3)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:
                break
        elif left and said.rstrip().endswith(b":"):
            os.write(terminal, f"{left.pop(0)}\n".encode())
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.broker
def test_somebody_at_a_terminal_is_asked_again_and_a_password_stays_unseen(tmp_path: Path, broker: int) -> None:
    place = scene(tmp_path / "scene", portrait())
    answers = ["ac me", "acme", "", "nowhere.mp4", str(place), "", "", "", str(broker), "gate-north", "s3cr#t", ""]
    said, status = at_a_terminal(answers, "setup", "--config", str(tmp_path / "config.toml"), "--state-dir", str(tmp_path / "state"))
    assert status == 0 and "s3cr" not in said, said
    assert "cannot be part of an MQTT topic" in said and "nowhere.mp4 does not exist" in said
    config, password = load(tmp_path / "config.toml"), tmp_path / "mqtt-password"
    assert (config.site, list(config.gates), config.mqtt.username, config.mqtt.password()) == ("acme", ["north"], "gate-north", "s3cr#t")
    assert mode(password) == 0o600 and config.mqtt.password_file == str(password)
    assert "s3cr" not in (tmp_path / "config.toml").read_text()
