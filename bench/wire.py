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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
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
from daemon.pipeline import steps
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
        memory = current(self.store, MODELS, partial(steps.rules, config))
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


def ratio(these: Sequence[float], those: Sequence[float]) -> str:
    return f"{statistics.median(these) / statistics.median(those):.2f}"


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


def commands(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """Command to result; stored answers and waiting messages make no difference where nothing scans them."""
    table = Table(
        "command", "stored", "ms p50, p99", "/ echo", "/ echo with a commit", "CPU µs: process, engine",
        title="command → result",
    )  # fmt: skip
    context = multiprocessing.get_context("spawn")
    for size in stored:
        state = folder / f"state-{size}"
        filled(state, size, size)
        pipe, far = context.Pipe()
        other = context.Process(target=echo, args=(str(folder), port, b"0" * 480, far), daemon=True)
        other.start()
        with gate_running(state, port) as gate, Sender(port) as sender:
            status = json.loads(sender.ask(COMMAND, asked("enroll", "E0", [painted(200)], force=True))[1])
            assert status["status"] == "done", status
            taken: dict[str, list[float]] = {}
            cpu: dict[str, tuple[float, float]] = {}
            for round_ in range(ROUNDS):
                for name, made in OPS.items():
                    before = gate("used")
                    for number in range(round_ * count // ROUNDS, (round_ + 1) * count // ROUNDS):
                        seconds, answer = sender.ask(*made(number))
                        assert json.loads(answer)["status"] == "done", answer
                        taken.setdefault(name, []).append(seconds)
                        time.sleep(PAUSE_S)
                    after = gate("used")
                    so_far = cpu.get(name, (0.0, 0.0))
                    cpu[name] = so_far[0] + after[0] - before[0], so_far[1] + after[1] - before[1]
                for name in ("ask", "ask/stored"):
                    pipe.send("cpu")
                    began = pipe.recv()
                    for _ in range(count // ROUNDS):
                        taken.setdefault(name, []).append(sender.ask(name, b"0" * 300)[0])
                        time.sleep(PAUSE_S)
                    pipe.send("cpu")
                    cpu[name] = cpu.get(name, (0.0, 0.0))[0] + pipe.recv() - began, 0.0
        pipe.send(None)
        other.join(10)
        for name, label in {**{op: op for op in OPS}, "ask": "bare echo", "ask/stored": "echo with a commit"}.items():
            process_s, engine_s = cpu[name]
            table.add_row(
                label, f"{size:,}", ms(taken[name]), ratio(taken[name], taken["ask"]), ratio(taken[name], taken["ask/stored"]),
                per(process_s, len(taken[name])) + (f", {per(engine_s, len(taken[name]))}" if engine_s else ""),
            )  # fmt: skip
    console.print(table)


def decisions(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """Decisions one by one and as fast as they go, beside paho and SQLite."""
    table = Table("", "stored", "ms p50, p99", "/ paho + commit", "CPU µs: process, engine", title="decision → the broker's answer")
    rates = Table("", "stored", "a second", "/ paho", "CPU µs", "engine's turns", title="as fast as they go")
    payload, many = b"0" * 900, 10 * count
    for size in stored:
        state = folder / f"decide-{size}"
        filled(state, size, size)
        with gate_running(state, port) as gate, Bare(port, "bare") as bare, Table1(folder) as bare_table:
            gate("decide_apart", 10)
            ours: list[float] = []
            paho_s: list[float] = []
            sqlite_s: list[float] = []
            cpu = [0.0, 0.0, 0.0, 0.0]
            speed: dict[str, list[tuple[float, float, float]]] = {}
            for _ in range(ROUNDS):
                found, process_s, engine_s, _ = gate.cost("decide_apart", count // ROUNDS)
                ours += found
                before = time.process_time()
                paho_s += bare.apart(payload, count // ROUNDS)
                middle = time.process_time()
                sqlite_s += bare_table.apart(payload, count // ROUNDS)
                after = time.process_time()
                cpu = [a + b for a, b in zip(cpu, (process_s, engine_s, middle - before, after - middle), strict=True)]
                for gates in (1, 4, 8):
                    seconds, process_s, _, turns = gate.cost("decide_fast", many // ROUNDS, gates)
                    speed.setdefault(f"decisions, {gates} gates", []).append((seconds, process_s, turns))
                before = time.process_time()
                seconds = bare.fast(payload, many // ROUNDS)
                speed.setdefault("bare paho, window 10", []).append((seconds, time.process_time() - before, 0.0))
                before = time.process_time()
                seconds = sum(bare_table.apart(payload, many // ROUNDS, 0.0))
                speed.setdefault("bare SQLite commit", []).append((seconds, time.process_time() - before, 0))
        floor = statistics.median(paho_s) + statistics.median(sqlite_s)
        for name, taken, used in (
            ("decision", ours, per(cpu[0], count) + ", " + per(cpu[1], count)),
            ("bare paho", paho_s, per(cpu[2], count)),
            ("bare SQLite commit", sqlite_s, per(cpu[3], count)),
        ):
            table.add_row(name, f"{size:,}", ms(taken), f"{statistics.median(taken) / floor:.2f}", used)
        each = many // ROUNDS
        paho_rate = each / statistics.median(s for s, _, _ in speed["bare paho, window 10"])
        for name, runs in speed.items():
            rate = each / statistics.median(s for s, _, _ in runs)
            made = statistics.median(t for _, _, t in runs)
            cpu_us = per(statistics.median(c for _, c, _ in runs), each)
            rates.add_row(name, f"{size:,}", f"{rate:.0f}", f"{rate / paho_rate:.2f}", cpu_us, f"{made / each:.2f} each" if made else "")
    console.print(table)
    console.print(rates)


def backlog(port: int, folder: Path, stored: Sequence[int], count: int, console: Console) -> None:
    """What waited while the broker was away."""
    table = Table("", "messages", "s", "a second", "/ paho", "CPU µs each", title="catching up")
    for size in [size for size in stored if size] or [10_000]:
        state = folder / f"backlog-{size}"
        filled(state, 0, 0, here=size)
        with gate_running(state, port) as gate:
            left = gate("waiting")  # it has begun to send
            began, before = time.monotonic(), gate("used")
            until(lambda gate=gate: gate("waiting") == 0)  # type: ignore[misc]
            seconds, after = time.monotonic() - began, gate("used")
        with Bare(port, "bare") as bare:
            begun_s = time.process_time()
            bare_s = bare.fast(b"0" * 700, size)
            bare_cpu_s = time.process_time() - begun_s
        rate, bare_rate = left / seconds, size / bare_s
        table.add_row("gate", f"{left:,}", f"{seconds:.1f}", f"{rate:.0f}", f"{rate / bare_rate:.2f}", per(after[0] - before[0], left))
        table.add_row("bare paho, window 10", f"{size:,}", f"{bare_s:.1f}", f"{bare_rate:.0f}", "1.00", per(bare_cpu_s, size))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only the parts whose name contains this: " + ", ".join(PARTS))
    parser.add_argument("--count", type=int, default=200, help="how many commands and decisions of each kind (200)")
    parser.add_argument("--stored", type=int, nargs="+", default=[0, 10_000, 100_000], help="answers and messages in the store before")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder, "allow_anonymous true\nmax_queued_messages 0\n"))
        for name, part in PARTS.items():
            if arguments.only in name:
                with contextlib.suppress(KeyboardInterrupt):
                    part(broker.port, folder, arguments.stored, arguments.count, console)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
