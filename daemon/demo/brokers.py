"""The demo's MQTT broker: mosquitto where it is installed, else amqtt inside this process."""

import asyncio
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

START_S = 10.0


class NoBroker(RuntimeError):
    """No broker could be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """A broker on 127.0.0.1."""

    name: str
    port: int
    protocol: Literal["5", "3.1.1"]


@contextmanager
def broker(choice: Literal["auto", "mosquitto", "amqtt"], folder: Path) -> Iterator[Running]:
    """Run a broker for the length of a `with`. Raises NoBroker."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if choice == "mosquitto" and binary is None:
        raise NoBroker("mosquitto is not installed: apt install mosquitto, or choose --broker amqtt")
    with _mosquitto(binary, folder) if binary is not None and choice != "amqtt" else _amqtt() as running:
        yield running


@contextmanager
def _mosquitto(binary: str, folder: Path) -> Iterator[Running]:
    port = _free_port()
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    process = subprocess.Popen([binary, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield Running("mosquitto", port, "5")
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _amqtt() -> Iterator[Running]:
    try:
        from amqtt.broker import Broker
    except ImportError:
        raise NoBroker("neither mosquitto nor amqtt is installed: `make demo` installs amqtt") from None
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    port = _free_port()
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        inside = Broker(settings)
        await inside.start()
        await stop.wait()
        await inside.shutdown()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        _wait(port)
        yield Running("amqtt, inside this process", port, "3.1.1")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        if not thread.is_alive():
            loop.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise NoBroker(f"the broker did not answer on port {port} within {START_S:.0f} s") from None
            time.sleep(0.05)
