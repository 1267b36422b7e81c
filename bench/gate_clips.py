"""A whole gate with a real broker and real faces: enrol four people from one frame each, play all other clips, and tabulate the decisions.

    python -m bench.gate_clips [--calibrate] [--detector haar|YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER]

Of the clips of `clips/asl`, the first of A, B, C and D each gives the enrolment frame: the first frame in which the detector finds
one face that passes the quality gate. All other clips are played through `ostiaryd run` and mosquitto. E is enrolled nowhere. Nothing
is tuned here: the rules are the daemon's defaults, and the threshold is that of the bundle's card. Nine rightful passages
prove little: zero errors in n only show that a rate is below 3/n.
"""

import argparse
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from daemon.config import Config, GateConfig
from daemon.core.values import Frame, Quality
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.pipeline import steps
from daemon.pipeline.opening import open_judge
from tests.fixtures.mosquitto import Mosquitto, binary, free_port

ROOT = Path(__file__).resolve().parent.parent
ENROLLED = "ABCD"


@dataclass(slots=True)
class Passages:
    """The decisions about one clip. `person` walks in it."""

    clip: str
    person: str
    enrolled: bool
    decisions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rightful(self) -> bool:
        return any(d["decision"] == "accept" and d["person"] == self.person for d in self.decisions)

    @property
    def wrong(self) -> bool:
        return any(d["decision"] == "accept" and (d["person"] != self.person or not self.enrolled) for d in self.decisions)


def enrolment_frame(clip: Path, detector: steps.Detector, from_s: float = 0.0) -> bytes:
    """The first frame of a clip from `from_s` on that shows one face good enough for enrolment, as a JPEG file."""
    config = Config(site="x", gates={"x": GateConfig(source="x")})
    judge = open_judge(config, config.enrolment.min_face_px)
    camera = open_camera("x", GateConfig(source=str(clip)))
    try:
        for frame in frames_of(camera):
            if frame.at_s < from_s:
                continue
            photo = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            # As enrolment will see it: compression can turn a face that is just good enough into one that is not.
            seen = np.asarray(cv2.imdecode(photo, cv2.IMREAD_COLOR), np.uint8)
            view = steps.look(Frame("x", 0, 0.0, 0.0, seen), detector, judge)
            if len(view.probes) == 1 and view.probes[0].quality is Quality.OK:
                return photo.tobytes()
        raise SystemExit(f"{clip}: no frame shows one face good enough for enrolment")
    finally:
        camera.close()


