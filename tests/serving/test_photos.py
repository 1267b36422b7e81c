"""A whole daemon and photos from outside: the gate goes on, and nothing stays behind when it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.serving.app import SANDBOX_AFTER_S
from tests.conftest import ROOT
from tests.fixtures.bombs import jpeg, scan_bomb
from tests.fixtures.running import configure, ctl, daemon_running, result


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def photo_process(pid: int, config: Path) -> int:
    """The process for photos, which starts with the first photo."""
    photo = config.parent / "frames" / "1.jpg"
    assert result(ctl(config, "enroll", "E0", "--image", photo))["reason"] == "no_face"
    (found,) = children(pid)
    return found


def begun(config: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "daemon.ctl.__main__", *arguments, "--config", str(config), "--timeout", "30", "--json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def config(tmp_path: Path, broker: int) -> Path:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.jpg").write_bytes(jpeg(640, 480))
    return configure(tmp_path, broker, tmp_path / "frames")


@pytest.mark.broker
def test_bombs_are_refused_while_the_gate_goes_on(tmp_path: Path, config: Path) -> None:
    files = {"scans": scan_bomb(2_000), "thin": jpeg(33, 50_000), "large": scan_bomb(8, 3_000, 3_000), "nothing": b"\xff\xd8\xff"}
    with daemon_running(config) as process:
        sandbox = photo_process(process.pid, config)
        for name, data in files.items():
            (tmp_path / f"{name}.jpg").write_bytes(data)
            enroll = ["enroll", "E1", "--image", tmp_path / f"{name}.jpg"]
            answer = result(ctl(config, *enroll))
            assert (answer["status"], answer["reason"]) == ("refused", "no_face" if name == "large" else "bad_image"), answer
            if name != "large":
                assert float(str(answer["took_ms"])) < 1_000 and children(process.pid) == [sandbox]
            assert result(ctl(config, "ping"))["status"] == "done"
        os.kill(sandbox, signal.SIGKILL)
        assert result(ctl(config, "enroll", "E1", "--image", tmp_path / "large.jpg"))["reason"] == "no_face", "by another process"
        assert result(ctl(config, "list"))["people"] == []
        assert process.poll() is None


@pytest.mark.broker
def test_a_photo_that_takes_long_holds_up_no_revocation(tmp_path: Path, config: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(scan_bomb(40, 2_000, 2_000))
    with daemon_running(config) as process:
        sandbox = photo_process(process.pid, config)
        os.kill(sandbox, signal.SIGSTOP)
        enrolment = begun(config, "enroll", "E1", "--image", str(tmp_path / "large.jpg"))
        try:
            deadline = time.monotonic() + 30
            while "command enroll: begun" not in config.with_name("daemon.log").read_text():
                assert time.monotonic() < deadline and enrolment.poll() is None
                time.sleep(0.05)
            assert result(ctl(config, "revoke", "E1"))["status"] == "done"
            assert enrolment.poll() is None
            os.kill(sandbox, signal.SIGCONT)
            out, _ = enrolment.communicate(timeout=30)
            assert json.loads(out.splitlines()[-1])["reason"] in ("no_face", "superseded")
        finally:
            with suppress(ProcessLookupError):
                os.kill(sandbox, signal.SIGCONT)  # a process that is stopped does not see that the daemon has gone
            enrolment.kill()
            enrolment.wait()


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_stays_behind(config: Path, number: int) -> None:
    with daemon_running(config) as process:
        assert children(process.pid) == [], "a gate that starts looks at faces first"
        sandbox = photo_process(process.pid, config)
        process.send_signal(number)
        process.wait(20)
        assert gone(sandbox, 5.0)


@pytest.mark.broker
def test_after_a_while_the_process_for_photos_is_there_before_the_first_photo(config: Path) -> None:
    with daemon_running(config) as process:
        deadline = time.monotonic() + SANDBOX_AFTER_S + 20
        while not children(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
