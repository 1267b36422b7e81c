"""How long a decision takes from camera to client while somebody floods the gate with commands: a real daemon, and a real broker with the
limits of deploy/.

    python -m bench.hostile [--only WORD] [--seconds S]

A rendered person comes to the gate again and again. Before each attack the gate is left alone for a while, so both are measured in the same
run. In the middle of the attack somebody is revoked over `command/revoke`. The attacker is a process of its own that gives way to the
others (nice 10), as a sender on another machine would.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from daemon.core import signing
from daemon.core.messages import topic
from daemon.demo.frames import FPS, enrolment_photo, jpeg, walking
from tests.fixtures.bombs import jpeg as gradient
from tests.fixtures.bombs import scan_bomb
from tests.fixtures.deployed import TEST, deployed
from tests.fixtures.desk import command
from tests.fixtures.running import daemon_running
from tests.fixtures.watching import rss_mb

SITE, GATE = "acme", "north"
COMMAND, URGENT = topic(SITE, GATE, "command"), topic(SITE, GATE, "command/revoke")
HOLDER, HR, FORGER = "hr-1", signing.private_key(b"\1" * 32), signing.private_key(b"\2" * 32)
HERE, EMPTY = 5, 3
"""A passage takes so many frames, and then nobody is there for so many."""
RULES = "[decision]\nmin_frames = 3\nmin_s = 0.1\npatience = 3\nlost_s = 0.2\n[liveness]\nframes = 3\n"
"""Passages that are short, so that there are many."""
ANSWER_S = 120.0


# ---- the attacker


def mixed(seconds: float) -> Iterator[bytes]:
    """1,500 valid commands, a tenth of them enrolments from a photo."""
    photo = enrolment_photo("hopper")
    ops = ("ping", "list", "get", "update", "suspend", "resume", "list", "update", "ping")
    for number in range(1_500):
        if number % 10 == 9:
            yield asked("enroll", f"B{number}", [photo], force=True)
            continue
        op = ops[number % 10]
        more: dict[str, Any] = {"name": f"N{number}"} if op == "update" else {}
        yield asked(op, None if op in ("ping", "list") else "E2", **more)


def malformed(seconds: float) -> Iterator[bytes]:
    """What is no command, for so long."""
    return itertools.cycle((b"{", b"\xff" * 300, b'{"op":"enroll"}', b"[" * 5_000))


def photos(seconds: float) -> Iterator[bytes]:
    """Photos that are as much work as a header allows. What was not looked at when the attack is over expires."""
    bombs = (
        gradient(7_270, 5_500, progressive=True),
        scan_bomb(20, 3_000, 3_000),
        scan_bomb(2_000),
        gradient(7_270, 5_500, rst_interval=1),
    )
    until = time.time() + seconds
    for number in itertools.count():
        yield asked("enroll", f"C{number}", [bombs[number % len(bombs)]], life=max(1.0, until - time.time()), force=True)


def forged(seconds: float) -> Iterator[bytes]:
    """Commands without a signature, with that of another key, and with one for another topic."""
    bodies = [asked("revoke", "E1"), asked("list"), asked("suspend", "E1")]
    made = [*bodies]
    made += [signing.sealed(HOLDER, FORGER, COMMAND, body) for body in bodies]
    made += [signing.sealed(HOLDER, HR, COMMAND + "/enrolment", body) for body in bodies]
    made += [signing.sealed("nobody", FORGER, COMMAND, body) for body in bodies]
    return itertools.cycle(made)


@dataclass(frozen=True, slots=True)
class Attack:
    """`rate` messages a second, or all at once (0)."""

    what: str
    payloads: Callable[[float], Iterator[bytes]]
    rate: float
    keys: bool = False


ATTACKS = {
    "queued": Attack("1,500 valid commands at once, a tenth of them enrolments", mixed, 0),
    "malformed": Attack("1,000 malformed messages a second", malformed, 1_000),
    "photos": Attack("scan bombs and photos of 40 million pixels, 3 a second", photos, 3),
    "forged": Attack("1,000 unsigned or forged commands a second", forged, 1_000, keys=True),
}


def attack(name: str, port: int, seconds: float) -> None:
    """What the attacker's process does. It says when it begins, and at last how many messages the broker has taken."""
    chosen, client, taken = ATTACKS[name], logged_in("attacker", port), list[int]()
    client.on_publish = lambda *_: taken.append(1)
    client.loop_start()
    payloads = chosen.payloads(seconds)
    first = next(payloads)
    sys.stdout.write("now\n")
    sys.stdout.flush()
    began = time.monotonic()
    for sent, payload in enumerate(itertools.chain([first], payloads), 1):
        if time.monotonic() - began >= seconds:
            break
        client.publish(COMMAND, payload, qos=1)
        if chosen.rate:
            time.sleep(max(0.0, began + sent / chosen.rate - time.monotonic()))
    client.disconnect()
    client.loop_stop()
    sys.stdout.write(f"{len(taken)}\n")


