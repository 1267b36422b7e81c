"""What can go wrong around a gate, one row each: who notices, after how long, and what it does to people at the gate.

The rows share one daemon, which goes on after each. CI runs the shorter ones; `make faults` runs all, and prints the table.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.production import CYCLE_S, Production, production, somebody
from tests.fixtures.running import ctl
from tests.fixtures.watching import Said

LONG = bool(os.environ.get("OSTIARY_FAULTS"))
WALK_S = 15 * CYCLE_S
"""Within so many seconds the one who is enrolled has come by and has been let in, also on a busy machine."""
TABLE: list[str] = []

pytestmark = [pytest.mark.broker, pytest.mark.rtsp]


@dataclass(frozen=True)
class Row:
    """A fault: what brings it about, for how long it lasts, and what is said of it. `word` None: nothing, because the gate goes on.

    `journal` is a pattern of a warning or an error there. `blind`: the camera does not show the present meanwhile.
    """

    name: str
    fault: Callable[[Production], AbstractContextManager[None]]
    word: str | None = None
    journal: str = ""
    lasts_s: float = 5.0
    notice_s: float = 60.0
    recover_s: float = 120.0
    blind: bool = False
    by_mqtt: bool = True
    long: bool = False

    def __str__(self) -> str:
        return self.name


@contextmanager
def silent(gate: Production) -> Iterator[None]:
    gate.camera.silent = True
    yield
    gate.camera.silent = False


@contextmanager
def half_open(gate: Production) -> Iterator[None]:
    gate.camera.signal(signal.SIGSTOP)
    yield
    gate.camera.signal(signal.SIGCONT)


@contextmanager
def off(gate: Production) -> Iterator[None]:
    gate.camera.stop()
    yield
    gate.camera.start()


@contextmanager
def other_login(gate: Production) -> Iterator[None]:
    """Somebody has changed the camera's password."""
    gate.camera.stop()
    gate.camera.ask_for(("viewer", "new"))
    gate.camera.start()
    yield
    gate.camera.stop()
    gate.camera.ask_for(None)
    gate.camera.start()


@contextmanager
def frozen(gate: Production) -> Iterator[None]:
    gate.camera.frozen = True
    yield
    gate.camera.frozen = False


@contextmanager
def stamps_back(gate: Production) -> Iterator[None]:
    """The camera's clock is set back by five seconds, and later forward again."""
    gate.camera.shift_s = -5.0
    yield
    gate.camera.shift_s = 0.0


@contextmanager
def larger(gate: Production) -> Iterator[None]:
    gate.camera.size = (960, 720)
    gate.camera.change()
    yield
    gate.camera.size = (640, 480)
    gate.camera.change()


@contextmanager
def other_codec(gate: Production) -> Iterator[None]:
    gate.camera.change(codec="h265")
    yield
    gate.camera.change(codec="h264")


@contextmanager
def reader_killed(gate: Production) -> Iterator[None]:
    assert gate.process is not None
    done = subprocess.run(["pgrep", "-P", str(gate.process.pid), "-f", "camera.reader"], capture_output=True, text=True, check=False)
    assert done.stdout.split(), "the camera has no process"
    for pid in done.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    yield


@contextmanager
def no_broker(gate: Production) -> Iterator[None]:
    gate.broker.stop()
    yield
    gate.broker.start()


@contextmanager
def slow_broker(gate: Production) -> Iterator[None]:
    gate.broker.signal(signal.SIGSTOP)
    yield
    gate.broker.signal(signal.SIGCONT)


@contextmanager
def refusing_broker(gate: Production) -> Iterator[None]:
    """It wants a login from everybody."""
    before = gate.broker.options
    gate.broker.stop()
    gate.broker.configure(before.replace("allow_anonymous true", "allow_anonymous false"))
    gate.broker.start()
    yield
    gate.broker.stop()
    gate.broker.configure(before)
    gate.broker.start()


