"""Training itself: the same seed, every way to learn, collapse, and a machine without TensorFlow."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.trainer import faces
from trainer.bundle import export
from trainer.learn import fit
from trainer.measure import metrics, scoring
from trainer.recipes import reading
from trainer.recipes.values import Augment, Recipe
from trainer.runs import Run

# TensorFlow uses things that its own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def trained(chosen: Recipe, people: dict[str, Path], run: Run, **more: Any) -> list[np.ndarray]:
    learned, val = faces.parts_of(people)
    run.begin(chosen, {"data_digest": learned.digest})
    fit.fit(chosen, learned, val, run, **more)
    return run.weights()


IDENTIFY = faces.SHORT + '[[stages]]\nkind = "identify"\nepochs = 3\nbatch = 16\nrate = 0.01\nwarm_epochs = 1\nramp_epochs = 2\nema = 0.9\n'


def test_the_same_seed_gives_the_same_run_and_another_another(people: dict[str, Path], tmp_path: Path) -> None:
    short = IDENTIFY.replace("epochs = 3\n", "epochs = 1\n", 1)
    one, two = (trained(reading.parse(short), people, Run(tmp_path / name)) for name in ("one", "two"))
    other = trained(reading.parse(short.replace('name = "tiny"', 'name = "tiny"\nseed = 2')), people, Run(tmp_path / "other"))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert not all((a == b).all() for a, b in zip(one, other, strict=True))


# Nothing disturbed: a few steps are then enough to see something.
STILL = "[augment]\n" + "".join(f"{f.name} = 0\n" for f in dataclasses.fields(Augment) if isinstance(f.default, float))
LEARNERS = {
    "joint-l2": 'kind = "identify"\nbatch = 16\nverify = 0.5\n',
    "joint-l1": 'kind = "identify"\nbatch = 16\nverify = 0.5\nverify_form = "l1"\n',
    "joint-cosine": 'kind = "identify"\nbatch = 16\nverify = 0.5\nverify_form = "cosine"\n',
    "joint-triplets": 'kind = "identify"\nbatch = 16\nverify = 1\nverify_form = "batch-hard"\n',
    "apart": 'kind = "identify"\nbatch = 16\nmeans = true\napart = 3\napart_at = 0.2\n',
    "sub-centres": 'kind = "identify"\nbatch = 16\nmargin_form = "angle"\ncentres = 2\n',
    "multi-similarity": 'kind = "multi-similarity"\npeople = 4\nimages = 3\n',
    "circle": 'kind = "circle"\npeople = 4\nimages = 3\n',
    "contrastive": 'kind = "pairs"\npairs = 8\n',
    "siamese": 'kind = "same"\npairs = 8\n',
    "siamese-every": 'kind = "same"\npairs = 8\nevery = true\n',
    "siamese-frozen": 'kind = "same"\npairs = 8\nfrozen = true\nfeatures = "unit"\n',
    "distilled": 'kind = "distil"\npeople = 4\nimages = 3\n',
    **{
        mining: f'kind = "triplets"\npeople = 4\nimages = 3\nmining = "{mining}"\nsoft = false\ncandidates = 12\nhard = 4\nrandom = 4\n'
        for mining in ("batch-hard", "batch-all", "semi-hard", "hard", "rising", "random", "article")
    },
}


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_way_to_learn_learns(people: dict[str, Path], tmp_path: Path, learner: str) -> None:
    """Each tells its people better apart than chance weights do, measured as it compares."""
    chosen = reading.parse(faces.SHORT + STILL + "[[stages]]\nsteps = 60\nrate = 0.005\nema = 0.8\nmin_images = 2\n" + LEARNERS[learner])
    learned = faces.parts_of(people)[0]
    rng = np.random.default_rng(0)
    # The teacher knows everybody: a random direction for each person, of another length than the student's.
    towards = rng.normal(size=(len(learned.people), 24)).astype(np.float32)
    teacher = dict(zip(learned.names, (towards / np.linalg.norm(towards, axis=1, keepdims=True))[learned.person], strict=True))
    weights = trained(chosen, people, Run(tmp_path / "run"), teacher=teacher)
    same = learned.person[:, None] == learned.person[None, :]
    auc = {}
    for name, scorer in (("before", scoring.untrained(chosen)), ("after", scoring.of_run(chosen, weights))):
        vectors = scorer.embed(learned.pixels)
        matrix = scorer.similarity(vectors, vectors)
        auc[name] = metrics.auc(matrix[same & ~np.eye(len(same), dtype=bool)], matrix[~same])
    # Chance features that must stay as they are leave a head little to gain.
    assert auc["after"] > auc["before"] or learner == "siamese-frozen"
    history = Run(tmp_path / "run").history()
    assert history[0]["step"] == 0 and "loss" not in history[0]
    assert history[-1]["loss"] < history[1]["loss"] or learner in ("semi-hard", "hard", "rising", "article")
    assert {"loss", "cpu_s", "waited", "easy", "semi_hard", "hard", "same", "other"} <= set(history[1])
    if learner.startswith("siamese"):
        assert not scorer.cosine
        with pytest.raises(export.ExportError, match="same-or-different"):
            export.check(chosen, weights)


def test_collapse_raises_the_alarm(people: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate far too high: everybody becomes one vector, and training says so and what to try."""
    stage = '[[stages]]\nkind = "triplets"\nsteps = 30\npeople = 4\nimages = 3\nsoft = false\nrate = 30.0\nema = 0.0\n'
    trained(reading.parse(faces.SHORT + stage), people, Run(tmp_path / "run"))
    assert "lower learning rate" in capsys.readouterr().out
    assert any("warning" in line for line in Run(tmp_path / "run").history())


JAX = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("TensorFlow is not here", name=name)

sys.meta_path.insert(0, NoTensorFlow())
from trainer.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_jax_fits_without_tensorflow(people: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    (tmp_path / "tiny.toml").write_text(IDENTIFY + '[[stages]]\nkind = "triplets"\nsteps = 4\npeople = 4\nimages = 3\n')
    arguments = ["fit", "--data", str(people["crops"]), "--split", str(people["split"]), "--recipe", str(tmp_path / "tiny.toml")]
    script = [sys.executable, "-W", "ignore", "-c", JAX, *arguments, "--run", str(tmp_path / "run")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "run")
    assert run.finished and run.kept_figures()["auc"] > 0.8
    # What JAX trained TensorFlow measures and exports.
    assert scoring.of_run(run.recipe(), run.weights()).embed(faces.parts_of(people)[1].pixels).shape[1] == 16
