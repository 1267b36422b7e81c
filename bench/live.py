"""Cameras over HTTP, a broker, and a real `ostiaryd run` beside the plain script: from a person's coming to the decision at a client.

    python -m bench.live [--cameras 1,2,4,8] [--fps 30] [--seconds 15] [--variants plain-320,yunet] [--empty]

Variants: `plain-640` and `plain-320` (one process of the script for each camera), `yunet` and `haar` (one daemon for all cameras), in
turns. A server in a process of its own sends the cameras' JPEG pictures, made beforehand (`bench.scenes`): at each camera a person walks
up, stands there, goes, and the next one comes. Everybody is enrolled. A frame that a reader is too slow for is not sent.

*First sight* is when the server sent the last byte of the first frame in which the face is as large as a gate asks for. *Capture* is when
the program had the frame that decided, by the decision's `captured_at`; the next column is what the program needed to get a frame in hand,
measured before at an idle camera whose pictures carry their number. *PUBACK* is the daemon's own metric, the mean; the broker answers it
in the moment in which it passes the message on. CPU is that of the program alone, without server and broker, in cores.
"""

import argparse
import itertools
import json
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from bench import cost, scenes
from bench.frames import detector_kind, enrollable, numbers
from bench.plain import frames as plain_frames
from daemon.config import Config, GateConfig
from daemon.core.messages import topic
from daemon.core.values import Image
from daemon.edges.camera import open_camera
from daemon.pipeline import opening
from tests.fixtures.desk import command
from tests.fixtures.mosquitto import Mosquitto, binary, free_port
from tests.fixtures.running import daemon_running

SIZE = (640, 480)
PEOPLE, VISIT_S, GONE_S = 8, 2.4, 1.4
ENOUGH_PX = 44
"""A face of this side is larger than `min_face_px` for every detector."""
LATE_S = 1.5
"""A decision that comes so long after its person went is none."""
SETTLE_S = 3.0
CELL = 8
"""The side of one bit in the picture that carries its number."""


# ---- the cameras: a process of its own