# ---- the others


def asked(op: str, person: str | None = None, images: list[bytes] | None = None, **more: Any) -> bytes:
    return command(op, person, images, now=time.time(), **{"life": 590.0, **more})


def logged_in(name: str, port: int) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv311)
    client.max_inflight_messages = 100
    client.max_queued_messages = 0
    client.username_pw_set(TEST, f"secret of {TEST}")
    client.connect("127.0.0.1", port)
    return client


@dataclass
class Ear:
    """Hears what the gate says. `ages` are (when it came on the monotonic clock, ms from capture to arrival) of every decision."""

    port: int
    ages: list[tuple[float, float]] = field(default_factory=list)
    answers: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By command_id: when it came on the monotonic clock, and the status."""
    accepted: list[float] = field(default_factory=list)
    """When accepts came on the monotonic clock."""

    def __enter__(self) -> "Ear":
        self._client = client = logged_in("ear", self.port)
        client.on_message = self._heard
        client.subscribe([(topic(SITE, GATE, leaf), 1) for leaf in ("decision", "result")])
        client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        now, at, body = time.monotonic(), time.time(), json.loads(message.payload)
        if message.topic.endswith("decision"):
            if body["decision"] == "accept":
                self.accepted.append(now)
            self.ages.append((now, 1_000 * (at - datetime.fromisoformat(body["captured_at"]).timestamp())))
        elif body["command_id"] is not None:
            self.answers[body["command_id"]] = now, body["status"]

    def ask(self, body: bytes, where: str = COMMAND, *, sign: bool = False) -> float:
        """Send a command and wait until it is done. Returns how long that took (seconds)."""
        began, ident = time.monotonic(), json.loads(body)["command_id"]
        self._client.publish(where, signing.sealed(HOLDER, HR, where, body) if sign else body, qos=1)
        while ident not in self.answers:
            if time.monotonic() - began > ANSWER_S:
                raise TimeoutError(f"no answer to {body.decode()} within {ANSWER_S:.0f} s")
            time.sleep(0.005)
        at, status = self.answers[ident]
        if status not in ("done", "unchanged"):
            raise RuntimeError(f"{body.decode()}: {status}")
        return at - began

    def between(self, began: float, ended: float) -> list[float]:
        return sorted(age for at, age in list(self.ages) if began <= at < ended)


@contextmanager
def camera() -> Iterator[str]:
    """The URL of a network camera at which a rendered person appears again and again. The pictures are made beforehand."""
    near = 4 * FPS
    frames: list[bytes] = []
    for seed in range(1, 9):
        frames += [jpeg(walking("collins", near + number, seed).image) for number in range(HERE)]
        frames += [jpeg(walking(None, number, seed).image) for number in range(EMPTY)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            due = time.monotonic()
            try:
                for data in itertools.cycle(frames):
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
                    due += 1 / FPS
                    time.sleep(max(0.0, due - time.monotonic()))
            except OSError:
                self.close_connection = True  # the daemon hung up

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/gate.mjpeg"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def configured(folder: Path, url: str, port: int, *, keys: bool) -> Path:
    """The daemon's configuration, with keys for commands or without."""
    password = folder / "password"
    password.write_text(f"secret of gate-{GATE}\n")
    password.chmod(0o600)
    rights = f'[commands.keys.{HOLDER}]\npublic = "{signing.public_text(HR)}"\nops = ["enroll", "revoke"]\n'
    rights += 'grants = ["force"]\n' if keys else ""
    path = folder / "config.toml"
    path.write_text(
        f'site = "{SITE}"\nstate_dir = "{folder / "state"}"\n[gates.{GATE}]\nsource = "{url}"\n{RULES}'
        f'[mqtt]\nport = {port}\nusername = "gate-{{gate}}"\npassword_file = "{password}"\n[metrics]\nport = 0\n'
        + (rights if keys else '[commands]\ngrants = ["force"]\n')
    )
    return path


