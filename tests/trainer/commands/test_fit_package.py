"""`fit` that begins with the weights that a package carries."""

from pathlib import Path

import numpy as np
import pytest

from trainer.__main__ import main
from trainer.models import dlib_network
from trainer.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
RECIPE = """
extends = "dlib"
name = "tuned"
after = "dlib"
validations = 1
[network]
frozen_layers = 27
[augment]
one_camera = 1.0
[[stages]]
kind = "identify"
steps = 2
batch = 8
min_images = 1
rate = 0.001
means = true
apart = 1.0
keep = "always"
"""


def test_a_run_begins_with_dlibs_weights_and_keeps_the_frozen_ones(people: dict[str, Path], tmp_path: Path) -> None:
    recipe = tmp_path / "tuned.toml"
    recipe.write_text(RECIPE)
    data = ["--data", str(people["crops"]), "--split", str(people["split"])]
    assert main(["fit", *data, "--recipe", str(recipe), "--run", str(tmp_path / "run")]) == 0
    kept, theirs = Run(tmp_path / "run").weights(), dlib_network.weights()
    # The moving average of what does not move is itself but for rounding.
    same = [bool(np.abs(ours - other).max() < 1e-6) for ours, other in zip(kept, theirs, strict=True)]
    assert same == [True] * 54 + [False] * 5  # kernel and bias of 27 convolutions; then two more, and the matrix
    assert max(float(np.abs(ours - other).max()) for ours, other in zip(kept, theirs, strict=True)) < 0.01


def test_a_network_of_another_kind_does_not_begin_with_them(
    people: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(people["crops"]), "--split", str(people["split"])]
    assert main(["fit", *data, "--recipe", "faces-first", "--run", str(tmp_path / "run"), "--from", "dlib"]) == 2
    assert 'only network.kind = "dlib" starts from dlib' in capsys.readouterr().err and not (tmp_path / "run").exists()