@contextlib.contextmanager
def heard(port: int) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """All messages published under ostiary/, as they come; not the empty ones, which clear what was retained."""
    messages: list[tuple[str, dict[str, Any]]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("ostiary/#", 1)
    client.on_message = lambda _c, _u, m: messages.append((m.topic, json.loads(m.payload))) if m.payload else None
    for _ in range(100):
        try:
            client.connect("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    client.loop_start()
    try:
        yield messages
    finally:
        client.disconnect()
        client.loop_stop()


def write_config(
    folder: Path, port: int, gates: dict[str, Path], detector: str, bundle: str, metrics_port: int, site: Path | None = None
) -> Path:
    lines = ['site = "bench"', f'state_dir = "{folder / "state"}"', "[detector]", f'kind = "{detector}"', "[mqtt]", f"port = {port}"]
    lines += ["[commands]", 'grants = ["force"]', "[metrics]", f"port = {metrics_port}", "[model]", f'bundle = "{bundle}"']
    lines += ["[decision]", f'site_calibration = "{site}"'] if site is not None else []
    for gate, source in gates.items():
        lines += [f"[gates.{gate}]", f'source = "{source}"']
    path = folder / "config.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(data: Path, detector: str, bundle: str, folder: Path, calibrated: bool = False) -> tuple[list[Passages], str]:
    """The passages of every clip that is not an enrolment clip, and the daemon's metrics near the end.

    `calibrated` first raises the threshold by the clips of the enrolled people, without the stranger's.
    """
    with (data / "clips/asl/identities.csv").open() as file:
        people = {row["clip"]: row["person"] for row in csv.DictReader(file)}
    first = {person: next(clip for clip, who in people.items() if who == person) for person in ENROLLED}
    others = {Path(clip).stem: clip for clip in people if clip not in first.values()}
    passages = {gate: Passages(clip, people[clip], people[clip] in ENROLLED) for gate, clip in others.items()}
    with Mosquitto(folder) as mosquitto, heard(mosquitto.port) as messages:
        port = mosquitto.port
        metrics_port = free_port()
        waiting = {"door": data / "clips/no-face.mp4"}
        with serving(write_config(folder, port, waiting, detector, bundle, metrics_port)) as config:
            finder = open_detector(detector)
            while not any(topic.endswith("/status") and message["online"] for topic, message in messages):
                time.sleep(0.05)  # a broker keeps commands for a gate only after the gate has connected once
            for person, clip in first.items():
                photo = folder / f"{person}.jpg"
                photo.write_bytes(enrolment_frame(data / "clips/asl" / clip, finder))
                control = [
                    sys.executable,
                    "-m",
                    "daemon.ctl.__main__",
                    "enroll",
                    person,
                    "--image",
                    str(photo),
                    "--config",
                    str(config),
                    "--timeout",
                    "60",
                ]
                # Under one camera some models take these people for lookalikes. An operator would then confirm that they are two people.
                if subprocess.run(control, check=False, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
                    subprocess.run([*control, "--force"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        messages.clear()
        gates = {gate: data / "clips/asl" / clip for gate, clip in others.items()}
        site = folder / "site.toml" if calibrated else None
        if site is not None:
            known = [f"{p.person}={gates[gate]}" for gate, p in passages.items() if p.enrolled]
            calibrate = [sys.executable, "-m", "daemon", "calibrate", "--config", str(config), "--out", str(site), *known]
            subprocess.run(calibrate, check=True, cwd=ROOT)
            # One camera made all clips, and here each of them is a gate.
            site.write_text(site.read_text().replace('gates = ["door"]', f"gates = {json.dumps(list(gates))}"))
        config = write_config(folder, port, gates, detector, bundle, metrics_port, site)
        scraped = ""
        daemon = subprocess.Popen(
            [sys.executable, "-m", "daemon", "run", "--config", str(config), "--until-end"], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        while daemon.poll() is None:
            with contextlib.suppress(OSError):  # not up yet, or already gone
                scraped = urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=2).read().decode()
            time.sleep(0.3)
        if daemon.returncode != 0:
            raise SystemExit(f"the daemon ended with status {daemon.returncode}")
        time.sleep(0.3)
        for topic, message in messages:
            if topic.endswith("/decision"):
                passages[message["gate"]].decisions.append(message)
    return sorted(passages.values(), key=lambda p: (p.person, p.clip)), scraped


@contextlib.contextmanager
def serving(config: Path) -> Iterator[Path]:
    """A daemon that runs until the end of the block."""
    with (config.parent / "daemon.log").open("w") as log:
        daemon = subprocess.Popen([sys.executable, "-m", "daemon", "run", "--config", str(config)], cwd=ROOT, stderr=log)
        try:
            yield config
        finally:
            daemon.terminate()
            daemon.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--bundle", default="")
    parser.add_argument(
        "--calibrate", action="store_true", help="raise the threshold by `ostiaryd calibrate` on the enrolled people's clips"
    )
    arguments = parser.parse_args()
    if not (arguments.data / "clips/asl").is_dir():
        raise SystemExit(f"there are no gate clips in {arguments.data}; set OSTIARY_DATA to the data folder")
    if binary() is None:
        raise SystemExit("mosquitto is not installed; run apt-get install mosquitto")
    detector = arguments.detector if arguments.detector == "haar" else str(Path(arguments.detector).absolute())
    bundle = str(Path(arguments.bundle).absolute()) if arguments.bundle else ""
    with tempfile.TemporaryDirectory() as folder:
        found, _ = run(arguments.data, detector, bundle, Path(folder), arguments.calibrate)
    table = Table("clip", "who", "decisions")
    for p in found:
        said = [f"{d['decision']} {d['person'] or ''} ({d['reason']})".replace("  ", " ") for d in p.decisions]
        mark = "[red]WRONG[/] " if p.wrong else "[green]✓[/] " if p.rightful else ""
        table.add_row(p.clip, p.person + ("" if p.enrolled else " (stranger)"), mark + ", then ".join(said))
    console = Console(highlight=False)
    console.print(table)
    rightful = [p for p in found if p.enrolled]
    console.print(
        f"detector {Path(detector).name}: {sum(p.rightful for p in rightful)} of {len(rightful)} rightful passages accepted,"
        f" {sum(p.wrong for p in found)} wrong accepts"
    )


if __name__ == "__main__":
    main()
