"""`make console-demo`: everything starts with one command, and Ctrl-C or a SIGTERM ends it."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT

for library, extra in (("skimage", "demo"), ("amqtt", "demo"), ("fastapi", "console")):
    pytest.importorskip(library, reason=f"the extra `{extra}` is not installed")


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_the_console_is_and_ends_cleanly(tmp_path: Path, told: signal.Signals) -> None:
    heard = tmp_path / "heard"
    with heard.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.demo.console", "--broker", "amqtt", "--out", str(tmp_path / "out")],
            cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while "Passwords are new for every run." not in heard.read_text():
            assert process.poll() is None and time.monotonic() < deadline, heard.read_text()
            time.sleep(0.1)
        address = re.search(r"http://127\.0\.0\.1:\d+", heard.read_text())
        assert address is not None
        while True:
            try:
                page = urllib.request.urlopen(f"{address[0]}/login", timeout=10).read().decode()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, heard.read_text()
                time.sleep(0.1)
        assert "Sign in" in page
        assert {path.name for path in (tmp_path / "out").iterdir()} >= {"eileen-collins.jpg", "grace-hopper.jpg"}
        process.send_signal(told)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    said = heard.read_text()
    assert all(role in said for role in ("viewer", "guard", "desk", "admin"))
    assert "Everything has ended" in said and "Traceback" not in said and "Exception" not in said, said


def test_a_port_that_is_taken_ends_it_with_one_line(tmp_path: Path) -> None:
    ask = [sys.executable, "-m", "daemon.demo.console", "--broker", "amqtt", "--out", str(tmp_path), "--port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*ask, port], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1 and "cannot listen" in done.stdout and "Traceback" not in done.stdout + done.stderr, done
