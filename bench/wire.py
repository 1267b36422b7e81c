"""What wire and store cost: command to result, decision to the broker's answer, decisions a second, and the backlog after an outage.

    python -m bench.wire [--only WORD] [--count N] [--stored 0 10000 100000]

The gate runs in a process of its own, with everything real but camera and models: engine, store on disk, and the connections to a mosquitto
on loopback that the bench starts. Beside it, in the same run and in turns with it: a bare paho publisher and a bare paho echo of the same
payloads at QoS 1, and a bare SQLite commit of a row of that size (WAL, synchronous=FULL, on the same disk). CPU is that of the process that
answers or publishes. `stored` answers and waiting messages are in the store before the gate starts; the messages wait for another gate,
whose broker is away.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import queue
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from daemon.commands.desk import Desk
from daemon.config import CommandsConfig, Config, DecisionConfig, GateConfig, MetricsConfig, MqttConfig, OutboxConfig
from daemon.core.boxes import Box
from daemon.core.messages import encode, offline_status, topic
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.values import Face, Outgoing, Probe, Quality, View
from daemon.edges.metrics import Metrics
from daemon.edges.mqtt import Lanes
from daemon.edges.mqtt.client import _no_delay
from daemon.edges.store import Store, open_store
from daemon.pipeline import opening
from daemon.serving.engine import Engine
from daemon.serving.gate_state import Gate
from daemon.serving.mailbox import CameraState, Mailbox
from daemon.serving.signature import box_key, signer
from tests.fixtures.desk import MODELS, command, current, desk, painted, painted_crops
from tests.fixtures.mosquitto import Mosquitto

SITE = "hq"
GATES = tuple(f"gate{number}" for number in range(8))
STRANGER = 240
AWAY = "away"
"""A gate whose broker cannot be reached: its messages wait."""
PAUSE_S = 0.02
"""Between two measurements of one kind."""
ROUNDS = 5
OURS, PAHO, SQLITE = "decision", "bare paho", "bare SQLite commit"
WAIT_S = 120.0


# ---- the gate, in its own process


class Away:
    """A connection that is down."""

    connected = False

    def publish(self, message: Outgoing) -> bool:
        return False

    def acknowledge(self, receipt: tuple[int, int, int]) -> None:
        raise AssertionError(receipt)

    def is_alive(self) -> bool:
        return True


def configured(port: int) -> Config:
    """A face is decided about with its first frame, and its passage is over with the next one."""
    return Config(
        site=SITE,
        gates={name: GateConfig(source="x") for name in (*GATES, AWAY)},
        decision=DecisionConfig(threshold=0.99, min_frames=1, patience=1, min_s=0.0, lost_s=0.0005, accept_valid_s=600.0),
        commands=CommandsConfig(grants=("force",)),
        outbox=OutboxConfig(most=1_000_000),
        mqtt=MqttConfig(port=port),
        metrics=MetricsConfig(port=0),
    )


class Daemon:
    """The engine with eight gates, and what the bench asks of it."""

    def __init__(self, folder: Path, port: int) -> None:
        config = configured(port)
        self.store = open_store(folder)
        memory = current(self.store, MODELS, opening.policy(config))
        self.mailbox, tag, sign = Mailbox(len(GATES)), self.store.client_tag(), signer(box_key(self.store))
        self.lanes = {
            name: Lanes(
                config.mqtt, site=SITE, gate=name, client_id=f"wire-{name}-{tag}", password=None, offline=encode(offline_status("1")),
                deliver=self.mailbox.deliver,
            )
            for name in GATES
        }  # fmt: skip
        links: dict[str, Any] = {**self.lanes, AWAY: Away()}
        rules, lost_s = memory.serving.rules(), config.decision.lost_s
        gates = {name: Gate(Gatekeeper(name, rules, lost_s), link, stale_s=600.0) for name, link in links.items()}
        self.published: queue.Queue[float] = queue.Queue()
        metrics = Metrics()
        metrics.capture_to_publish = lambda gate, seconds: self.published.put(seconds)  # type: ignore[method-assign]
        the_desk = desk(self.store, frozenset(config.commands.grants), memory, kind=Desk)
        self.engine = Engine(
            config, self.store, memory, the_desk, gates, self.mailbox, metrics, MODELS, painted_crops, "1", sign=sign
        )  # fmt: skip
        self.stop, self.turns, self.number = threading.Event(), 0, 0
        self.engine_clock = time.pthread_getcpuclockid(threading.get_ident())

    def run(self, pipe: Connection) -> None:
        for name, lane in self.lanes.items():
            self.mailbox.tell(CameraState(name, "up", None, True))
            lane.start()
        asked = threading.Thread(target=self.serve, args=(pipe,), daemon=True)
        asked.start()
        while not self.stop.is_set():
            self.engine.turn(0.25)
            self.turns += 1
        for lane in self.lanes.values():
            lane.stop(None, 1.0)
        self.engine.settle()
        self.engine.close()
        self.store.close()

    # ---- for the bench, on a thread

    def serve(self, pipe: Connection) -> None:
        while True:
            name, *arguments = pipe.recv()
            pipe.send(getattr(self, name)(*arguments))
            if name == "end":
                return

    def end(self) -> None:
        self.stop.set()
        self.mailbox.wake.set()

    def ready(self) -> bool:
        return all(lane.ready for lane in self.lanes.values())

    def used(self) -> tuple[float, float, int]:
        """CPU seconds of the process and of the engine's thread, and the engine's turns."""
        return time.process_time(), time.clock_gettime(self.engine_clock), self.turns

    def offer(self, gate: str, brightness: int | None) -> None:
        probes: tuple[Probe, ...] = ()
        if brightness is not None:
            crop = np.full((112, 112, 3), brightness, np.uint8)
            probes = (Probe(Face(Box(100, 100, 80, 80), 1.0), crop, Quality.OK),)
        self.number += 1
        self.mailbox.offer(View(gate, self.number, time.monotonic(), time.time(), probes), self.stop)

    def decide_apart(self, count: int) -> list[float]:
        """One decision after the other; how long each took from the view to the broker's answer (seconds)."""
        taken = []
        for _ in range(count):
            self.offer(GATES[0], STRANGER)
            taken.append(self.published.get(timeout=WAIT_S))
            time.sleep(PAUSE_S)
        return taken

    def decide_fast(self, count: int, gates: int) -> float:
        """So many decisions as fast as the engine takes views; how long until the broker has answered for all of them (seconds)."""
        began = time.monotonic()
        for number in range(count):
            self.offer(GATES[number % gates], STRANGER)
            time.sleep(0.0006 / gates)  # the passage before is over
        for _ in range(count):
            self.published.get(timeout=WAIT_S)
        return time.monotonic() - began

    def watch_nobody(self, gates: int, fps: float, seconds: float) -> None:
        """Offer empty views of so many cameras."""
        began, period_s = time.monotonic(), 1 / (gates * fps)
        for number in range(int(seconds / period_s)):
            time.sleep(max(0.0, began + number * period_s - time.monotonic()))
            self.offer(GATES[number % gates], None)

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def waiting(self) -> int:
        return len(self.store.waiting(GATES[0]))