@contextmanager
def full_disk(gate: Production) -> Iterator[None]:
    ballast = gate.state / "ballast"
    free = shutil.disk_usage(gate.state).free
    with ballast.open("wb") as file:
        try:
            while free > 0:
                free -= file.write(bytes(min(free, 1 << 20)))
                file.flush()
        except OSError:
            pass
    yield
    ballast.unlink()


@contextmanager
def clock_ahead(gate: Production) -> Iterator[None]:
    began = time.monotonic()
    gate.stepped.append((began, float("inf")))
    gate.move_clock(3600.0)
    yield
    gate.move_clock(0.0)
    gate.stepped[-1] = (began, time.monotonic() + 2.0)


@contextmanager
def no_memory(gate: Production) -> Iterator[None]:
    """The daemon gets 8 MB more, and no more."""
    assert gate.process is not None
    pid = gate.process.pid
    now = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (now + (8 << 20), before[1]))
    yield
    if gate.process.poll() is not None:  # as its service manager would
        gate.start()
    else:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


@contextmanager
def killed(gate: Production) -> Iterator[None]:
    gate.kill()
    gate.start()
    yield


ROWS = [
    Row("camera silent", silent, "camera_down", "camera_down", blind=True, long=True),
    Row("camera half open", half_open, "camera_down", "camera_down", blind=True, long=True),
    Row("camera switched off", off, "camera_down", "camera_down", blind=True, long=True),
    Row("picture frozen before the encoder", frozen, "camera_frozen", "camera_frozen", notice_s=120.0, blind=True),
    Row("time stamps run backwards", stamps_back, lasts_s=15.0, long=True),
    Row("another resolution", larger, lasts_s=15.0, long=True),
    Row("another codec", other_codec, lasts_s=15.0, long=True),
    Row("camera's process killed", reader_killed, lasts_s=1.0),
    Row("broker gone", no_broker, "broker_down", "broker", lasts_s=8.0, by_mqtt=False),
    Row("broker stopped (SIGSTOP)", slow_broker, "broker_down", "broker", lasts_s=4.0, by_mqtt=False, long=True),
    Row("broker refuses the login", refusing_broker, "broker_down", "broker_down.*(user|password|uthori)", lasts_s=8.0, by_mqtt=False),
    Row("disk full", full_disk, "disk", "disk"),
    Row("clock an hour ahead", clock_ahead, "clock_stepped", "clock", lasts_s=15.0, long=True),
    Row("daemon killed (SIGKILL)", killed, lasts_s=1.0),
    Row("no more memory", no_memory, lasts_s=4.0, long=True),
    Row("camera refuses the login", other_login, "camera_down", "camera_down.*`password_file`", recover_s=120.0, blind=True, long=True),
    Row("camera gone for two minutes", off, "camera_down", "camera_down", lasts_s=120.0, blind=True, long=True),
    Row("frozen for two minutes", frozen, "camera_frozen", "camera_frozen", lasts_s=120.0, notice_s=120.0, blind=True, long=True),
    Row("broker gone for two minutes", no_broker, "broker_down", "broker", lasts_s=120.0, by_mqtt=False, long=True),
]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None, rtsp_installed: None) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("production")
    (folder / "state").mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "ostiary", str(folder / "state")]
    small = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        with production(folder, "[clock]\ntrust = 'always'\n") as found:
            found.serves(0.0, WALK_S)
            yield found
    finally:
        if small:
            subprocess.run(["umount", "--lazy", folder / "state"], check=True)
    if TABLE:
        head = "| fault | status and metric | after | well again after | decisions lost | wrong accepts |\n|---|---|---|---|---|---|"
        sys.stdout.write("\n".join(["", head, *TABLE, ""]))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_fault_is_noticed_and_lets_nobody_in(gate: Production, row: Row) -> None:
    if row.long and not LONG:
        pytest.skip("long: `make faults`")
    if row.fault is full_disk and not os.path.ismount(gate.state):
        pytest.skip("a small disk of its own needs root")
    gate.until(lambda: not gate.words() & {word for one in ROWS if (word := one.word)}, WALK_S, "a gate that is well")
    since, before = gate.journal.stat().st_size, time.monotonic()
    with row.fault(gate):
        began = time.monotonic()
        if row.blind:
            gate.blind.append((began, float("inf")))
        noticed = _noticed(gate, row, since)
        time.sleep(max(0.0, row.lasts_s - (time.monotonic() - began)))
        if row.word is None and row.lasts_s > 5:
            gate.serves(before, WALK_S)  # it goes on meanwhile
    ended = time.monotonic()
    if row.blind:
        gate.blind[-1] = (began, ended)
    word = row.word or ""
    well = gate.until(lambda: word not in gate.words() and not gate.measured(word), row.recover_s, "its end") if word else None
    gate.serves(ended, WALK_S + row.recover_s)
    assert not gate.wrong()
    gate.until(lambda: not gate.lost(), 60, "all decisions at the broker")
    said = f"`{row.word}`" if row.word else "–"
    shown = [f"{seconds:.1f} s" if seconds is not None else "–" for seconds in (noticed, well)]
    TABLE.append(f"| {row.name} | {said} | {' | '.join(shown)} | 0 of {gate.given()} | 0 |")


