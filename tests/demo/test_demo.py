"""The demo: its pictures are the same each time, faces are found in them, and the whole of it runs to its end."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.core.boxes import iou
from tests.conftest import ROOT

pytest.importorskip("skimage", reason="the extra `demo` is not installed")
pytest.importorskip("matplotlib", reason="the extra `demo` is not installed")

from daemon.config import GateConfig
from daemon.demo import frames
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("name", [None, "collins", "hopper"])
def test_the_same_walk_is_the_same_picture(name: str | None) -> None:
    a, b, other = frames.walking(name, 20, 1), frames.walking(name, 20, 1), frames.walking(name, 20, 2)
    assert a.image.shape == (480, 640, 3) and a.image.dtype == np.uint8
    assert np.array_equal(a.image, b.image) and a.face == b.face
    assert not np.array_equal(a.image, other.image) and (a.face is None) == (name is None)
    assert frames.walking(name, 21, 1).image.tobytes() != a.image.tobytes(), "no two pictures alike, as from a sensor"


@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_the_face_is_found_in_most_pictures_of_a_walk_and_no_other(name: str) -> None:
    detector = open_detector("haar")
    found = others = 0
    numbers = range(6, 60, 3)
    for number in numbers:
        shot = frames.walking(name, number, 1)
        assert shot.face is not None
        faces = detector.detect(decoded(frames.jpeg(shot.image)))
        hits = [face for face in faces if iou(face.box, shot.face) > 0.3]
        found += bool(hits)
        others += len(faces) - len(hits)
    assert found >= 0.9 * len(numbers) and others <= 1


def test_nobody_is_in_the_empty_corridor() -> None:
    assert open_detector("haar").detect(frames.walking(None, 3, 0).image) == []


@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_the_enrolment_photo_shows_one_face(name: str) -> None:
    photo = frames.enrolment_photo(name)
    assert photo == frames.enrolment_photo(name) and photo.startswith(b"\xff\xd8\xff")
    assert len(open_detector("haar").detect(decoded(photo))) == 1


def test_somebody_who_leaves_is_gone() -> None:
    there, gone = frames.walking("hopper", 50, 1), frames.walking("hopper", 50, 1, leaving=6)
    assert there.face is not None and gone.face is not None and gone.face.x > 640


def play(folder: Path, broker: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "daemon.demo", "--broker", broker, "--out", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def assert_played(done: "subprocess.CompletedProcess[str]", folder: Path) -> None:
    assert done.returncode == 0, done.stdout + done.stderr + (folder / "daemon.log").read_text()
    assert done.stderr == ""
    for answer in ("? unknown  no_match", "✓ accept  matched  E1001", "✗ reject  suspended  E1001"):
        assert answer in done.stdout
    assert "accuracy" in done.stdout
    assert np.asarray(cv2.imread(str(folder / "contact-sheet.png"))).shape[1] == 1344
    assert sum(1 for _ in frames_of(open_camera("g", GateConfig(source=str(folder / "demo.mp4"))))) > 60


def test_the_whole_demo_with_the_broker_inside(tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="the extra `demo` is not installed")
    assert_played(play(tmp_path, "amqtt"), tmp_path)


@pytest.mark.broker
def test_the_whole_demo_with_mosquitto(mosquitto_installed: None, tmp_path: Path) -> None:
    assert_played(play(tmp_path, "mosquitto"), tmp_path)


def test_a_folder_that_cannot_be_made_ends_the_demo_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    done = play(tmp_path / "occupied", "auto")
    assert done.returncode == 1 and "cannot go on" in done.stdout and "Traceback" not in done.stdout + done.stderr