def daemon(folder: str, port: int, pipe: Connection) -> None:
    Daemon(Path(folder), port).run(pipe)


@dataclass
class Asked:
    """The gate's process, seen from the bench."""

    pipe: Connection

    def __call__(self, name: str, *arguments: object) -> Any:
        self.pipe.send((name, *arguments))
        return self.pipe.recv()

    def cost(self, name: str, *arguments: object) -> tuple[Any, float, float, int]:
        """What it returns, the CPU seconds of the process and of the engine's thread, and the engine's turns."""
        before = self("used")
        found = self(name, *arguments)
        after = self("used")
        return found, after[0] - before[0], after[1] - before[1], after[2] - before[2]


@contextmanager
def gate_running(folder: Path, port: int) -> Iterator[Asked]:
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=daemon, args=(str(folder), port, far))
    process.start()
    asked = Asked(pipe)
    try:
        until(lambda: bool(asked("ready")))
        yield asked
        asked("end")
    finally:
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()


def connected(client: paho.Client, port: int) -> paho.Client:
    """The client, connected; small packets go at once, as the gate's do."""
    client.on_socket_open = _no_delay
    client.connect("127.0.0.1", port)
    return client


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT_S:.0f} s")
        time.sleep(0.01)


def filled(folder: Path, answers: int, away: int, here: int = 0) -> None:
    """A store with so many answers and waiting messages, all of them alike."""
    store: Store = open_store(folder)
    payload = b'{"x":"' + b"0" * 480 + b'"}'
    with store.transaction():
        for number in range(answers):
            store.put_result(f"00000000-0000-0000-0000-{number:012}", payload, time.time())
        for gate, count in ((AWAY, away), (GATES[0], here)):
            for _ in range(count):
                store.enqueue(gate, topic(SITE, gate, "result"), payload, at=time.time())
    store.close()


