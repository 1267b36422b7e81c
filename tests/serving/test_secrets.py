"""The login of a camera appears in nothing that a whole daemon says, writes or lets others see."""

import os
import pty
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import ROOT
from tests.fixtures.mjpeg import MjpegServer
from tests.fixtures.mosquitto import free_port
from tests.fixtures.running import daemon_running, ostiaryd
from tests.fixtures.watching import Watcher

NAME, SECRET, IN_PATH = "gu@rd:1", "h#?/[@:%25x ü]", "pathsecret#%/x"


def forms(secret: str) -> set[str]:
    """How it could be written: as it is, quoted in either way, and its parts."""
    parts = {part for part in secret.replace("#", " ").replace("/", " ").split() if len(part) > 5}
    return {secret, quote(secret), quote(secret, safe=""), *parts}


def on_a_terminal(*arguments: object) -> str:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "daemon", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "400"})
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # its end
        pass
    os.close(ours)
    process.wait(60)
    return seen.decode(errors="replace")


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    return [pid, *children]


@pytest.mark.broker
@pytest.mark.parametrize(
    ("apart", "right"), [(True, True), (False, False), *([(True, False), (False, True)] if os.environ.get("OSTIARY_FAULTS") else [])]
)
def test_the_login_of_a_camera_appears_nowhere(tmp_path: Path, broker: int, apart: bool, right: bool) -> None:
    with MjpegServer() as server, Watcher(broker) as watcher:
        server.login = (NAME, SECRET) if right else ("somebody", "else")
        path = f"/{quote(IN_PATH, safe='')}/video?key={quote(IN_PATH, safe='')}"
        (tmp_path / "camera").write_text(SECRET + "\n", "utf-8")
        (tmp_path / "camera").chmod(0o600)
        login = "" if apart else f"{quote(NAME, safe='')}:{quote(SECRET, safe='')}@"
        keys = f"username = '{NAME}'\npassword_file = 'camera'\n" if apart else ""
        metrics, config = free_port(), tmp_path / "config.toml"
        config.write_text(
            f'site = "hq"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "{server.url(path, login)}"\n{keys}'
            f"[mqtt]\nport = {broker}\n[metrics]\nport = {metrics}\n"
        )
        said: dict[str, str] = {}
        with daemon_running(config) as process:
            deadline, wanted = time.monotonic() + 60, "camera" if right else "refuses user name and password"
            while not (
                any(right != ("camera_down" in str(one.body["reasons"])) for one in watcher.of("status"))
                and (len(server.requests) > 0)
                and (right or wanted in (tmp_path / "daemon.log").read_text())
            ):
                assert time.monotonic() < deadline, (watcher.of("status"), (tmp_path / "daemon.log").read_text())
                time.sleep(0.1)
            time.sleep(2)  # the flight recorder writes
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as response:
                said["metrics"] = response.read().decode()
            for pid in family(process.pid):
                for file in ("cmdline", "environ"):
                    said[f"{file} of {pid}"] = Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
            process.terminate()
            process.wait(20)
        said["journal"] = (tmp_path / "daemon.log").read_text()
        said["messages"] = "\n".join(f"{one.leaf} {one.body}" for one in watcher.said)
        for command in ("check", "flight", "audit"):
            done = ostiaryd(command, "--config", config)
            said[command] = done.stdout + done.stderr
        said["check on a terminal"] = on_a_terminal("check", "--config", config)
        if apart:
            done = ostiaryd(
                "setup", "--config", tmp_path / "new.toml", "--state-dir", tmp_path / "new", "--site", "hq", "--gate", "south",
                "--source", server.url(path), "--username", NAME, "--camera-password-file", tmp_path / "camera", "--port", broker, "--yes",
            )  # fmt: skip
            said["setup"] = done.stdout + done.stderr
        said["state"] = "".join(file.read_bytes().decode("latin-1") for file in (tmp_path / "state").rglob("*") if file.is_file())
    assert all(said[part] for part in ("journal", "messages", "metrics", "check", "check on a terminal", "state"))
    assert "camera" in said["check"] and "camera" in said["journal"] and len(watcher.of("status")) > 0
    for part, text in said.items():
        found = [form for secret in (SECRET, IN_PATH) for form in forms(secret) if form in text]
        assert not found, f"{part} has {found}: {[line for line in text.splitlines() if any(form in line for form in found)]}"
