"""A bundle's weights are read back, published for Keras, and learned on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import onnx
import pytest

from daemon.core.bundle import CARD_KEY, Card, golden_crop
from tests.trainer import faces
from trainer.__main__ import DEFAULT_BUNDLE, main
from trainer.bundle import keras_file, readback
from trainer.bundle.readback import ReadBackError
from trainer.learn import chance
from trainer.models.opened import onnx_embedder
from trainer.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# Convolutions and matrices without batch normalisation: what a bundle can be read back from.
PLAIN = """
name = "plain"
validations = 1
[network]
kind = "article"
size = 32
widths = [4, 8]
blocks = [1, 1]
head = 16
embedding = 8
dropout = 0.0
compute = "float32"
[export]
licence = "made-up people"
zoom = 1.05
[[stages]]
kind = "identify"
steps = 4
batch = 16
min_images = 1
rate = 0.01
"""
ON = PLAIN.replace('name = "plain"', 'name = "on"\nneeds_weights = true').replace("made-up people", "ours").replace("0.01", "1e-6")
CROPS = np.stack([golden_crop(seed) for seed in range(100, 104)])


@pytest.fixture(scope="module")
def made(people: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run, and its bundle with the Keras file beside it."""
    where = tmp_path_factory.mktemp("made")
    recipe, on = where / "plain.toml", where / "on.toml"
    recipe.write_text(PLAIN)
    on.write_text(ON)
    data = ["--data", str(people["crops"]), "--split", str(people["split"])]
    assert main(["fit", *data, "--recipe", str(recipe), "--run", str(where / "run")]) == 0
    assert main(["export", str(where / "run"), str(where / "a.onnx"), "--keras"]) == 0
    return {"run": where / "run", "bundle": where / "a.onnx", "keras": where / "a.keras", "on": on}


def equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(some) == len(others) and all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_the_weights_of_a_bundle_and_of_its_keras_file_are_those_of_the_run(made: dict[str, Path], tmp_path: Path) -> None:
    learned = Run(made["run"]).weights()
    assert equal(readback.read(made["bundle"]).weights, learned)
    assert equal(keras_file.read(made["keras"]).weights, learned)
    assert main(["export", str(made["bundle"]), str(tmp_path / "again.keras"), "--keras"]) == 0
    again = keras_file.read(tmp_path / "again.keras")
    assert equal(again.weights, learned) and again.card == onnx_embedder(made["bundle"])[1]


def test_anybodys_keras_opens_the_file(made: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "crops.npy", CROPS)
    program = (
        "import sys, keras, numpy as np; model = keras.models.load_model(sys.argv[1]); crops = np.load(sys.argv[2]); "
        "np.save(sys.argv[3], model.predict_on_batch(crops.astype('float32')))"
    )
    files = [str(made["keras"]), str(tmp_path / "crops.npy"), str(tmp_path / "vectors.npy")]
    # Isolated: neither this folder nor PYTHONPATH is there to import the trainer from.
    subprocess.run([sys.executable, "-I", "-c", program, *files], check=True, capture_output=True, cwd=tmp_path)
    assert np.abs(np.load(tmp_path / "vectors.npy") - onnx_embedder(made["bundle"])[0](CROPS)).max() < 1e-5


def test_the_included_bundle_is_learned_on_although_it_is_quantised(tmp_path: Path) -> None:
    assert main(["export", str(DEFAULT_BUNDLE), str(tmp_path / "faces.keras"), "--keras"]) == 0
    found = keras_file.read(tmp_path / "faces.keras")
    crops = np.stack([faces.picture(1, number) for number in range(4)])
    ours = keras.models.load_model(tmp_path / "faces.keras").predict_on_batch(crops.astype(np.float32))
    assert len(found.weights) == 59 and (np.sum(ours * onnx_embedder(DEFAULT_BUNDLE)[0](crops), axis=1) > 0.99).all()


@pytest.mark.parametrize("source", ["bundle", "keras", "run"])
def test_fit_learns_on_and_says_whether_it_kept_it(
    source: str, people: dict[str, Path], made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(people["crops"]), "--split", str(people["split"]), "--recipe", str(made["on"])]
    assert main(["fit", *data, "--run", str(tmp_path / "run"), "--from", str(made[source])]) == 0
    said = " ".join(capsys.readouterr().out.split())
    run = Run(tmp_path / "run")
    decided = run.history()[-1]
    assert decided["before"]["eer"] == pytest.approx(Run(made["run"]).kept_figures()["eer"])
    assert ("kept the tuned weights: val" if decided["kept"] else "not kept, the weights before stay: val") in said
    # At a rate of a millionth it has hardly moved.
    apart = [np.abs(a - b).max() for a, b in zip(run.weights(), Run(made["run"]).weights(), strict=True)]
    assert max(apart) < 1e-4
    begun: Any = run.facts()["begun_from"]
    assert begun["name"] == "plain" and begun["licence"] == "made-up people"
    if source == "bundle":
        assert main(["export", str(tmp_path / "run"), str(tmp_path / "b.onnx")]) == 0
        assert onnx_embedder(tmp_path / "b.onnx")[1].licence == "ours; learned on from: made-up people"