# ---- bare things


@dataclass
class Bare:
    """A paho client, and how long the broker takes to answer for what it publishes."""

    port: int
    name: str
    window: int = 10
    taken: "queue.Queue[float]" = field(default_factory=queue.Queue)

    def __enter__(self) -> "Bare":
        self.client = client = paho.Client(CallbackAPIVersion.VERSION2, self.name)
        client.max_inflight_messages = self.window
        client.on_publish = lambda *_: self.taken.put(time.perf_counter())
        connected(client, self.port)
        client.loop_start()
        until(client.is_connected)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def apart(self, payload: bytes, count: int) -> list[float]:
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            self.client.publish("bare", payload, qos=1)
            taken.append(self.taken.get(timeout=WAIT_S) - began)
            time.sleep(PAUSE_S)
        return taken

    def fast(self, payload: bytes, count: int) -> float:
        began = time.perf_counter()
        for number in range(count):
            if number >= self.window:
                self.taken.get(timeout=WAIT_S)
            self.client.publish("bare", payload, qos=1)
        for _ in range(min(count, self.window)):
            self.taken.get(timeout=WAIT_S)
        return time.perf_counter() - began


@dataclass
class Table1:
    """A bare SQLite file with one table."""

    folder: Path

    def __enter__(self) -> "Table1":
        self.connection = sqlite3.connect(self.folder / "bare.sqlite", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute("CREATE TABLE IF NOT EXISTS rows (row INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def put(self, data: bytes) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("INSERT INTO rows (data) VALUES (?)", (data,))
        self.connection.execute("COMMIT")

    def apart(self, data: bytes, count: int, pause_s: float = PAUSE_S) -> list[float]:
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            self.put(data)
            taken.append(time.perf_counter() - began)
            time.sleep(pause_s)
        return taken


def echo(folder: str, port: int, answer: bytes, pipe: Connection) -> None:
    """A process that answers each message on `ask` with one on `answer`, after a commit for those on `ask/stored`."""
    with Table1(Path(folder)) as table:
        client = paho.Client(CallbackAPIVersion.VERSION2, "echo")

        def heard(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
            if message.topic == "ask/stored":
                table.put(answer)
            client.publish("answer", answer, qos=1)

        client.on_message = heard
        connected(client, port)
        client.subscribe([("ask", 1), ("ask/stored", 1)])
        client.loop_start()
        while pipe.recv() is not None:
            pipe.send(time.process_time())
        client.disconnect()
        client.loop_stop()


@dataclass
class Sender:
    """Sends commands and hears their results."""

    port: int
    heard: "queue.Queue[tuple[float, bytes]]" = field(default_factory=queue.Queue)

    def __enter__(self) -> "Sender":
        self.client = client = paho.Client(CallbackAPIVersion.VERSION2, "sender")
        client.on_message = lambda c, u, message: self.heard.put((time.perf_counter(), bytes(message.payload)))
        connected(client, self.port)
        client.subscribe([(topic(SITE, GATES[0], "result"), 1), ("answer", 1)])
        client.loop_start()
        until(client.is_connected)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def ask(self, where: str, payload: bytes) -> tuple[float, bytes]:
        """Seconds until the answer, and the answer."""
        began = time.perf_counter()
        self.client.publish(where, payload, qos=1)
        at, answer = self.heard.get(timeout=WAIT_S)
        return at - began, answer


# ---- tables


def ms(seconds: Sequence[float]) -> str:
    found = sorted(seconds)
    return f"{1e3 * statistics.median(found):.2f}, {1e3 * found[round(0.99 * (len(found) - 1))]:.2f}"


def per(cpu_s: float, count: int) -> str:
    return f"{1e6 * cpu_s / count:.0f}"


COMMAND, URGENT = topic(SITE, GATES[0], "command"), topic(SITE, GATES[0], "command/revoke")
OPS: dict[str, Callable[[int], tuple[str, bytes]]] = {
    "ping": lambda number: (COMMAND, asked("ping")),
    "update": lambda number: (COMMAND, asked("update", "E0", name=f"N{number}")),
    "suspend (urgent)": lambda number: (URGENT, asked("suspend", "E0")),
    "enrol, one crop": lambda number: (COMMAND, asked("enroll", f"P{number}", [painted(80 + number % 100)], force=True)),
    "revoke (urgent)": lambda number: (URGENT, asked("revoke", f"P{number}")),
}


def asked(op: str, person: str | None = None, images: list[bytes] | None = None, **more: Any) -> bytes:
    return command(op, person, images, now=time.time(), life=590.0, **more)


@dataclass
class Measured:
    """Seconds of each piece of work, and the CPU seconds of the process and of the engine's thread for all of them, by its name."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, name: str, taken: Sequence[float], process_s: float, engine_s: float = 0.0) -> None:
        self.taken.setdefault(name, []).extend(taken)
        before = self.cpu.get(name, (0.0, 0.0))
        self.cpu[name] = before[0] + process_s, before[1] + engine_s

    def of(self, name: str) -> float:
        """The median, in seconds."""
        return statistics.median(self.taken[name])

    def used(self, name: str) -> str:
        """CPU µs of each: of the process, and of the engine's thread where there is one."""
        process_s, engine_s = self.cpu[name]
        count = len(self.taken[name])
        return per(process_s, count) + (f", {per(engine_s, count)}" if engine_s else "")


def commanded(port: int, folder: Path, size: int, count: int) -> Measured:
    """Commands, and in turns with them the echo's."""
    found = Measured()
    context = multiprocessing.get_context("spawn")
    state = folder / f"state-{size}"
    filled(state, size, size)
    pipe, far = context.Pipe()
    other = context.Process(target=echo, args=(str(folder), port, b"0" * 480, far), daemon=True)
    other.start()
    with gate_running(state, port) as gate, Sender(port) as sender:
        status = json.loads(sender.ask(COMMAND, asked("enroll", "E0", [painted(200)], force=True))[1])
        assert status["status"] == "done", status
        for round_ in range(ROUNDS):
            for name, made in OPS.items():
                before, taken = gate("used"), []
                for number in range(round_ * count // ROUNDS, (round_ + 1) * count // ROUNDS):
                    seconds, answer = sender.ask(*made(number))
                    assert json.loads(answer)["status"] == "done", answer
                    taken.append(seconds)
                    time.sleep(PAUSE_S)
                after = gate("used")
                found.add(name, taken, after[0] - before[0], after[1] - before[1])
            for name in ("ask", "ask/stored"):
                pipe.send("cpu")
                began, taken = pipe.recv(), []
                for _ in range(count // ROUNDS):
                    taken.append(sender.ask(name, b"0" * 300)[0])
                    time.sleep(PAUSE_S)
                pipe.send("cpu")
                found.add(name, taken, pipe.recv() - began)
    pipe.send(None)
    other.join(10)
    return found


def commands(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """Command to result; stored answers and waiting messages make no difference where nothing scans them."""
    table = Table(
        "command", "stored", "ms p50, p99", "/ echo", "/ echo with a commit", "CPU µs: process, engine",
        title="command → result",
    )  # fmt: skip
    for size in stored:
        found = commanded(port, folder, size, count)
        for name, label in {**{op: op for op in OPS}, "ask": "bare echo", "ask/stored": "echo with a commit"}.items():
            table.add_row(
                label, f"{size:,}", ms(found.taken[name]), f"{found.of(name) / found.of('ask'):.2f}",
                f"{found.of(name) / found.of('ask/stored'):.2f}", found.used(name),
            )  # fmt: skip
    console.print(table)


@dataclass(frozen=True)
class Rush:
    """So many in so many seconds, the CPU seconds of their process, and the engine's turns."""

    count: int
    seconds: float
    cpu_s: float
    turns: float = 0.0

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def decided(port: int, folder: Path, size: int, count: int, gates: Sequence[int] = (1, 4, 8)) -> tuple[Measured, dict[str, Rush]]:
    """Decisions one by one and ten times as many as fast as they go, and in turns with them paho's publish and SQLite's commit."""
    state = folder / f"decide-{size}"
    filled(state, size, size)
    apart = Measured()
    runs: dict[str, list[Rush]] = {}
    payload, each = b"0" * 900, 10 * count // ROUNDS
    with gate_running(state, port) as gate, Bare(port, "bare") as bare, Table1(folder) as table:
        gate("decide_apart", 10)
        for _ in range(ROUNDS):
            found, process_s, engine_s, _ = gate.cost("decide_apart", count // ROUNDS)
            apart.add(OURS, found, process_s, engine_s)
            for name, work in ((PAHO, bare.apart), (SQLITE, table.apart)):
                before = time.process_time()
                found = work(payload, count // ROUNDS)
                apart.add(name, found, time.process_time() - before)
            for many in gates:
                seconds, process_s, _, turns = gate.cost("decide_fast", each, many)
                runs.setdefault(rushed(many), []).append(Rush(each, seconds, process_s, turns))
            before = time.process_time()
            seconds = bare.fast(payload, each)
            runs.setdefault(PAHO, []).append(Rush(each, seconds, time.process_time() - before))
            before = time.process_time()
            seconds = sum(table.apart(payload, each, 0.0))
            runs.setdefault(SQLITE, []).append(Rush(each, seconds, time.process_time() - before))
    middle = {
        name: Rush(
            each, statistics.median(run.seconds for run in them), statistics.median(run.cpu_s for run in them),
            statistics.median(run.turns for run in them),
        )
        for name, them in runs.items()
    }  # fmt: skip
    return apart, middle


def rushed(gates: int) -> str:
    return f"decisions, {gates} gate{'s' * (gates > 1)}"


def decisions(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """Decisions one by one and as fast as they go, beside paho and SQLite."""
    table = Table("", "stored", "ms p50, p99", "/ paho + commit", "CPU µs: process, engine", title="decision → the broker's answer")
    rates = Table("", "stored", "a second", "/ commit", "/ paho", "CPU µs", "engine's turns", title="as fast as they go")
    for size in stored:
        apart, rushes = decided(port, folder, size, count)
        floor = apart.of(PAHO) + apart.of(SQLITE)
        for name, taken in apart.taken.items():
            table.add_row(name, f"{size:,}", ms(taken), f"{apart.of(name) / floor:.2f}", apart.used(name))
        for name, rush in rushes.items():
            rates.add_row(
                name, f"{size:,}", f"{rush.rate:.0f}", f"{rush.rate / rushes[SQLITE].rate:.2f}", f"{rush.rate / rushes[PAHO].rate:.2f}",
                per(rush.cpu_s, rush.count), f"{rush.turns / rush.count:.2f} each" if rush.turns else "",
            )  # fmt: skip
    console.print(table)
    console.print(rates)


def caught_up(port: int, folder: Path, size: int) -> tuple[Rush, Rush]:
    """So many messages that waited while the broker was away, of a gate and of bare paho."""
    state = folder / f"backlog-{size}"
    filled(state, 0, 0, here=size)
    with gate_running(state, port) as gate:
        left = gate("waiting")  # it has begun to send
        began, before = time.monotonic(), gate("used")
        until(lambda: gate("waiting") == 0)
        seconds, after = time.monotonic() - began, gate("used")
    with Bare(port, "bare") as bare:
        begun_s = time.process_time()
        bare_s = bare.fast(b"0" * 700, size)
        return Rush(left, seconds, after[0] - before[0]), Rush(size, bare_s, time.process_time() - begun_s)


def backlog(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """What waited while the broker was away."""
    table = Table("", "messages", "s", "a second", "/ paho", "CPU µs each", title="catching up")
    for size in [size for size in stored if size] or [10_000]:
        gate, bare = caught_up(port, folder, size)
        for name, rush in (("gate", gate), (PAHO, bare)):
            table.add_row(
                name, f"{rush.count:,}", f"{rush.seconds:.1f}", f"{rush.rate:.0f}", f"{rush.rate / bare.rate:.2f}",
                per(rush.cpu_s, rush.count),
            )  # fmt: skip
    console.print(table)


def quiet(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """The engine while nothing happens: alone, and with the empty views of cameras at 30 fps."""
    table = Table("", "stored", "turns a second", "CPU share: process, engine", "engine's µs a turn", title="nobody there")
    for size in stored:
        state = folder / f"quiet-{size}"
        filled(state, size, size)
        with gate_running(state, port) as gate:
            gate("rest", 2.0)  # what the start does is done
            seconds = 5.0
            for name, call in (
                ("nothing to do", ("rest", seconds)),
                ("1 camera at 30 fps", ("watch_nobody", 1, 30.0, seconds)),
                ("8 cameras at 30 fps", ("watch_nobody", 8, 30.0, seconds)),
            ):
                _, process_s, engine_s, turns = gate.cost(*call)
                table.add_row(
                    name, f"{size:,}", f"{turns / seconds:.0f}", f"{100 * process_s / seconds:.1f}, {100 * engine_s / seconds:.1f} %",
                    per(engine_s, max(1, turns)),
                )  # fmt: skip
    console.print(table)


PARTS: dict[str, Callable[[int, Path, Sequence[int], int, Console], None]] = {
    "commands": commands,
    "decisions": decisions,
    "backlog": backlog,
    "quiet": quiet,
}


@contextmanager
def broker_running() -> Iterator[tuple[int, Path]]:
    """The port of a broker of our own, and a folder for stores."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name), "allow_anonymous true\nmax_queued_messages 0\n") as broker:
        yield broker.port, Path(name)


def ratios() -> dict[str, float]:
    """The rows of `make bench`, with an empty store: of the time, with the CPU of the process where the disk would hide it."""
    count, gates = 50, 8
    with broker_running() as (port, folder):
        sent = commanded(port, folder, 0, count)
        apart, rushes = decided(port, folder, 0, count, (gates,))
        ours, bare = caught_up(port, folder, 5_000)
    bare_cpu_s = apart.cpu[PAHO][0] + apart.cpu[SQLITE][0]
    fast, commit = rushes[rushed(gates)], rushes[SQLITE]
    return {
        "decision → the broker's answer / paho + a commit": apart.of(OURS) / (apart.of(PAHO) + apart.of(SQLITE)),
        "decision → the broker's answer / paho + a commit (CPU)": apart.cpu[OURS][0] / bare_cpu_s,
        f"a decision of many, {gates} gates / a commit": commit.rate / fast.rate,
        f"a decision of many, {gates} gates / paho + a commit (CPU)": fast.cpu_s / (commit.cpu_s + rushes[PAHO].cpu_s),
        "a message that waited / paho": bare.rate / ours.rate,
        "a message that waited / paho (CPU)": ours.cpu_s / ours.count / (bare.cpu_s / bare.count),
    } | {f"{name} → result / an echo with a commit": sent.of(name) / sent.of("ask/stored") for name in OPS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only the parts whose name contains this: " + ", ".join(PARTS))
    parser.add_argument("--count", type=int, default=200, help="how many commands and decisions of each kind (200)")
    parser.add_argument("--stored", type=int, nargs="+", default=[0, 10_000, 100_000], help="answers and messages in the store before")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    with broker_running() as (port, folder):
        for name, part in PARTS.items():
            if arguments.only in name:
                with contextlib.suppress(KeyboardInterrupt):
                    part(port, folder, arguments.stored, arguments.count, console)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
