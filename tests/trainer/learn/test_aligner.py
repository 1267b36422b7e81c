"""The aligner's training on made-up people, and the file that the daemon opens."""

from pathlib import Path

import numpy as np
import pytest

from daemon.core.faces.align import TEMPLATE
from daemon.core.faces.glimpse import geometry, golden_glimpse
from daemon.edges.detector.aligner import open_aligner
from trainer.__main__ import main
from trainer.learn import aligner
from trainer.models import aligner as network

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_fresh_weights_say_that_the_face_lies_right_and_no_answer_leaves_the_bounds() -> None:
    model = network.aligner()
    glimpses = np.stack([golden_glimpse(seed) for seed in range(3)])[..., None].astype(np.float32)
    assert np.asarray(model(glimpses)) == pytest.approx(np.stack([TEMPLATE] * 3), abs=1e-4)
    assert model.count_params() < 250_000
    points = np.asarray(network.Points()(np.array([[99.0, 0, 0, 0], [0, 99, 0, 0], [0, 0, -99, 99]], np.float32)))
    spread = np.hypot(*(points - points.mean(1, keepdims=True)).transpose(2, 0, 1)).mean(1)
    upright = np.hypot(*(TEMPLATE - TEMPLATE.mean(0)).T).mean()
    assert spread[0] / upright == pytest.approx(1.49, abs=0.02)
    assert points[2] == pytest.approx(TEMPLATE + np.array([-network.MOST_PX, network.MOST_PX]), abs=1e-3)


def test_the_light_of_a_glimpse_does_not_matter() -> None:
    glimpse = golden_glimpse(1)[None, ..., None].astype(np.float32)
    dark, light = (np.asarray(network.Levelled()(picture)) for picture in (glimpse * 0.5, glimpse * 0.9 + 20))
    assert dark == pytest.approx(light, abs=0.1)


def test_the_same_batches_come_from_any_number_of_threads() -> None:
    crops = np.random.default_rng(1).integers(0, 255, (6, 112, 112, 3), np.uint8)
    one, three = (list(aligner._batches(crops, 3, workers)) for workers in (1, 3))
    assert all((a == b).all() for pair in zip(one, three, strict=True) for a, b in zip(*pair, strict=True))


def test_an_aligner_is_taught_and_written_and_opened(people: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "aligner.onnx"
    arguments = ["aligner", str(path), "--data", str(people["crops"]), "--split", str(people["split"]), "--steps", "4"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "4 of 4" in said and "after two" in said and "Keras and ONNX differ" in said
    opened = open_aligner(path)
    assert opened.card.glimpse == geometry() and opened.card.licence == "research data, not for production"
    assert "people, moved by known amounts" in opened.card.notes
    assert opened.landmarks(np.stack([golden_glimpse(5)] * 3)).shape == (3, 5, 2)


def test_crops_of_nobody_to_choose_by_are_refused(people: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = tmp_path / "split.csv"
    split.write_text(people["split"].read_text().replace(",val", ",fit"))
    arguments = ["aligner", str(tmp_path / "a.onnx"), "--data", str(people["crops"]), "--split", str(split)]
    assert main(arguments) == 2
    assert "no crops of fit or val people" in capsys.readouterr().err and not (tmp_path / "a.onnx").exists()
