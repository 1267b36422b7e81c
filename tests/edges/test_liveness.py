"""The liveness model's file: taken only if it is laid out as it must be, and a failure is no answer."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.core.passages.liveness import surroundings
from daemon.edges.detector import open_detector
from daemon.edges.liveness import LivenessError, open_liveness
from tests.fixtures.liveness_models import brightness_model

DARK, BRIGHT = (np.full((1, 80, 80, 3), level, np.uint8) for level in (60, 200))


@pytest.mark.parametrize("probabilities", [False, True])
def test_logits_and_probabilities_are_told_apart(tmp_path: Path, probabilities: bool) -> None:
    model = open_liveness(brightness_model(tmp_path / "m.onnx", probabilities=probabilities, scale=0.01))
    assert model.softmax is not probabilities
    logits = 0.01 * (np.array([60, 200]) - 128)
    assert model.lives(np.concatenate([DARK, BRIGHT])) == pytest.approx(np.exp(logits) / (2 + np.exp(logits)), abs=1e-5)


def test_channels_come_as_they_are_in_the_frame(tmp_path: Path) -> None:
    model = open_liveness(brightness_model(tmp_path / "m.onnx"))
    seen: list[dict[str, np.ndarray]] = []

    def run(_: object, outputs: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        seen.append(feed)
        return [np.eye(3)[:1]]

    model.session = type("Spy", (), {"get_inputs": model.session.get_inputs, "run": run})()
    face = np.zeros((1, 80, 80, 3), np.uint8)
    face[0, 3, 5] = (10, 20, 30)
    model.lives(face)
    (feed,) = seen
    assert feed["input"].shape == (1, 3, 80, 80) and feed["input"].dtype == np.float32
    assert feed["input"][0, :, 3, 5].tolist() == [10, 20, 30] and feed["input"].max() == 30


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"side": 112}, "takes N×3×112×112"),
        ({"classes": 2}, "answers 4×2"),
        ({"constant": True}, "the same answer to every picture"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, odd: dict[str, int], says: str) -> None:
    with pytest.raises(LivenessError) as error:
        open_liveness(brightness_model(tmp_path / "m.onnx", **odd))  # type: ignore[arg-type]
    assert says in error.value.message and error.value.hint and "\n" not in error.value.message


def test_what_is_no_model_is_refused_and_the_daemon_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    for name in ("m.onnx", "absent.onnx"):
        with pytest.raises(LivenessError):
            open_liveness(tmp_path / name)
        config = tmp_path / "config.toml"
        config.write_text(f'site = "t"\n[gates.north]\nsource = "x.mkv"\n[liveness]\nmodel = "{name}"\n')
        assert main(["run", "--config", str(config)]) == 78
        said = capsys.readouterr().err.splitlines()
        assert [line for line in said if name in line] and [line for line in said if line.startswith("  hint:")]


@pytest.mark.parametrize("answer", [np.full((1, 3), np.nan), np.ones((1, 2)), np.ones((2, 3)), None])
def test_a_model_that_fails_gives_no_answer_and_says_why_until_it_works_again(tmp_path: Path, answer: np.ndarray | None) -> None:
    model = open_liveness(brightness_model(tmp_path / "m.onnx"))
    sound = model.session

    def run(_: object, outputs: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        if answer is None:
            raise RuntimeError("out of memory\nand more")
        return [answer]

    model.session = type("Broken", (), {"get_inputs": sound.get_inputs, "run": run})()
    assert np.isnan(model.lives(np.concatenate([DARK, BRIGHT]))).all()
    assert model.fault is not None and "\n" not in model.fault
    model.session = sound
    assert model.lives(BRIGHT)[0] > 0.9 and model.fault is None


@pytest.mark.data
def test_the_public_model_tells_the_three_pictures_that_came_with_it_apart(data_dir: Path) -> None:
    """Of three pictures nothing can be said of its errors; but a wrong layout, order of colours or crop would show."""
    model = open_liveness(data_dir / "models/minifasnet_v2.onnx")
    detector = open_detector(str(data_dir / "models/yunet.onnx"))
    living = {}
    for path in sorted((data_dir / "spoof").glob("*.jpg")):
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        living[path.stem] = float(model.lives(surroundings(image, detector.detect(image)[0])[None])[0])
    assert living["image_T1"] > 0.9 and max(living["image_F1"], living["image_F2"]) < 0.1
