"""A mosquitto that a test can stop, freeze, kill and start again, on one port."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.conftest import free_port


def binary() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def wait_for_port(port: int, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Mosquitto:
    """`options` are lines of mosquitto.conf that come after the listener; with `persistent`, sessions survive stop() and start()."""

    def __init__(self, folder: Path, options: str = "allow_anonymous true\n", *, persistent: bool = False, port: int | None = None) -> None:
        self.port = port or free_port()
        self._conf = folder / f"mosquitto-{self.port}.conf"
        # Started by root, mosquitto becomes another user, who cannot read a test's folder.
        lines = "user root\n" if os.geteuid() == 0 else ""
        if persistent:
            lines += f"persistence true\npersistence_location {folder}/\n"
        self._conf.write_text(f"{lines}listener {self.port} 127.0.0.1\nset_tcp_nodelay true\n{options}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Mosquitto":
        found = binary()
        assert found is not None
        self._process = subprocess.Popen([found, "-c", str(self._conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port)
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None
