"""Fixtures shared by all tests: where the test data lies, and a broker."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import daemon  # noqa: F401  sets the environment that onnxruntime and OpenCV read at import

ROOT = Path(__file__).resolve().parent.parent


def _missing(reason: str) -> None:
    # Where everything is promised to be there (CI), a skip would hide a hole.
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI promises it")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with test faces, clips and models; skips where it is absent."""
    folder = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "README.md").is_file():
        _missing(f"no test data in {folder} (set OSTIARY_DATA)")
    return folder


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """A mosquitto of its own on loopback, without persistence; gives its port."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if binary is None:
        _missing("mosquitto is not installed")
    assert binary is not None
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    process = subprocess.Popen([binary, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)
