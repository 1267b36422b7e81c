"""What a fleet costs: bytes per person, the broker's memory and restart, a box that reads everything, one change that goes to many boxes.

    python -m bench.roster [--records 10000] [--boxes 100] [--only WORD]

Records are real ones of one desk: signed, sealed, with a crop and one vector for each template. Crops are pictures of the data folder
(OSTIARY_DATA), else painted. The broker is a mosquitto of our own on loopback with the limits of deploy/mosquitto.conf, which saves its
file when it is asked to. What 100,000 people need follows from the slope, or from `--records 100000` (3 GB of memory, 5 GB of disk).
"""

import argparse
import hashlib
import os
import secrets
import selectors
import signal
import statistics
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from numpy.typing import NDArray
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from bench.cost import machine
from daemon.client.broker import Address, Broker
from daemon.core import sealed_box, signing
from daemon.core.people import site_keys
from daemon.core.people.fleet_file import Box, Fleet
from daemon.core.people.roster import Card, Face, Stamp
from daemon.core.people.roster_head import Sum, head_said, made_head
from daemon.core.people.roster_wire import NONCE_BYTES, read, written
from daemon.ctl.roster.reading import read_all
from tests.conftest import ROOT
from tests.fixtures.mosquitto import Mosquitto

SITE, DESK = "acme", "desk"
OPTIONS = """allow_anonymous true
max_inflight_messages 32
max_queued_messages 20000
max_queued_bytes 134217728
max_packet_size 4194304
"""
CROPS, LONG_S = 500, 600.0
VECTOR = np.zeros(128, "<f4").tobytes()
KEY = signing.private_key(b"\1" * 32)
EDITION = site_keys.first(secrets.token_bytes(32), secrets.token_bytes(32), time.time())
MB = 1e6


def crops() -> list[bytes]:
    """Aligned faces as PNG files."""
    pictures = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared" / "data") / "faces/train.zip"
    if not pictures.is_file():
        rng = np.random.default_rng(1)
        return [
            _png(cv2.resize(rng.integers(0, 256, (28, 28, 3), np.uint8), (112, 112), interpolation=cv2.INTER_CUBIC)) for _ in range(CROPS)
        ]
    with zipfile.ZipFile(pictures) as folder:
        names = [name for name in folder.namelist() if name.endswith(".jpg")][:: max(1, len(folder.namelist()) // CROPS)]
        found = [cv2.imdecode(np.frombuffer(folder.read(name), np.uint8), cv2.IMREAD_COLOR) for name in names]
    return [_png(np.asarray(crop, np.uint8)) for crop in found if crop is not None]


def _png(crop: NDArray[Any]) -> bytes:
    return cv2.imencode(".png", crop)[1].tobytes()


def record(number: int, templates: Sequence[bytes], change: int = 1) -> tuple[str, bytes]:
    """The record of one person."""
    faces = {hashlib.sha256(crop).hexdigest(): Face(crop, {"ostiary-faces": VECTOR}) for crop in templates}
    card = Card(person=f"E{number}", name=f"Person {number}", enrolled_at=1.8e9, faces=faces)
    return written(SITE, EDITION.keys, Stamp(DESK, {DESK: change}), card, KEY, secrets.token_bytes(NONCE_BYTES))


def client(port: int, name: str) -> paho.Client:
    made = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
    made.connect("127.0.0.1", port, keepalive=600)
    return made


@dataclass(frozen=True)
class Used:
    """Of a process: memory in bytes, and CPU seconds."""

    memory: int
    cpu_s: float


def used(broker: Mosquitto) -> Used:
    assert broker._process is not None
    place = Path("/proc") / str(broker._process.pid)
    cpu = (place / "stat").read_text().rsplit(")", 1)[1].split()
    pages = int((place / "statm").read_text().split()[1])
    return Used(pages * os.sysconf("SC_PAGE_SIZE"), (int(cpu[11]) + int(cpu[12])) / os.sysconf("SC_CLK_TCK"))


@contextmanager
def running() -> Iterator[tuple[Mosquitto, Path]]:
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name), OPTIONS, persistent=True) as broker:
        yield broker, Path(name)


def fill(broker: Mosquitto, records: int, faces: Sequence[bytes]) -> float:
    """Publish so many records and their head; the seconds it took."""
    desk, held = client(broker.port, "desk"), Sum()
    desk.loop_start()
    begun = time.monotonic()
    for number in range(records):
        on, payload = record(number, [faces[number % len(faces)]])
        held = held.changed(None, hashlib.sha256(payload).digest())
        sent = desk.publish(on, payload, qos=1, retain=True)
        if number % 200 == 199:
            sent.wait_for_publish(60)
    head = made_head({DESK: held}, number=1, now=time.time(), life_s=3600.0)
    desk.publish(*head_said(head, SITE, DESK, KEY), qos=1, retain=True).wait_for_publish(60)
    seconds = time.monotonic() - begun
    desk.disconnect()
    desk.loop_stop()
    return seconds


def saving(broker: Mosquitto) -> float:
    """For how many seconds the broker answers nobody while it writes its file."""
    one = client(broker.port, "one")
    one.loop_start()
    one.publish("ostiary/none", b"1", qos=1).wait_for_publish(LONG_S)
    broker.signal(signal.SIGUSR1)
    seconds = 0.0
    for _ in range(20):
        begun = time.monotonic()
        one.publish("ostiary/none", b"1", qos=1).wait_for_publish(LONG_S)
        seconds = max(seconds, time.monotonic() - begun)
        time.sleep(0.02)
    one.disconnect()
    one.loop_stop()
    return seconds


