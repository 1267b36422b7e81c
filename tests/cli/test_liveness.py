"""`ostiaryd liveness`, on pictures whose label is their brightness, and a replay through a gate that looks at liveness."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.gate_clips import enrolment_frame
from daemon.__main__ import main
from daemon.cli import liveness
from daemon.config import Config, ConfigError, GateConfig, LivenessConfig
from daemon.core.attention import Attention
from daemon.core.boxes import Box
from daemon.core.faces.quality import Judge
from daemon.core.values import Face, Image
from daemon.edges.detector import open_detector
from daemon.pipeline import opening, steps
from tests.fixtures.desk import open_faces
from tests.fixtures.liveness_models import brightness_model

LEVELS = {"live/a/1": 190, "live/2": 180, "live/3": 150, "live/4": 60, "spoof/print/1": 40, "spoof/print/2": 220, "spoof/0": 70}


class Anything:
    """Finds a face in the middle of every picture that is not black."""

    def detect(self, image: Image) -> list[Face]:
        height, width = image.shape[:2]
        return [Face(Box(width / 4, height / 4, width / 2, height / 2), 1.0)] if image.any() else []

    def follow(self, image: Image, at_s: float, attention: Attention) -> list[Face]:
        return self.detect(image)


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures with a face as bright as the whole, and one kind of attack in which there is no face."""

    def write(name: str, image: np.ndarray) -> None:
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)

    random = np.random.default_rng(1)
    for name, level in LEVELS.items():
        write(name, np.clip(random.normal(level, 20, (160, 160, 3)), 1, 255).astype(np.uint8))
    write("spoof/screen/1", np.zeros((160, 160, 3), np.uint8))
    brightness_model(tmp_path / "m.onnx")
    monkeypatch.setattr(liveness, "open_detector", lambda kind, size: Anything())
    monkeypatch.setattr(opening, "open_judge", lambda config, size: Judge(steps.limits(config, size), open_faces))
    return tmp_path


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_every_kind_of_attack_gets_its_row_and_the_living_theirs(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["liveness", str(labelled / "live"), str(labelled / "spoof"), "--model", str(labelled / "m.onnx")]) == 0
    said = words(capsys.readouterr().out)
    assert "APCER spoof/print 2 0 1 50.0%" in said
    assert "APCER spoof 1 0 0 0.0%" in said
    assert "APCER spoof/screen 1 1 0 none" in said
    assert "BPCER 4 0 1 25.0% 4.6% to 69.9%" in said
    assert "APCER of the worst kind: 50.0% (9.5% to 90.5%)" in said and said.count("not resolvable") == 3


def test_the_configured_threshold_is_the_one_that_is_measured(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = labelled / "config.toml"
    config.write_text('site = "t"\n[gates.n]\nsource = "x"\n[liveness]\nmodel = "m.onnx"\nthreshold = 0.9999\n')
    assert main(["liveness", str(labelled / "live"), str(labelled / "spoof"), "--config", str(config)]) == 0
    said = words(capsys.readouterr().out)
    assert "at the threshold 0.9999" in said and "BPCER 4 0 4 100.0%" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: ["nowhere", "spoof"], "no such folder"),
        (lambda folder: ["live", "live"], "among the living and the attacks"),
        (lambda folder: ["spoof/screen", "empty"], "nothing in it"),
        (lambda folder: ["spoof/screen", "black"], "in none of these pictures"),
        (lambda folder: ["live", "words"], "not a video"),
    ],
)
def test_folders_that_say_nothing_are_refused(
    labelled: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], list[str]], says: str
) -> None:
    for name in ("empty", "black", "words"):
        (labelled / name).mkdir()
    (labelled / "words" / "notes.txt").write_text("no picture")
    cv2.imwrite(str(labelled / "black" / "1.png"), np.zeros((90, 90, 3), np.uint8))
    folders = [str(labelled / name) for name in change(labelled)]
    assert main(["liveness", *folders, "--model", str(labelled / "m.onnx")]) == 78
    assert says in words(capsys.readouterr().err)


def test_without_a_model_there_is_nothing_to_measure(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["liveness", str(labelled / "live"), str(labelled / "spoof")]) == 78
    assert "no liveness model" in words(capsys.readouterr().err)


def test_hidden_files_are_no_presentations(tmp_path: Path) -> None:
    for name in ("a/.thumbs/1.png", "a/.DS_Store", "a/print/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert liveness.kinds_of([tmp_path / "a"]) == {"a/print": [tmp_path / "a/print/1.png"]}
    with pytest.raises(ConfigError):
        liveness.kinds_of([tmp_path / "b"])


def test_a_video_with_too_few_good_frames_and_a_model_that_fails_are_no_answer(labelled: Path) -> None:
    config = Config(site="t", gates={"n": GateConfig(source="x")}, liveness=LivenessConfig(model=str(labelled / "m.onnx"), frames=3))
    judge = liveness.Judge.of(config)
    assert judge.answer(labelled / "live/2.png") == pytest.approx(0.98, abs=0.02)
    assert judge.answer(labelled / "live/a") == judge.answer(labelled / "live/a/1.png"), "one picture, in a folder or alone"
    two = labelled / "two"
    (two).mkdir()
    for name in ("1.png", "2.png"):
        (two / name).write_bytes((labelled / "live/2.png").read_bytes())
    assert judge.answer(two) is None
    (two / "3.png").write_bytes((labelled / "live/4.png").read_bytes())
    assert judge.answer(two) == pytest.approx((2 * 0.98 + 0.0) / 3, abs=0.02)
    judge.model.session = None
    assert judge.answer(labelled / "live/2.png") is None


@pytest.mark.data
@pytest.mark.parametrize(
    ("threshold", "decision", "said"),
    [(0.5, '"accept","reason":"matched"', "live"), (0.99999, '"reject","reason":"spoof_suspected"', "spoof")],
)
def test_a_replay_says_what_liveness_would_have_changed(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], threshold: float, decision: str, said: str
) -> None:
    yunet = str(data_dir / "models/yunet.onnx")
    (tmp_path / "A.jpg").write_bytes(enrolment_frame(data_dir / "clips/asl/again.mkv", open_detector(yunet)))
    config = tmp_path / "config.toml"
    model = data_dir / "models/minifasnet_v2.onnx"
    config.write_text(
        f'site = "t"\n[gates.n]\nsource = "x"\n[detector]\nkind = "{yunet}"\n'
        f'[liveness]\nmodel = "{model}"\nrequire = true\nthreshold = {threshold}\n'
    )
    clip = str(data_dir / "clips/asl/again.mkv")
    assert main(["replay", clip, "--config", str(config), "--enroll", f"A={tmp_path / 'A.jpg'}"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert decision in first and f'"liveness":"{said}"' in first