def serve(folder: Path, fps: int) -> None:
    """Send pictures until the end of standard input: `/N` is a camera, the pictures of `/numbered` carry their number, `/log` says what was
    sent."""
    visits, empty, numbered = pickle.loads((folder / "pictures").read_bytes())
    log: list[tuple[str, int, int, int, float]] = []
    step, connections = scenes.FPS // fps, itertools.count()

    def scene(camera: str) -> Iterator[tuple[int, int, int, bytes]]:
        """Visit, person, number in the visit, picture; person -1 where nobody is. No two connections have the same visit."""
        first = 1_000 * next(connections)
        if camera == "numbered":
            for visit in itertools.count(first):
                yield from ((visit, -1, place, jpeg) for place, jpeg in enumerate(numbered))
        at = int(camera)
        lead = 20 + 11 * at  # so that not everybody comes at once
        yield from ((-1, -1, n, empty[n % len(empty)]) for n in range(0, lead, step))
        for visit in itertools.count(first):
            who = (3 * at + visit) % len(visits) if visits else -1
            if visits:
                yield from ((visit, who, n, visits[who][n]) for n in range(0, len(visits[who]), step))
            yield from ((visit, -1, n, empty[n % len(empty)]) for n in range(0, round(GONE_S * scenes.FPS), step))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/log":
                body = json.dumps(log).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            camera, due = self.path.strip("/").removesuffix(".mjpeg"), time.monotonic()
            try:
                for visit, who, place, jpeg in scene(camera):
                    due += 1 / fps
                    if (early := due - time.monotonic()) > 0:
                        time.sleep(early)
                    elif early < -1 / fps:
                        continue
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg))
                    log.append((camera, visit, who, place, time.time()))
            except OSError:
                self.close_connection = True  # the reader hung up

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame that was sent: its camera, the visit, the person (-1: nobody), its place in the visit, when its last byte had gone."""

    camera: str
    visit: int
    who: int
    place: int
    at: float


@dataclass(frozen=True, slots=True)
class Server:
    """The cameras."""

    port: int

    def url(self, camera: object) -> str:
        return f"http://127.0.0.1:{self.port}/{camera}.mjpeg"

    def log(self) -> list[Sent]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log", timeout=20) as answer:
            return [Sent(*row) for row in json.loads(answer.read())]


@contextmanager
def cameras(folder: Path, fps: int) -> Iterator[Server]:
    """A server of its own, with nothing in its log."""
    command_line = [sys.executable, "-m", "bench.live", "--serve", str(folder), "--fps", str(fps)]
    process = subprocess.Popen(command_line, cwd=scenes.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Server(int(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(20)


def with_number(image: Image, number: int) -> Image:
    """The picture with a number in it, as ten black and white fields. A large field moves, or the camera would count as still."""
    image = image.copy()
    x = 160 * (number // 8 % 4)
    image[-160:, x : x + 160] = 230
    for bit in range(10):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    return image


def number_in(image: Image) -> int:
    half = CELL // 2
    return sum(1 << bit for bit in range(10) if image[half, bit * CELL + half].mean() > 127)


def in_hand_ms(server: Server, ours: bool) -> float:
    """How long after its last byte was sent a program has a frame in hand: the median at an idle camera."""
    seen: dict[int, float] = {}
    if ours:
        camera = open_camera("bench", GateConfig(source=server.url("numbered")))
        deadline = time.monotonic() + 20
        while len(seen) < 90 and time.monotonic() < deadline:
            if (frame := camera.read(1.0)) is not None:
                seen.setdefault(number_in(frame.image), frame.captured_at)
        camera.close()
    else:
        for image, _, captured_at in plain_frames(server.url("numbered")):
            seen.setdefault(number_in(image), captured_at)
            if len(seen) >= 90:
                break
    sent: dict[int, list[float]] = {}
    for one in server.log():
        if one.camera == "numbered":
            sent.setdefault(one.place, []).append(one.at)
    # Numbers come again. A frame that was in hand then is the one that was sent last before.
    waited = [min((at - then for then in sent.get(number, ()) if then <= at), default=np.nan) for number, at in seen.items()]
    return 1000 * float(np.nanmedian(waited[10:]))


# ---- what is measured


@dataclass(frozen=True, slots=True)
class Told:
    """One decision as a client got it."""

    camera: str
    person: str | None
    captured_at: float
    at: float


@dataclass(slots=True)
class Ear:
    """A client that hears both programs' decisions."""

    port: int
    told: list[Told] = field(default_factory=list)
    looked: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """How many frames each process of the script had looked at, and when it said so."""
    answers: dict[str, str] = field(default_factory=dict)
    client: Any = None

    def __enter__(self) -> "Ear":
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(100)
        self.client.on_connect = lambda client, *_: client.subscribe([("ostiary/#", 1), ("plain/#", 1)])
        self.client.on_message = self._heard
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _heard(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        at, parts = time.time(), message.topic.split("/")
        if parts[-1] == "alive":
            self.looked.setdefault(parts[1], []).append((at, int(message.payload)))
        if parts[-1] not in ("decision", "result"):
            return
        body = json.loads(message.payload)
        if parts[-1] == "result":
            self.answers[body["command_id"]] = f"{body['status']} {body.get('reason') or ''}"
        elif parts[0] == "plain":
            self.told.append(Told(parts[1], body["person"], body["captured_at"], at))
        else:
            person = body["person"] if body["decision"] == "accept" else None
            self.told.append(Told(body["gate"].removeprefix("g"), person, datetime.fromisoformat(body["captured_at"]).timestamp(), at))

    def enrol(self, person: str, photo: bytes) -> None:
        body = command("enroll", person, [photo], now=time.time(), force=True)
        self.client.publish(topic("bench", "g0", "command"), body, qos=1)
        ident, deadline = json.loads(body)["command_id"], time.monotonic() + 30
        while ident not in self.answers:
            if time.monotonic() > deadline:
                raise SystemExit(f"the daemon does not answer to the enrolment of {person}")
            time.sleep(0.01)
        if not self.answers[ident].startswith("done"):
            raise SystemExit(f"the daemon does not enrol {person}: {self.answers[ident]}")


@dataclass(slots=True)
class Row:
    """What one variant did with so many cameras."""

    fps: float = 0.0
    dropped: float = 0.0
    from_capture_ms: list[float] = field(default_factory=list)
    from_sight_ms: list[float] = field(default_factory=list)
    puback_ms: float = 0.0
    visits: int = 0
    missed: int = 0
    wrong: int = 0
    cores: float = 0.0


def judged(row: Row, sent: list[Sent], told: list[Told], names: list[str], began: float, ended: float) -> None:
    """Count the visits that lie between two moments, with what was decided about them."""
    visits: dict[tuple[str, int], list[Sent]] = {}
    for frame in sent:
        if frame.who >= 0 and frame.visit >= 0:
            visits.setdefault((frame.camera, frame.visit), []).append(frame)
    count = round(VISIT_S * scenes.FPS)
    for (camera, _), frames in visits.items():
        first, last = frames[0].at, frames[-1].at + LATE_S
        sight = next((f.at for f in frames if scenes.nearing(f.place, count, SIZE[1]) >= ENOUGH_PX), None)
        if first < began or last > ended or sight is None:
            continue
        row.visits += 1
        mine = [t for t in told if t.camera == camera and first <= t.captured_at <= last and t.person is not None]
        right = [t for t in mine if t.person == names[frames[0].who]]
        row.wrong += len(mine) - len(right)
        row.missed += not right
        if right:
            row.from_capture_ms.append(1000 * (right[0].at - right[0].captured_at))
            row.from_sight_ms.append(1000 * (right[0].at - sight))


def scraped(port: int) -> dict[str, float]:
    """Sums of a daemon's metrics over all gates; drops only by overrun."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    sums: dict[str, float] = {}
    for name, labels, value in re.findall(r"^(ostiary_\w+)(\{.*\})? ([\d.e+-]+)$", text, re.M):
        if name != "ostiary_frames_dropped_total" or 'reason="overrun"' in labels:
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


@dataclass(frozen=True, slots=True)
class Cell:
    """Everything that one measurement needs."""

    folder: Path
    ear: Ear
    people: list[scenes.Portrait]
    threshold: float
    fps: int
    seconds: float

    def measure(self, variant: str, count: int) -> Row:
        with cameras(self.folder, self.fps) as server:
            self.ear.told.clear()
            self.ear.looked.clear()
            return self._plain(variant, count, server) if variant.startswith("plain") else self._ours(variant, count, server)

    def _wait(self, server: Server, count: int) -> None:
        deadline = time.monotonic() + 60
        while len({s.camera for s in server.log()}) < count:
            if time.monotonic() > deadline:
                raise SystemExit("not every camera was opened within a minute")
            time.sleep(0.2)
        time.sleep(SETTLE_S)

    def _window(self, row: Row, server: Server, pids: list[int]) -> tuple[float, float]:
        began, cpu = time.time(), sum(map(cost.process_cpu_s, pids))
        time.sleep(self.seconds)
        row.cores = (sum(map(cost.process_cpu_s, pids)) - cpu) / (time.time() - began)
        time.sleep(0.3)
        ended = time.time()
        judged(row, server.log(), list(self.ear.told), [p.person for p in self.people], began, ended)
        return began, ended

    def _plain(self, variant: str, count: int, server: Server) -> Row:
        row, side = Row(), variant.removeprefix("plain-")
        options = ["--people", self.folder / "people", "--yunet", detector_kind("yunet"), "--bundle", opening.DEFAULT_BUNDLE]
        options += ["--threshold", self.threshold, "--side", side, "--mqtt", f"127.0.0.1:{self.ear.port}"]
        running = []
        try:
            for camera in range(count):
                line = [
                    sys.executable,
                    "-m",
                    "bench.plain",
                    *options,
                    "--source",
                    server.url(camera),
                    "--topic",
                    f"plain/{camera}/decision",
                ]
                running.append(subprocess.Popen([*map(str, line)], cwd=scenes.ROOT, stdout=subprocess.DEVNULL))
            self._wait(server, count)
            began, ended = self._window(row, server, [process.pid for process in running])
        finally:
            for process in running:
                process.kill()
                process.wait()
        rates = []
        for camera in range(count):
            mine = [(at, looked) for at, looked in self.ear.looked.get(str(camera), ()) if began <= at <= ended]
            if len(mine) > 1:
                rates.append((mine[-1][1] - mine[0][1]) / (mine[-1][0] - mine[0][0]))
        row.fps = float(np.mean(rates)) if rates else float("nan")
        there = sum(began <= s.at < ended for s in server.log())
        row.dropped = 1 - row.fps * count * (ended - began) / there
        return row

    @contextmanager
    def gates(self, variant: str, count: int, server: Server) -> Iterator[tuple[int, int]]:
        """A daemon with so many cameras that has settled: its process, and the port of its metrics."""
        state, metrics = Path(tempfile.mkdtemp(dir=self.folder)), free_port()
        config = state / "config.toml"
        gates = "".join(f'[gates.g{camera}]\nsource = "{server.url(camera)}"\n' for camera in range(count))
        config.write_text(
            f'site = "bench"\nstate_dir = "{state / "state"}"\n[detector]\nkind = "{detector_kind(variant)}"\n'
            f'[mqtt]\nport = {self.ear.port}\n[metrics]\nport = {metrics}\n[commands]\ngrants = ["force"]\n{gates}'
        )
        with daemon_running(config) as daemon:
            for portrait in self.people:
                self.ear.enrol(portrait.person, portrait.photo)
            self._wait(server, count)
            yield daemon.pid, metrics
            daemon.terminate()
            daemon.wait(30)

    def _ours(self, variant: str, count: int, server: Server) -> Row:
        row = Row()
        with self.gates(variant, count, server) as (pid, metrics):
            before = scraped(metrics)
            began, ended = self._window(row, server, [pid])
            grown = {name: value - before.get(name, 0.0) for name, value in scraped(metrics).items()}
        row.fps = grown.get("ostiary_frames_total", 0.0) / count / (ended - began)
        row.dropped = 1 - row.fps * count * (ended - began) / sum(began <= s.at < ended for s in server.log())
        name = "ostiary_capture_to_publish_seconds"
        if grown.get(f"{name}_count"):
            row.puback_ms = 1000 * grown[f"{name}_sum"] / grown[f"{name}_count"]
        return row


def prepare(folder: Path, people: list[scenes.Portrait]) -> None:
    """Make the pictures that the cameras send."""
    visits = [scenes.approach(*SIZE, person, VISIT_S, seed) for seed, person in enumerate(people, 1)]
    empty = scenes.approach(*SIZE, None, 3.0)
    numbered = [
        cv2.imencode(".jpg", with_number(scenes.decoded(empty[place % len(empty)]), place), [cv2.IMWRITE_JPEG_QUALITY, scenes.QUALITY])[1]
        for place in range(1023)
    ]
    (folder / "pictures").write_bytes(pickle.dumps((visits, empty, [jpeg.tobytes() for jpeg in numbered])))


@contextmanager
def site(fps: int, seconds: float, *, empty: bool = False) -> Iterator[Cell]:
    """A broker, a client and the pictures for the cameras; with `empty`, nobody comes."""
    if binary() is None:
        raise SystemExit("mosquitto is not installed; run apt-get install mosquitto")
    cv2.setNumThreads(1)
    config = Config(site="bench", gates={"bench": GateConfig(source="bench")})
    people = [portrait for portrait, _ in itertools.islice(enrollable(["yunet", "haar"], config), PEOPLE)]
    threshold = opening.open_model(config).calibration.threshold(len(people), config.decision.target_fpir)
    if threshold is None:
        raise SystemExit("the bundle's card has no threshold for this gallery")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "people").mkdir()
        for portrait in people:
            (folder / "people" / f"{portrait.person}.jpg").write_bytes(portrait.photo)
        prepare(folder, [] if empty else people)
        with Mosquitto(folder) as broker, Ear(broker.port) as ear:
            yield Cell(folder, ear, people, threshold, fps, seconds)


def shown(values: list[float]) -> str:
    return f"{np.percentile(values, 50):.0f} / {np.percentile(values, 99):.0f}" if values else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=numbers, default=[1, 2, 4, 8])
    parser.add_argument("--fps", type=int, default=30, choices=(10, 15, 30))
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each measurement takes (15)")
    parser.add_argument("--variants", default="plain-320,yunet")
    parser.add_argument("--empty", action="store_true", help="nobody comes: what watching an empty room costs, by default at one camera")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.fps)
        return
    variants = arguments.variants.split(",")
    counts = [1] if arguments.empty and arguments.cameras == [1, 2, 4, 8] else arguments.cameras
    title = f"{SIZE[0]}×{SIZE[1]} at {arguments.fps} fps, {arguments.seconds:.0f} s each" + (", an empty room" if arguments.empty else "")
    table = Table(
        "cameras", "variant", "frames a second, each", "not looked at", "capture → client ms p50 / p99", "+ in hand ms", "to PUBACK, mean",
        "first sight → client ms p50 / p99", "missed", "wrong", "CPU, cores", "CPU ms a frame looked at", title=title,
    )  # fmt: skip
    console = Console(highlight=False, width=190)
    with ExitStack() as stack:
        stack.callback(console.print, table)  # also what was measured before an error
        cell = stack.enter_context(site(arguments.fps, arguments.seconds, empty=arguments.empty))
        hand = {}
        for ours in (False, True):
            with cameras(cell.folder, arguments.fps) as server:
                hand[ours] = in_hand_ms(server, ours)
        for count in counts:
            for variant in variants:
                row = cell.measure(variant, count)
                table.add_row(
                    str(count), variant, f"{row.fps:.1f}", f"{100 * max(0.0, row.dropped):.0f} %", shown(row.from_capture_ms),
                    f"{hand[not variant.startswith('plain')]:.0f}", shown([row.puback_ms] if row.puback_ms else []).partition(" ")[0],
                    shown(row.from_sight_ms),
                    f"{row.missed} of {row.visits}", str(row.wrong), f"{row.cores:.2f}",
                    f"{1000 * row.cores / count / row.fps:.1f}" if row.fps else "–",
                )  # fmt: skip
    console.print(cost.machine())


if __name__ == "__main__":
    main()