def cpu_s(pid: int) -> tuple[float, float]:
    """The processor time of a process, and that of its children (seconds)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _cpu_s(pid), sum(_cpu_s(int(child)) for child in children)


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- the bench


def percentile(ages: list[float], share: float) -> float:
    return ages[round(share * (len(ages) - 1))] if ages else float("nan")


@dataclass
class Bench:
    """One broker, one camera, one daemon; `rows` go into the table."""

    port: int
    ear: Ear
    seconds: float
    table: Table

    def quiet(self) -> list[float]:
        began = time.monotonic()
        time.sleep(self.seconds)
        return self.ear.between(began, time.monotonic())

    def measure(self, name: str, pid: int) -> None:
        """Leave the gate alone, then attack it."""
        chosen, person = ATTACKS[name], f"R-{name}"
        self.ear.ask(asked("enroll", person, [enrolment_photo("hopper")], force=True), sign=chosen.keys)
        quiet = self.quiet()
        attacker = subprocess.Popen(
            ["nice", "-n", "10", sys.executable, "-m", "bench.hostile", "--attack", name, str(self.port), str(self.seconds)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert attacker.stdout is not None
        attacker.stdout.readline()
        began, (own, others) = time.monotonic(), cpu_s(pid)
        time.sleep(self.seconds / 2)
        revoke_s = self.ear.ask(asked("revoke", person), URGENT, sign=chosen.keys)
        taken = attacker.communicate(timeout=60)[0].strip()
        if not chosen.keys:
            self.ear.ask(asked("ping"))  # behind everything
        ended, (own_after, others_after) = time.monotonic(), cpu_s(pid)
        during, wall = self.ear.between(began, ended), ended - began
        q99, d99 = percentile(quiet, 0.99), percentile(during, 0.99)
        self.table.add_row(
            chosen.what, taken, f"{len(quiet)}, {len(during)}", f"{percentile(quiet, 0.5):.0f}, {q99:.0f}",
            f"{percentile(during, 0.5):.0f}, {d99:.0f}", f"{d99 / q99:.1f}", f"{1_000 * revoke_s:.0f}",
            f"{(own_after - own) / wall:.2f}, {(others_after - others) / wall:.2f}", f"{wall:.0f}", f"{rss_mb(pid):.0f}",
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only attacks whose name contains this: " + ", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each attack takes, and the time before it (20)")
    parser.add_argument("--attack", nargs=3, metavar=("NAME", "PORT", "SECONDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attack:
        name, port, seconds = arguments.attack
        attack(name, int(port), float(seconds))
        return
    table = Table(
        "attack", "messages", "decisions", "ms p50, p99 before", "ms p50, p99 during", "p99 ratio", "revoke ms",
        "CPU s a second: daemon, sandbox", "s", "MB",
    )  # fmt: skip
    chosen = [name for name in ATTACKS if arguments.only in name]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    with ExitStack() as stack:
        stack.callback(console.print, table)  # also what was measured before an error
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker, url = stack.enter_context(deployed(folder)), stack.enter_context(camera())
        bench = Bench(broker.port, stack.enter_context(Ear(broker.port)), arguments.seconds, table)
        for keys in (False, True):
            names = [name for name in chosen if ATTACKS[name].keys is keys]
            if not names:
                continue
            with daemon_running(configured(folder, url, broker.port, keys=keys)) as daemon:
                for person, photo in (("E1", "collins"), ("E2", "hopper")):
                    bench.ear.ask(asked("enroll", person, [enrolment_photo(photo)], force=True), sign=keys)
                time.sleep(3)  # the camera has begun, and what the start does is done
                for name in names:
                    bench.measure(name, daemon.pid)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
