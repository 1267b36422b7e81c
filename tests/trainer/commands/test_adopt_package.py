"""`adopt --from dlib`: a bundle of the weights that a package carries, with thresholds that come with the trainer."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from daemon.core import bundle as bundles
from daemon.core.bundle import golden_crop
from trainer.__main__ import main
from trainer.commands import adopt
from trainer.models import dlib_network
from trainer.models.opened import onnx_embedder
from trainer.models.whole import embedder
from trainer.recipes import reading

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_one_command_makes_the_bundle_without_people(tmp_path: Path) -> None:
    path = tmp_path / "dlib.onnx"
    assert main(["adopt", "--from", "dlib", str(path)]) == 0
    embed, card = onnx_embedder(path)
    bundles.check_golden(card, embed)
    assert card.name == "dlib" and card.licence.startswith("CC0") and card.dimension == dlib_network.EMBEDDING
    assert card.calibration.threshold(10, 0.01) is not None and card.calibration.identities > 1000
    crops = np.stack([golden_crop(seed) for seed in range(5)])
    recipe = reading.read(reading.find("dlib"))
    assert np.abs(embed(crops) - embedder(recipe, dlib_network.weights())(crops)).max() < 1e-5


def test_the_thresholds_that_come_with_it_belong_to_its_recipe() -> None:
    measured = msgspec.json.decode(adopt.MEASURED.read_bytes(), type=adopt.Measured)
    assert measured.recipe_digest == reading.read(reading.find("dlib")).digest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "dlib", "--order", "rgb"], "order does not go with --from"),
        (["--from", "dlib", "--licence", "mine"], "licence does not go with --from"),
        (["--from", "dlib", "--split", "split.csv"], "--split, --decisions and --measured need --data"),
        (["model.onnx", "--licence", "mine"], "--data is missing"),
        (["model.onnx", "--data", "crops"], "--licence is missing"),
        (["model.onnx", "--data", "crops", "--licence", "mine", "--measured", "m.json"], "--measured goes with --from alone"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.onnx"
    assert main(["adopt", *arguments, str(path)]) == 2
    said = capsys.readouterr().err
    assert says in said and "hint: " in said and not path.exists()


def test_without_the_package_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dlib_network, "PACKAGE", "no_such_package")
    assert main(["adopt", "--from", "dlib", str(tmp_path / "x.onnx")]) == 2
    assert ".[dlib]" in capsys.readouterr().err and not (tmp_path / "x.onnx").exists()


def test_thresholds_of_another_recipe_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = msgspec.json.decode(adopt.MEASURED.read_bytes(), type=adopt.Measured)
    other = tmp_path / "other.json"
    other.write_bytes(msgspec.json.encode(msgspec.structs.replace(measured, recipe_digest="0" * 64)))
    monkeypatch.setattr(adopt, "MEASURED", other)
    assert main(["adopt", "--from", "dlib", str(tmp_path / "x.onnx")]) == 2
    assert "was measured for another recipe" in capsys.readouterr().err and not (tmp_path / "x.onnx").exists()
