"""A gate as in production: the daemon with an RTSP camera, a broker, its metrics and its journal, and what each of them says of a fault.

Two people walk up in turn, and one of them is enrolled. So it is known of each accept whether it is right.
"""

import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from daemon.core.values import Image
from daemon.demo import frames
from tests.conftest import ROOT
from tests.fixtures.mosquitto import Mosquitto, free_port
from tests.fixtures.rtsp import RtspCamera, resized
from tests.fixtures.running import ctl, result
from tests.fixtures.watching import Said, Watcher

ACTS: tuple[tuple[str | None, float], ...] = (("collins", 4.0), (None, 2.0), ("hopper", 4.0), (None, 2.0))
CYCLE_S = sum(seconds for _, seconds in ACTS)
ENROLLED = "collins"
SLACK_S = 1.0
"""An accept may be of a picture that was taken so long before or after the person was there: fades and rounding."""
BLIND_S = 2.5
"""So long after a source has stopped to show the present an accept may still come: `stale_s`, and what is on its way."""


@cache
def film() -> list[tuple[float, str | None, Image]]:
    """One cycle: when each picture begins (seconds), who is in it, the picture."""
    shots, at_s = [], 0.0
    for seed, (name, seconds) in enumerate(ACTS):
        for number in range(round(seconds * frames.FPS)):
            # They begin half way up: nobody waits for people who are too far away to be looked at.
            shots.append((at_s, name, frames.walking(name, number + frames.FPS, seed).image))
            at_s += 1 / frames.FPS
    return shots


def seen(at_s: float, size: tuple[int, int]) -> Image:
    """What the camera sees (`RtspCamera.scene`)."""
    shots = film()
    image = shots[int(at_s % CYCLE_S * frames.FPS) % len(shots)][2]
    return image if image.shape[1::-1] == size else resized(image, size)


def somebody(at_s: float, slack_s: float = SLACK_S) -> set[str | None]:
    """Who was in front of the camera about then."""
    shots, steps = film(), range(-round(10 * slack_s), round(10 * slack_s) + 1)
    return {shots[int((at_s + step / 10) % CYCLE_S * frames.FPS) % len(shots)][1] for step in steps}