def test_what_cannot_be_learned_on_is_one_line(
    people: dict[str, Path], made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(people["crops"]), "--split", str(people["split"]), "--run", str(tmp_path / "run")]

    def refused(*given: str) -> str:
        assert main(["fit", *data, *given]) == 2 and not (tmp_path / "run").exists()
        return " ".join(capsys.readouterr().err.split())

    assert "on learns on from weights, and has none" in refused("--recipe", str(made["on"]))
    assert "faces-fine-tuning learns on from weights" in refused("--recipe", "faces-fine-tuning")
    few = refused("--recipe", str(made["on"]), "--set", "stages.0.keep=surely", "--from", str(made["bundle"]))
    assert "only 6 val people with two pictures" in few
    assert "leaves some layers as they are" in refused("--recipe", "faces-small", "--set", "network.frozen_layers=2")
    other = refused("--recipe", str(made["on"]), "--set", "network.embedding=16", "--from", str(made["bundle"]))
    assert "another network than" in other and 'of kind "article"' in other
    (tmp_path / "text.keras").write_text("no")
    assert "is not a Keras file of a bundle" in refused("--recipe", str(made["on"]), "--from", str(tmp_path / "text.keras"))
    assert "does not exist" in refused("--recipe", str(made["on"]), "--from", str(tmp_path / "none.keras"))
    assert "does not exist" in refused("--recipe", str(made["on"]), "--from", str(tmp_path / "none.onnx"))
    for given in (["x.keras"], ["x.onnx", "--keras"], ["x.keras", "--keras", "--notes", "mine"]):
        assert main(["export", str(made["bundle"]), str(tmp_path / given[0]), *given[1:]]) == 2
        assert "hint:" in capsys.readouterr().err and not (tmp_path / given[0]).exists()


def test_a_run_that_has_begun_but_has_no_checkpoint_keeps_its_start(
    people: dict[str, Path], made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before the first checkpoint, it must not silently go on with the weights of its seed."""
    data = ["--data", str(people["crops"]), "--split", str(people["split"]), "--run", str(tmp_path / "run")]
    data += ["--recipe", str(made["run"].with_name("plain.toml"))]

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("trainer.learn.fit.fit", killed)
        assert main(["fit", *data, "--from", str(made["bundle"])]) == 130
    assert main(["fit", *data]) == 2
    assert "was begun with other weights" in capsys.readouterr().err
    assert main(["fit", "--resume", "--run", str(tmp_path / "run")]) == 0
    start = Run(tmp_path / "run").start()
    assert start is not None and equal(start, readback.read(made["bundle"]).weights)


def test_a_run_is_exported_with_its_own_parts_only(
    people: dict[str, Path], made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thresholds of people whom the model has learned by heart would be far too low."""
    other = people["split"].read_text().replace(",fit", ",x").replace(",calibration", ",fit").replace(",x", ",calibration")
    (tmp_path / "other.csv").write_text(other)
    assert main(["export", str(made["run"]), str(tmp_path / "a.onnx"), "--split", str(tmp_path / "other.csv")]) == 2
    assert "was trained with another split" in capsys.readouterr().err and not (tmp_path / "a.onnx").exists()


def with_recipe(bundle: Path, recipe: str, out: Path) -> Path:
    """The same graph, whose card has another recipe."""
    model = onnx.load(bundle)
    card = msgspec.json.decode(next(entry.value for entry in model.metadata_props if entry.key == CARD_KEY), type=Card)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: msgspec.json.encode(msgspec.structs.replace(card, recipe=recipe)).decode()})
    onnx.save(model, out)
    return out


def test_few_people_keep_what_is_surely_better(
    people: dict[str, Path], made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chance, "LEAST_PEOPLE", 6)
    data = ["--data", str(people["crops"]), "--split", str(people["split"]), "--recipe", str(made["on"])]
    surely = [*data, "--set", "stages.0.keep=surely", "--set", "stages.0.rate=1e-12"]
    assert main(["fit", *surely, "--run", str(tmp_path / "run"), "--from", str(made["run"])]) == 0
    said = " ".join(capsys.readouterr().out.split())
    # What has not moved is not better.
    assert "identify: not kept, the weights before stay" in said and "-log10 FMR" in said and "6 val people" in said
    assert equal(Run(tmp_path / "run").weights(), Run(made["run"]).weights())


def test_a_bundle_that_is_not_its_recipes_network_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ReadBackError, match="adopted from another model"):
        readback.read(with_recipe(made["bundle"], 'adopted_from = "x.onnx"\n', tmp_path / "adopted.onnx"))
    with pytest.raises(ReadBackError, match="batch normalisations"):
        readback.read(with_recipe(made["bundle"], faces.RECIPE, tmp_path / "folded.onnx"))
    with pytest.raises(ReadBackError, match="not the network"):
        readback.read(with_recipe(made["bundle"], PLAIN.replace("[4, 8]", "[4, 16]"), tmp_path / "wider.onnx"))
    with pytest.raises(ReadBackError, match="does not answer"):
        readback.read(with_recipe(made["bundle"], PLAIN.replace("zoom = 1.05", "zoom = 1.2"), tmp_path / "zoomed.onnx"))