def sizes(console: Console, faces: Sequence[bytes], arguments: argparse.Namespace) -> None:
    """Bytes per person, and what it costs to write and to read a record."""
    table = Table("templates", "bytes p50, p99", "ms to write", "ms to read", title="a record")
    writers = {DESK: KEY.public_key()}
    for count in (0, 1, 3):
        made, spent = [], time.process_time()
        for number in range(200):
            made.append(record(number, [faces[(number + extra) % len(faces)] for extra in range(count)]))
        wrote, spent = time.process_time() - spent, time.process_time()
        for on, payload in made:
            read(on, payload, EDITION.keys, writers)
        took = time.process_time() - spent
        long = sorted(len(payload) for _, payload in made)
        table.add_row(str(count), f"{long[100]:,}, {long[197]:,}", f"{1e3 * wrote / 200:.2f}", f"{1e3 * took / 200:.2f}")
    console.print(table)


def brokers(console: Console, faces: Sequence[bytes], arguments: argparse.Namespace) -> None:
    """Memory and restart of the broker, and a reader that starts from nothing."""
    table = Table(
        "records", "MB of records", "broker's MB", "MB on disk", "s to fill", "s of a save", "s to restart", "s to read all", "right"
    )
    for records in sorted({0, arguments.records // 10, arguments.records}):
        with running() as (broker, folder):
            filled = fill(broker, records, faces)
            memory, saved = used(broker).memory, saving(broker)
            broker.stop(LONG_S)
            disk = sum(file.stat().st_size for file in folder.iterdir())
            begun = time.monotonic()
            broker.start(LONG_S)
            restarted = time.monotonic() - begun
            box = Box(signing.public_text(KEY), sealed_box.public_text(sealed_box.private_key(b"\2" * 32)))
            begun = time.monotonic()
            with Broker(Address("127.0.0.1", broker.port, "5"), ["ostiary/none"]) as link:
                reading = read_all(link, Fleet(SITE, EDITION, {DESK: box}), 60.0)
            seconds, whole = time.monotonic() - begun, reading.coverage.standing(time.time())
            sent = records * statistics.mean(len(record(0, [crop])[1]) for crop in faces[:50]) / MB
            megabytes = [f"{number / MB:.0f}" for number in (sent * MB, memory, disk)]
            table.add_row(f"{records:,}", *megabytes, f"{filled:.1f}", f"{saved:.2f}", f"{restarted:.2f}", f"{seconds:.1f}", whole)
    console.print(table)


@dataclass
class Listeners:
    """So many boxes in one thread, and when each of them had the newest message (seconds)."""

    port: int
    boxes: int
    heard: list[float] = field(default_factory=list)
    waiting: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def __enter__(self) -> "Listeners":
        for number in range(self.boxes):
            one = client(self.port, f"box-{number}")
            one.subscribe(f"ostiary/v1/{SITE}/roster/+/+/+", 1)
            one.on_message = lambda *_: self.heard.append(time.perf_counter())
            self.waiting.register(one.socket(), selectors.EVENT_READ, one)  # type: ignore[arg-type]
        self.turn(1.0, -1)
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self.waiting.get_map().values()):
            key.data.disconnect()
        self.waiting.close()

    def turn(self, seconds: float, count: int) -> None:
        """Let all of them read until so many messages have come, or the time is up."""
        until = time.monotonic() + seconds
        while len(self.heard) != count and (left := until - time.monotonic()) > 0:
            for key, _ in self.waiting.select(min(left, 0.05)):
                key.data.loop_read()
                while key.data.want_write():
                    key.data.loop_write()


def changes(console: Console, faces: Sequence[bytes], arguments: argparse.Namespace) -> None:
    """One change to many boxes: until each has it."""
    table = Table("boxes", "templates", "ms p50, p99", "the last box: ms p50", "broker's CPU ms", "MB", title="a change to all boxes")
    for boxes in sorted({10, arguments.boxes}):
        for count in (0, 1):
            with running() as (broker, _), Listeners(broker.port, boxes) as listeners:
                taken, last, before = list[float](), list[float](), used(broker)
                desk = client(broker.port, "desk")
                desk.loop_start()
                for number in range(arguments.changes):
                    on, payload = record(number % 50, [faces[number % len(faces)]][:count], number + 1)
                    listeners.heard.clear()
                    begun = time.perf_counter()
                    desk.publish(on, payload, qos=1, retain=True)
                    listeners.turn(10.0, boxes)
                    assert len(listeners.heard) == boxes, "not every box has the change"
                    taken += [at - begun for at in listeners.heard]
                    last.append(max(listeners.heard) - begun)
                    time.sleep(0.02)
                desk.disconnect()
                desk.loop_stop()
                spent = (used(broker).cpu_s - before.cpu_s) / arguments.changes
            found = sorted(taken)
            p99 = found[round(0.99 * (len(found) - 1))]
            table.add_row(
                str(boxes), str(count), f"{1e3 * statistics.median(found):.1f}, {1e3 * p99:.1f}", f"{1e3 * statistics.median(last):.1f}",
                f"{1e3 * spent:.1f}", f"{boxes * len(payload) / MB:.2f}",
            )  # fmt: skip
    console.print(table)


PARTS = {"sizes": sizes, "brokers": brokers, "changes": changes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only the parts whose name contains this: " + ", ".join(PARTS))
    parser.add_argument("--records", type=int, default=10_000, help="how many people (10000)")
    parser.add_argument("--boxes", type=int, default=100, help="how many boxes hear a change (100)")
    parser.add_argument("--changes", type=int, default=200, help="how many changes are timed (200)")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=140)
    faces = crops()
    for name, part in PARTS.items():
        if arguments.only in name:
            part(console, faces, arguments)
    console.print(f"{machine()}; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
