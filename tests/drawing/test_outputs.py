"""`ostiaryd replay --annotate --page`: the files, who may read them, and everything that is refused before the recording is looked at."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.cli import replay as replays
from daemon.config import GateConfig
from daemon.core.values import Frame, View
from daemon.drawing.outputs import Annotator
from daemon.edges import film
from daemon.edges.camera import frames_of, open_camera
from tests.drawing.film import DAY, RULES, Film

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a public-domain portrait, and a recording of a second and a half in which that person stands before the camera."""
    folder = tmp_path_factory.mktemp("scene")
    image = cv2.resize(skimage_data.astronaut()[:, :, ::-1], (320, 320))
    cv2.imwrite(str(folder / "portrait.jpg"), skimage_data.astronaut()[:, :, ::-1])
    recording = film.open_film(folder / "still.webm", 20.0, 320, 320)
    noise = np.random.default_rng(1)
    for _ in range(30):
        recording.write(np.clip(image + noise.normal(0, 3, image.shape), 0, 255).astype(np.uint8))
    recording.close()
    return folder


def replay(scene: Path, *options: object) -> int:
    source = scene / "still.webm"
    return main(["replay", str(source), "--enroll", f"E1={scene / 'portrait.jpg'}", *map(str, options)])


def test_both_files_are_made_for_their_owner_alone_and_the_lines_stay_the_same(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(scene) == 0
    plain = capsys.readouterr().out
    video, page = tmp_path / "out.mp4", tmp_path / "out.html"
    assert replay(scene, "--annotate", video, "--page", page) == 0
    said = capsys.readouterr()
    assert said.out == plain and json.loads(plain)["person"] == "E1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "out.mp4"], "nothing else is left lying about"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (video, page)} == {0o600}
    told = [text for text in said.err.splitlines() if "faces of people" in text]
    assert len(told) == 2 and "H.264, 30 pictures at 20 a second" in said.err
    frames = list(frames_of(open_camera("g", GateConfig(source=str(video)))))
    assert len(frames) == 30 and frames[-1].at_s == pytest.approx(29 / 20)
    text = page.read_text()
    assert "✓ accepted: E1" in text and "<img" in text and str(tmp_path) not in text and str(scene) not in text


def test_a_page_without_faces_has_none(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(scene, "--page", tmp_path / "out.html", "--no-faces", "--expect", scene / "none") == 78
    assert not list(tmp_path.iterdir())
    assert replay(scene, "--page", tmp_path / "out.html", "--no-faces") == 0
    assert "<img" not in (tmp_path / "out.html").read_text() and "faces of people" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--page", "{tmp}/absent/out.html"], "there is no folder"),
        (["--annotate", "{tmp}/absent/out.mp4"], "there is no folder"),
        (["--annotate", "{tmp}/out.avi"], "not a kind of video that can be written"),
        (["--page", "{tmp}/out.mp4"], "not the name of a page"),
        (["--page", "{tmp}/there.html"], "there is a file already"),
        (["--annotate", "{tmp}/there.mp4"], "there is a file already"),
        (["--annotate", "{tmp}/folder.mp4", "--force"], "is a folder"),
        (["--annotate", "{scene}/still.webm", "--force"], "is the recording itself"),
        (["--annotate", "{tmp}/link.webm", "--force"], "is the recording itself"),
        (["--annotate", "{tmp}/out.mp4", "--no-faces"], "--no-faces is about --page"),
        (["--page", "{tmp}/out.html", "--policy", "other.toml"], "--policy compares two sets of rules"),
    ],
)
def test_what_cannot_be_is_one_line_and_a_hint_before_anything_is_looked_at(
    scene: Path, tmp_path: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("the model was loaded first")

    monkeypatch.setattr(replays, "_scene", loaded)
    for name in ("there.html", "there.mp4"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.webm").symlink_to(scene / "still.webm")
    recording = (scene / "still.webm").read_bytes()
    assert replay(scene, *(option.format(tmp=tmp_path, scene=scene) for option in options)) == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and says in lines[0] and lines[1].startswith("  hint: ")
    assert (tmp_path / "there.html").read_text() == (tmp_path / "there.mp4").read_text() == "mine"
    assert (scene / "still.webm").read_bytes() == recording


def test_force_writes_over_a_file_but_not_when_the_replay_fails(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "out.html"
    page.write_text("mine")
    page.chmod(0o644)
    bad = ["replay", str(tmp_path / "absent.mkv"), "--enroll", f"E1={scene / 'portrait.jpg'}", "--page", str(page), "--force"]
    assert main(bad) == 78 and page.read_text() == "mine"
    assert replay(scene, "--page", page, "--force") == 0
    assert page.read_text().startswith("<!doctype html>") and stat.S_IMODE(page.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


def test_a_library_without_codecs_is_one_line_and_leaves_nothing(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(film._FILMS, ".mp4", replace(film._FILMS[".mp4"], encoder="zzzz"))
    assert replay(scene, "--annotate", tmp_path / "out.mp4") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "no encoder for H.264" in lines[0] and not list(tmp_path.iterdir())


def test_odd_times_keep_real_time(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.5, 2.6, 2.7]
    annotator = Annotator(tmp_path / "out.webm", RULES)
    shown = Film(["A"] * len(times), times=times)
    shown.play(annotator)
    made = annotator.finish()
    assert made.fps == pytest.approx(10.0) and made.frames / made.fps == pytest.approx(2.8, abs=0.11)


def test_a_recording_of_one_frame_is_a_film_of_one_picture(tmp_path: Path) -> None:
    annotator = Annotator(tmp_path / "out.webm", RULES)
    annotator.saw(Frame("north", 0, 0.0, 0.0, np.zeros((48, 64, 3), np.uint8)), View("north", 0, 0.0, 0.0, ()), ())
    assert annotator.finish().frames == 1


def test_frames_after_the_first_few_do_not_pile_up(tmp_path: Path) -> None:
    annotator = Annotator(tmp_path / "out.webm", RULES)
    Film(DAY.shown).play(annotator)
    assert len(annotator._waiting) == 1
    assert annotator.finish().frames == len(DAY.shown)