def test_too_many_cameras_are_said_and_open_for_nobody_else(tmp_path: Path, mosquitto_installed: None, rtsp_installed: None) -> None:
    """Eight cameras on a machine that is busy with other things."""
    if not LONG:
        pytest.skip("long: `make faults`")
    with production(tmp_path, "[clock]\ntrust = 'always'\n", gates=8) as gate:
        gate.serves(0.0, 4 * WALK_S)
        burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8 * (os.cpu_count() or 2))]
        try:
            noticed = gate.until(lambda: gate.words() & {"too_slow", "camera_behind", "camera_down"}, 120, "a status")
        finally:
            for one in burning:
                one.kill()
                one.wait()
        well = gate.until(lambda: not gate.words() & {"too_slow", "camera_behind", "camera_down"}, 180, "its end")
        gate.serves(time.monotonic(), WALK_S + 60)
        assert not gate.wrong()
        gate.until(lambda: not gate.lost(), 120, "all decisions at the broker")
        TABLE.append(f"| eight cameras, no CPU | `too_slow` | {noticed:.1f} s | {well:.1f} s | 0 of {gate.given()} | 0 |")


def _noticed(gate: Production, row: Row, since: int) -> float | None:
    """Until status, metric and journal say it, and `ostiaryctl status` too."""
    if row.word is None:
        return None
    word = row.word
    if row.by_mqtt:
        noticed = gate.until(lambda: word in gate.words(), row.notice_s, "a status")
        gate.until(lambda: gate.measured(word), 30, "a metric")
        shown = ctl(gate.config, "--site", "hq", "--gate", "north", "status")
        assert word in shown.stdout, shown
    else:
        noticed = gate.until(lambda: gate.measured(word), row.notice_s, "a metric")
    gate.until(lambda: gate.warned(row.journal, since), 30, "a warning in the journal")
    return noticed


def test_the_rig_itself_finds_wrong_and_lost_decisions(tmp_path: Path) -> None:
    """What the rows assert can fail."""

    class Heard:
        def of(self, leaf: str) -> list[Said]:
            return said

    said: list[Said] = []
    gate = Production.__new__(Production)
    gate.watcher, gate.offset_s, gate.blind, gate.stepped = Heard(), 0.0, [(100.0, 200.0)], []  # type: ignore[assignment]
    at = next(second / 10 for second in range(1100, 1500) if somebody(second / 10) == {"collins"})

    def accept(person: str, seconds: float, live: bool = True) -> Said:
        return Said("decision", seconds, {
            "decision": "accept", "person": person, "live": live, "sequence": 1,
            "captured_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(round(seconds))),
        })  # fmt: skip

    said[:] = [accept("E1", at, live=False)]
    assert not gate.wrong()
    said[:] = [accept("E1", at)]
    assert any("blind" in one for one in gate.wrong())
    said[:] = [accept("E2", at, live=False)]
    assert gate.wrong()
    other = next(second / 10 for second in range(1100, 1500) if somebody(second / 10) == {"hopper"})
    said[:] = [accept("E1", other, live=False)]
    assert gate.wrong()
