"""The examples that the network of visibility learns from, and a training of a few steps."""

from pathlib import Path

import numpy as np
import pytest

from daemon.core.faces.visibility import REGIONS, TURNS
from daemon.edges.visibility import open_visibility
from tests.trainer import faces
from trainer.__main__ import main
from trainer.learn import visibility as learn
from trainer.people import data


def test_a_turned_face_is_turned_and_an_upright_one_stays() -> None:
    crop = np.zeros((112, 112, 3), np.uint8)
    crop[:56] = 200
    bright = [learn.placed(crop, turn, np.random.default_rng(2)).astype(float).mean(axis=2) for turn in range(4)]
    halves = [(one[:56].mean(), one[56:].mean(), one[:, :56].mean(), one[:, 56:].mean()) for one in bright]
    assert [int(np.argmax(half)) for half in halves] == [0, 2, 1, 3]


def test_examples_are_labelled_with_what_was_done_to_them() -> None:
    rng = np.random.default_rng(1)
    crops = rng.integers(0, 256, (4, 112, 112, 3), np.uint8)
    batch = learn.batch(crops, np.random.default_rng(5))
    again = learn.batch(crops, np.random.default_rng(5))
    assert batch.pixels.shape == (learn.BATCH, 56, 56, 3) and np.array_equal(batch.pixels, again.pixels)
    assert set(batch.turn) == {0, 1, 2, 3} and 0.5 < np.mean(batch.turn == 0) < 0.7
    assert (batch.covered[batch.turn > 0] == learn.UNKNOWN).all() and set(np.unique(batch.covered)) == {-1, 0, 1}
    assert batch.covered.shape == (learn.BATCH, REGIONS)


def test_regions_that_are_unknown_do_not_count() -> None:
    truth = np.array([[1, -1], [-1, 0]], np.float32)
    loss = float(learn.masked(truth, np.array([[3, 100], [-100, -3]], np.float32)))
    assert loss == pytest.approx(np.log1p(np.exp(-3)), abs=1e-5)


def test_a_training_writes_a_file_that_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, out = faces.folder(tmp_path / "people", people=40, images=1), tmp_path / "visibility.onnx"
    options = ["--data", str(people), "--steps", "3", "--licence", "for tests"]
    assert main(["visibility", str(out), *options]) == 0
    assert "helmet (unseen kind)" in capsys.readouterr().out
    crops = data.load(people).pixels
    answers = open_visibility(out)(crops[:3])
    assert answers.shape == (3, TURNS + REGIONS) and answers[:, :TURNS].sum(axis=1) == pytest.approx(1, abs=1e-5)
