"""The whole daemon as a process: what status, metrics, journal and systemd's line say while things go wrong and come back."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.core.status import Word
from tests.conftest import ROOT
from tests.fixtures.mosquitto import Mosquitto, free_port


class Watched:
    """A daemon, and all that it says. Its standard error is what systemd calls the journal."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder, self.states = folder, list[str]()
        (folder / "config.toml").write_text(config)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self._notify.settimeout(0.2)
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.journal = folder / "journal"
        self._log = self.journal.open("wb")
        seen = os.fstat(self._log.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "run", "--config", str(folder / "config.toml")], cwd=ROOT, stderr=self._log,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "JOURNAL_STREAM": f"{seen.st_dev}:{seen.st_ino}"},
        )  # fmt: skip

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self.states.append(self._notify.recv(4096).decode())
            except TimeoutError:
                continue

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self._over.set()
        self._listener.join()
        self._notify.close()
        self._log.close()

    @property
    def line(self) -> str:
        """What `systemctl status` shows."""
        found = [state for state in self.states if state.startswith("STATUS=")]
        return found[-1].removeprefix("STATUS=") if found else ""

    def lines(self, priority: int) -> list[str]:
        return [line for line in self.journal.read_text("utf-8").splitlines() if line.startswith(f"<{priority}>")]

    def wait(self, holds: Callable[[], object], timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            assert self.process.poll() is None and time.monotonic() < deadline_s, (self.line, self.journal.read_text("utf-8")[-3000:])
            time.sleep(0.1)


@contextmanager
def watched(folder: Path, config: str) -> Iterator[Watched]:
    daemon = Watched(folder, config)
    try:
        yield daemon
    finally:
        daemon.close()


def reasons(port: int) -> set[str]:
    """What the metrics say of gate north; empty while they are not served."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return set()
    return {word for word in Word if f'ostiary_gate_reason{{gate="north",reason="{word}"}} 1.0' in lines}


def told(broker: int) -> dict[str, object]:
    """What `ostiaryctl status` shows."""
    done = subprocess.run(
        [sys.executable, "-m", "daemon.ctl", "--site", "test", "--port", str(broker), "--json", "status"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    shown = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(shown, dict)
    return shown


@pytest.mark.broker
def test_broker_camera_metrics_and_hangup(mosquitto_installed: None, tmp_path: Path) -> None:
    """The broker is away at the start, goes and comes; there is no camera; the metrics' port is taken at first."""
    port, metrics = free_port(), free_port()
    broker = Mosquitto(tmp_path, port=port)
    config = (
        f'site = "test"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "http://127.0.0.1:9/none"\n'
        f"[mqtt]\nport = {port}\n[metrics]\nport = {metrics}\n"
    )
    with socket.create_server(("127.0.0.1", metrics)) as taken, watched(tmp_path, config) as daemon:
        daemon.wait(lambda: all(word in daemon.line for word in ("metrics_down", "camera_down", "broker_down", "commands_down")))
        assert "READY=1" in daemon.states, "it serves all the same"
        taken.close()
        daemon.wait(lambda: reasons(metrics) >= {"camera_down", "broker_down", "commands_down", "revocations_down"})
        daemon.wait(lambda: "metrics_down" not in daemon.line and "metrics_down" not in reasons(metrics))
        assert any("metrics_down: " in line for line in daemon.lines(4)) and any("broker_down: " in line for line in daemon.lines(4))
        daemon.wait(lambda: any("camera_down: " in line and "nothing listens" in line for line in daemon.lines(4)))

        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait(lambda: any("SIGHUP is ignored" in line for line in daemon.lines(4)))
        beats = daemon.states.count("WATCHDOG=1")
        daemon.wait(lambda: daemon.states.count("WATCHDOG=1") > beats + 3)

        with broker:
            daemon.wait(lambda: "broker_down" not in daemon.line and "commands_down" not in daemon.line and daemon.line)
            daemon.wait(lambda: reasons(metrics) == {"camera_down", "uncalibrated"})
            said = told(port)
            words = [reason.split(":")[0] for reason in said["reasons"]]  # type: ignore[attr-defined]
            assert (said["state"], words) == ("degraded", ["camera_down", "uncalibrated"])
            assert daemon.line == "gate north degraded (camera_down, uncalibrated)"
            assert any("broker_down is over" in line for line in daemon.lines(6))
        daemon.wait(lambda: "broker_down" in daemon.line and "broker_down" in reasons(metrics))
        down = [line for line in daemon.lines(4) if "broker_down: " in line]
        assert 2 <= len(down) <= 2 * len(set(down)), "each cause once, and again after its end"
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0
        assert all(line[:1] == "<" and line[2:3] == ">" for line in daemon.journal.read_text("utf-8").splitlines())


@pytest.mark.broker
def test_a_name_that_does_not_resolve_and_a_device_that_is_not_there_are_waited_for(tmp_path: Path) -> None:
    config = (
        f'site = "test"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "/dev/video-none"\n'
        '[mqtt]\nhost = "no-such-broker.invalid"\nallow_unsigned_commands = true\n[metrics]\nhost = "no-such-box.invalid"\n'
    )
    with watched(tmp_path, config) as daemon:
        daemon.wait(lambda: all(word in daemon.line for word in ("camera_down", "broker_down", "metrics_down", "unsigned_commands")))
        assert "READY=1" in daemon.states and daemon.process.poll() is None


@pytest.mark.broker
def test_a_gate_that_is_taken_out_leaves_nothing_behind(broker: int, tmp_path: Path) -> None:
    def config(*gates: str) -> str:
        tables = "".join(f'[gates.{gate}]\nsource = "http://127.0.0.1:9/none"\n' for gate in gates)
        return f'site = "test"\nstate_dir = "{tmp_path / "state"}"\n{tables}[mqtt]\nport = {broker}\n[metrics]\nport = 0\n'

    def told() -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "daemon.ctl", "--site", "test", "--port", str(broker), "--json", "status"],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return {one["gate"]: one["state"] for one in map(json.loads, done.stdout.splitlines()) if "gate" in one}

    with watched(tmp_path, config("north", "south")) as daemon:
        daemon.wait(lambda: told() == {"north": "degraded", "south": "degraded"})
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0
    assert told() == {"north": "offline", "south": "offline"}
    (tmp_path / "notify").unlink()
    with watched(tmp_path, config("north")) as daemon:
        daemon.wait(lambda: told() == {"north": "degraded"})
        daemon.wait(lambda: any("gate south is no longer configured: its status is cleared" in line for line in daemon.lines(6)))
