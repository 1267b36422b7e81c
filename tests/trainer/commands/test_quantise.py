"""What `quantise` and `reshape` refuse, and that `reshape` changes no answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.__main__ import main
from trainer.bundle.quantise import QuantiseError
from trainer.commands.quantise import _compared, _seconds
from trainer.models.whole import Embed
from trainer.people.data import Crops


def people(first: int, count: int, images: int) -> Crops:
    """Crops whose first pixel is the person's number."""
    person = np.repeat(np.arange(count), images)
    pixels = np.zeros((len(person), 112, 112, 3), np.uint8)
    pixels[:, 0, 0, 0] = person + first
    return Crops(pixels, tuple(f"p{first + n}" for n in range(count)), person, tuple(f"{n}" for n in range(len(person))), "")


def knowing(noise: float) -> Embed:
    """A model that knows who a crop shows, and adds so much noise."""
    directions = np.random.default_rng(1).normal(size=(256, 64))

    def embed(crops: np.ndarray) -> np.ndarray:
        found = directions[crops[:, 0, 0, 0]] + noise * np.random.default_rng(2).normal(size=(len(crops), 64))
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    return embed


def test_a_model_that_loses_more_than_it_may_is_refused() -> None:
    val, others = people(0, 40, 4), people(100, 60, 1)
    assert _compared(knowing(0.1), knowing(0.11), val, others).row_count > 2
    with pytest.raises(QuantiseError, match=r"as int8 the TAR at FMR 0\.001 falls from 1\.0000"):
        _compared(knowing(0.1), knowing(2), val, others)


def test_a_file_that_has_constant_shapes_is_written_as_it_is(tmp_path: Path) -> None:
    aligner = DEFAULT_BUNDLE.with_name("aligner.onnx")
    assert main(["reshape", str(aligner), str(tmp_path / "again.onnx")]) == 0
    assert onnx.load(tmp_path / "again.onnx") == onnx.load(aligner)


def test_what_is_no_model_is_named_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, out = tmp_path / "wrong.onnx", tmp_path / "out.onnx"
    wrong.write_bytes(b"no model")
    assert main(["reshape", str(wrong), str(out)]) == 2
    assert "is not an ONNX file" in capsys.readouterr().err and not out.exists()


def test_too_few_val_people_cannot_judge() -> None:
    with pytest.raises(QuantiseError, match="too few to judge"):
        _compared(knowing(0.1), knowing(0.1), people(0, 3, 2), people(100, 5, 1))


def test_both_take_turns_on_the_clock() -> None:
    content = DEFAULT_BUNDLE.read_bytes()
    first, second = _seconds([content, content], np.zeros((2, 112, 112, 3), np.uint8))
    assert 0 < first < 60 and 0 < second < 60
