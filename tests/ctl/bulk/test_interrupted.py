"""Sixty people and a real gate: interrupted by Ctrl-C, killed, and without its broker for a while. Nobody is enrolled twice."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.fixtures.desk import painted
from tests.fixtures.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

PEOPLE, WITHOUT_FACE, TWO_FACES = 60, (11, 31, 51), 17


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


@pytest.fixture
def place(broker: int, tmp_path: Path) -> Iterator[Path]:
    """A folder with a CSV file and pictures, beside a gate of site hq that keeps its people in `state`."""
    lines = ["person;name;photos"]
    for n in range(PEOPLE):
        faces = () if n in WITHOUT_FACE else (90, 200) if n == TWO_FACES else (70 + 3 * n,)
        small = cv2.imdecode(np.frombuffer(painted(*faces), np.uint8), cv2.IMREAD_COLOR)
        assert small is not None
        # So large that nobody is through before the signal comes.
        cv2.imwrite(str(tmp_path / f"{n}.png"), cv2.resize(small, None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST))
        lines.append(f'P{n:02d};"Müller, {n}";{n}.png')
    (tmp_path / "people.csv").write_text("\r\n".join(lines), "cp1252")
    yield tmp_path


def gate(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    with (folder / "gate.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "tests.faults.rig", str(folder / "state"), str(port)], cwd=ROOT, stderr=log)


def ctl(port: int, *args: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "daemon.ctl.__main__", *args, "--port", str(port), "--site", "hq", "--gate", "north"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def enroll(folder: Path, port: int, *more: str) -> "subprocess.Popen[str]":
    return ctl(port, "enroll", "--csv", str(folder / "people.csv"), "--force", *more)


def noted(folder: Path) -> int:
    path = folder / "people.csv.progress"
    return path.read_bytes().count(b'"status"') if path.exists() else 0


def test_interrupted_killed_and_without_a_broker(place: Path, tmp_path: Path) -> None:
    with Mosquitto(tmp_path, persistent=True) as broker:
        process = gate(place, broker.port)
        try:
            until(lambda: "connected" in (place / "gate.log").read_text())
            first = enroll(place, broker.port)
            until(lambda: noted(place) >= 8)
            first.send_signal(signal.SIGINT)
            out, err = first.communicate(timeout=60)
            assert first.returncode == 130 and "run the same command again to go on" in out and "Traceback" not in err, (out, err)
            before = noted(place)
            second = enroll(place, broker.port)
            until(lambda: noted(place) >= before + 8)
            second.kill()
            second.communicate(timeout=60)
            before = noted(place)
            third = enroll(place, broker.port)
            until(lambda: noted(place) >= before + 4 or third.poll() is not None)
            broker.stop()
            time.sleep(0.5)
            broker.start()
            out, err = third.communicate(timeout=120)
            assert third.returncode == 1, (out, err)
            assert "60 people: 56 done, 4 refused" in out and "in an earlier run" in out
            last = enroll(place, broker.port, "--json")
            summary = json.loads(last.communicate(timeout=60)[0].splitlines()[-1])["summary"]
            assert (summary["done"], summary["refused"], summary["earlier"]) == (56, 4, 56)
            assert summary["reasons"] == {"no_face": 3, "several_faces": 1}
            listed = json.loads(ctl(broker.port, "list", "--json").communicate(timeout=60)[0])
            assert listed["gallery_revision"] == 56, "one change for everybody, and none twice"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    with sqlite3.connect(place / "state" / "gallery.sqlite") as db:
        (people,) = db.execute("SELECT count(*) FROM people").fetchone()
        owners = Counter(row[0] for row in db.execute("SELECT person FROM templates"))
    db.close()
    assert people == 56 and len(owners) == 56 and set(owners.values()) == {1}, "everybody once, with one template"
