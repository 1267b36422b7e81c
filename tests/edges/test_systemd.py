"""Notifications to systemd, received by a socket of the test's own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.edges import systemd


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "file" else f"@ostiary-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield sock


def test_what_is_said_arrives(manager: socket.socket) -> None:
    assert systemd.ready()
    assert manager.recv(4096) == b"READY=1"
    assert systemd.alive()
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert systemd.stopping()
    assert manager.recv(4096) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "relative", "@ostiary-nobody"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert systemd.ready() is False


def test_a_manager_that_does_not_read_blocks_nothing(manager: socket.socket) -> None:
    sent = [systemd.alive() for _ in range(5000)]
    assert sent[0] is True
    assert sent[-1] is False