@dataclass
class Production:
    """One gate `north` of site `hq`. `blind` are the times (monotonic seconds) in which the camera does not show the present."""

    folder: Path
    camera: RtspCamera
    broker: Mosquitto
    watcher: Watcher
    extra: str = ""
    gates: int = 1
    blind: list[tuple[float, float]] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | None" = None
    stepped: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state, self.metrics_port = self.folder / "state", free_port()
        self.config, self.journal, self.moved = (self.folder / name for name in ("config.toml", "journal", "moved"))
        self.offset_s = time.time() - time.monotonic()
        self.move_clock(0.0)
        names = ("north", *(f"g{number}" for number in range(1, self.gates)))  # all at the same camera
        tables = "".join(f'[gates.{name}]\nsource = "{self.camera.url}"\n' for name in names)
        self.config.write_text(
            f'site = "hq"\nstate_dir = "{self.state}"\n{tables}[mqtt]\nport = {self.broker.port}\nkeepalive_s = 5\n'
            f"[metrics]\nport = {self.metrics_port}\n{self.extra}"
        )

    # ---- the daemon

    def start(self) -> None:
        with self.journal.open("ab") as log:
            about = os.fstat(log.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.stepped", str(self.moved), "run", "--config", str(self.config)],
                cwd=ROOT, stderr=log, env={**os.environ, "JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"},
            )  # fmt: skip

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)

    def enrol(self) -> None:
        """The one who is enrolled."""
        (self.folder / "photo.jpg").write_bytes(frames.enrolment_photo(ENROLLED))
        done = ctl(self.config, "--site", "hq", "--gate", "north", "enroll", "E1", "--image", self.folder / "photo.jpg")
        assert result(done)["status"] == "done", done

    def move_clock(self, seconds: float) -> None:
        """The daemon's wall clock stands so many seconds ahead."""
        if not self.moved.exists():
            self.moved.write_bytes(bytes(8))
        with self.moved.open("r+b") as file:
            file.write(struct.pack("<d", seconds))

    # ---- what it says

    def words(self) -> set[str]:
        """The reasons in the newest status of each gate."""
        newest = {one.gate: one.body for one in self.watcher.of("status")}
        return {reason.split(":")[0] for body in newest.values() for reason in body["reasons"]}

    def scraped(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as response:
            return str(response.read().decode())

    def measured(self, word: str) -> bool:
        """Whether the metrics say so too."""
        try:
            return f'ostiary_gate_reason{{gate="north",reason="{word}"}} 1.0' in self.scraped()
        except OSError:
            return False

    def warned(self, pattern: str, since: int) -> bool:
        """Whether the journal has a warning or an error like this, after that many bytes."""
        lines = self.journal.read_bytes()[since:].decode().splitlines()
        return any(re.match(r"<[0-4]>", line) and re.search(pattern, line) for line in lines)

    def accepts(self, after: float = 0.0) -> list[Said]:
        """Live accepts of pictures taken after then (monotonic seconds)."""
        said = [one for one in self._decisions() if one.body["decision"] == "accept" and one.body["live"]]
        return [one for one in said if self.taken(one) > after]

    def taken(self, decision: Said) -> float:
        """When its picture was taken, in seconds of the monotonic clock; while the wall clock was moved: about."""
        came = decision.at - self.offset_s
        moved = any(began <= came <= ended for began, ended in self.stepped)
        return came - 0.3 if moved else decision.seconds("captured_at") - self.offset_s

    def until(self, holds: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for it; returns the seconds it took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds, (
                f"{what}: not within {seconds:.0f} s; status {self.words()}; journal:\n{self.journal.read_text()[-2000:]}"
            )
            assert self.process is None or self.process.poll() is None, f"the daemon ended:\n{self.journal.read_text()[-3000:]}"
            time.sleep(0.05)
        return time.monotonic() - began

    def serves(self, after: float, seconds: float = 60.0) -> float:
        """Until the one who is enrolled is let in again; the seconds it took."""
        return self.until(lambda: self.accepts(after), seconds, "an accept")

    # ---- what must hold

    def wrong(self) -> list[str]:
        """Accepts of somebody who was not there, and live ones of pictures that were not of the present."""
        found = []
        for one in self.watcher.of("decision"):
            if one.body["decision"] != "accept":
                continue
            at = self.taken(one)
            if one.body["person"] != "E1" or ENROLLED not in somebody(at):
                found.append(f"accept of {one.body['person']} while {somebody(at)} was there")
            if one.body["live"] and any(began + BLIND_S < at < ended for began, ended in self.blind):
                found.append(f"a live accept {at - self.blind[-1][0]:.1f} s after the camera went blind")
        return found

    def lost(self) -> list[int]:
        """Numbers of decisions that never came, of those that the store has given."""
        numbers = {one.body["sequence"] for one in self._decisions()}
        return [number for number in range(1, self.given() + 1) if number not in numbers]

    def _decisions(self) -> list[Said]:
        return [one for one in self.watcher.of("decision") if one.gate == "north"]

    def given(self) -> int:
        """The number of the last decision that is stored."""
        with closing(sqlite3.connect(f"file:{self.state / 'gallery.sqlite'}?mode=ro", uri=True)) as database:
            (last,) = database.execute("SELECT coalesce(max(sequence), 0) FROM sequences WHERE gate = 'north'").fetchone()
        return int(last)


@contextmanager
def production(folder: Path, extra: str = "", gates: int = 1, **camera: object) -> Iterator[Production]:
    """A gate that serves, with one person enrolled."""
    with ExitStack() as stack:
        view = stack.enter_context(RtspCamera(scene=seen, fps=frames.FPS, gop=frames.FPS, **camera))  # type: ignore[arg-type]
        broker = Mosquitto(folder, persistent=True, options="allow_anonymous true\nautosave_interval 1\nmax_queued_messages 0\n").start()
        stack.callback(broker.stop)
        watcher = stack.enter_context(Watcher(broker.port))
        gate = Production(folder, view, broker, watcher, extra, gates)
        gate.start()

        def stop() -> None:
            if gate.process is not None and gate.process.poll() is None:
                gate.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    gate.process.wait(20)
                gate.process.kill()

        stack.callback(stop)
        gate.until(lambda: watcher.of("status"), 60, "a status")
        gate.enrol()
        yield gate
