"""The whole trainer through its own command: fit, evaluate, export, and what it does with bad input or a kill."""

import dataclasses
import functools
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.edges import model
from tests.conftest import ROOT
from tests.trainer import faces
from trainer import data, export, fit, judge, metrics, recipe_file, scoring
from trainer.__main__ import main
from trainer.data import Crops
from trainer.recipe import Augment, Recipe
from trainer.runs import Run, RunError, State

# TensorFlow and tf2onnx use things that their own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def split_of(folder: Path, people: list[str]) -> Path:
    """Half of the people to learn from, a quarter each to choose by and to calibrate on."""
    parts = ["fit", "val", "fit", "calibration"]
    table = folder / "split.csv"
    table.write_text("person,part\n" + "".join(f"{who},{parts[number % 4]}\n" for number, who in enumerate(people)))
    return table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model trained on made-up people, evaluated and exported, all by command."""
    where = tmp_path_factory.mktemp("trained")
    crops = faces.folder(where / "crops", people=24, images=5)
    paths = {
        "crops": crops,
        "split": split_of(where, sorted(path.name for path in crops.iterdir())),
        "recipe": where / "tiny.toml",
        "run": where / "run",
        "pairs": where / "pairs.csv",
        "bundle": where / "tiny.onnx",
        "json": where / "figures.json",
    }
    paths["recipe"].write_text(faces.RECIPE)
    same = [f"person{who:02d}/0.png,person{who:02d}/1.png,1\n" for who in range(1, 24, 4)]
    other = [f"person{who:02d}/0.png,person{(who + 4) % 24:02d}/1.png,0\n" for who in range(1, 24, 4)]
    paths["pairs"].write_text("a,b,same\n" + "".join(same + other))
    given = ["--data", str(crops), "--split", str(paths["split"])]
    assert main(["fit", *given, "--recipe", str(paths["recipe"]), "--run", str(paths["run"])]) == 0
    wanted = ["--pairs", str(paths["pairs"]), "--json", str(paths["json"]), "--roc", str(paths["run"] / "roc.csv")]
    assert main(["evaluate", str(paths["run"]), *given, *wanted]) == 0
    assert main(["export", str(paths["run"]), str(paths["bundle"]), "--notes", "a test"]) == 0
    return paths


def test_the_roc_rises_from_nobody_to_everybody(made: dict[str, Path]) -> None:
    header, *rows = (made["run"] / "roc.csv").read_text().splitlines()
    points = np.array([[float(number) for number in row.split(",")] for row in rows])
    assert header == "threshold,fmr,tar"
    assert points[0].tolist() == [np.inf, 0, 0] and points[-1, 1:].tolist() == [1, 1]
    assert (np.diff(points[:, 0]) < 0).all() and (np.diff(points[:, 1:], axis=0) >= 0).all()


def test_the_bundle_is_one_the_daemon_takes(made: dict[str, Path]) -> None:
    embed, card = export.onnx_embedder(made["bundle"])
    assert model.check_golden(card, embed) > 0.99999
    assert card.name == "tiny" and recipe_file.parse(card.recipe) == recipe_file.parse(faces.RECIPE) and card.notes == "a test"
    assert card.calibration.identities == 6
    assert [figure.name for figure in card.evaluation[:3]] == ["accuracy", "auc", "eer"]
    crops = np.stack([faces.picture(1, number) for number in range(8)])
    for batch in (1, 3, 8):
        vectors = embed(crops[:batch])
        assert vectors.shape == (batch, 16) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    # Flip averaging: the mirrored crop has the same vector.
    assert np.allclose(embed(crops), embed(np.ascontiguousarray(crops[:, :, ::-1])), atol=1e-4)


def test_keras_and_onnx_agree(made: dict[str, Path]) -> None:
    run = Run(made["run"])
    embed, _ = export.onnx_embedder(made["bundle"])
    crops = np.stack([faces.picture(who, 9) for who in range(5)])
    assert np.max(np.abs(embed(crops) - export.embedder(run.recipe(), run.weights())(crops))) <= export.PARITY


def answer_wrongly(embed: export.Embed, mistake: Callable[[np.ndarray], np.ndarray], crops: np.ndarray) -> np.ndarray:
    return embed(mistake(crops))


def test_swapped_channels_fail_the_golden_check(made: dict[str, Path]) -> None:
    embed, card = export.onnx_embedder(made["bundle"])
    for mistake in export.MISTAKES:
        wrong = functools.partial(answer_wrongly, embed, mistake)
        with pytest.raises(model.BundleError, match="golden check"):
            model.check_golden(card, wrong)


def test_it_learned_people_it_never_saw(made: dict[str, Path]) -> None:
    figures = {figure["name"]: figure["value"] for figure in json.loads(made["json"].read_text())}
    assert figures["auc"] > 0.9


def test_the_run_folder_tells_what_happened(made: dict[str, Path]) -> None:
    history = [json.loads(line) for line in (made["run"] / "history.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in history} == {"identify", "triplets"}
    assert history[0]["loss"] > history[9]["loss"]
    verdict = history[-1]
    assert verdict["kept"] == (
        judge.merit({k: np.nan if v is None else v for k, v in verdict["after"].items()}) > 1 - verdict["before"]["eer"]
    )


def test_a_bundle_can_be_evaluated_too(made: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    given = ["--data", str(made["crops"]), "--split", str(made["split"]), "--pairs", str(made["pairs"])]
    assert main(["evaluate", str(made["bundle"]), *given, "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == json.loads(made["json"].read_text())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fit", "--data", "none", "--run", "new"], "none does not exist"),
        (["fit", "--data", "CROPS", "--run", "RUN", "--recipe", "RECIPE"], "finished"),
        (["fit", "--data", "CROPS", "--run", "RUN"], "another recipe"),
        (["fit", "--data", "CROPS", "--run", "CROPS"], "not a run"),
        (["fit", "--data", "CROPS", "--recipe", "BAD", "--run", "new"], "did you mean stages.0.epochs"),
        (["fit", "--data", "CROPS", "--recipe", "ONLY", "--run", "new"], "has no stages"),
        (["export", "CROPS", "new.onnx"], "not a run folder"),
        (["export", "RUN", "new.onnx", "--data", "OTHER"], "is not in"),
        (["evaluate", "RECIPE", "--data", "CROPS"], "cannot open it"),
        (["evaluate", "none.onnx", "--data", "CROPS"], "does not exist"),
        (["evaluate", "RUN", "--data", "CROPS", "--pairs", "SPLIT"], "columns"),
        (["evaluate", "RUN", "--data", "OTHER"], "nothing can be measured"),
        (["evaluate", "BUNDLE", "--data", "CROPS"], "these very crops"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    made: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.toml"
    bad.write_text("[[stages]]\nkind = 'identify'\nepoch = 1\n")
    only = tmp_path / "only.toml"
    only.write_text("name = 'only'\n")
    other = faces.folder(tmp_path / "other", people=2, images=1, first=90)
    names = {
        "CROPS": made["crops"],
        "RUN": made["run"],
        "RECIPE": made["recipe"],
        "SPLIT": made["split"],
        "BAD": bad,
        "ONLY": only,
        "OTHER": other,
        "BUNDLE": made["bundle"],
    }
    before = {path: path.stat().st_mtime_ns for path in made["run"].parent.rglob("*")}
    assert main([str(names.get(word, word)) for word in arguments]) == 2
    err = capsys.readouterr().err
    assert says in err and "hint:" in err and "Traceback" not in err and len(err.splitlines()) == 2
    assert {path: path.stat().st_mtime_ns for path in made["run"].parent.rglob("*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "only.toml", "other"]


def test_a_model_that_knows_nobody_is_not_exported(tmp_path: Path) -> None:
    chosen = recipe_file.parse(faces.RECIPE)
    from trainer import networks

    blind = [np.zeros_like(weight) for weight in networks.encoder(chosen.network).get_weights()]
    with pytest.raises(export.ExportError, match="apart"):
        export.export(chosen, blind, tmp_path / "x.onnx", "", model.Calibration((), (), 0, 0), (), np.zeros((1, 112, 112, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def parts_of(made: dict[str, Path]) -> tuple[Crops, Crops]:
    crops = data.load(made["crops"])
    parts = data.split(crops.people, made["split"])
    return crops.of(parts["fit"]), crops.of(parts["val"])


def trained(chosen: Recipe, made: dict[str, Path], run: Run, **more: Any) -> list[np.ndarray]:
    learned, val = parts_of(made)
    run.begin(chosen, {"data_digest": learned.digest})
    fit.fit(chosen, learned, val, run, **more)
    return run.weights()


SHORT = faces.RECIPE.split("[[stages]]")[0].replace("validations = 10", "validations = 3")
IDENTIFY = SHORT + '[[stages]]\nkind = "identify"\nepochs = 3\nbatch = 16\nrate = 0.01\nwarm_epochs = 1\nramp_epochs = 2\nema = 0.9\n'


def test_the_same_seed_gives_the_same_run_and_another_another(made: dict[str, Path], tmp_path: Path) -> None:
    one, two = (trained(recipe_file.parse(IDENTIFY), made, Run(tmp_path / name)) for name in ("one", "two"))
    other = trained(recipe_file.parse(IDENTIFY.replace('name = "tiny"', 'name = "tiny"\nseed = 2')), made, Run(tmp_path / "other"))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert not all((a == b).all() for a, b in zip(one, other, strict=True))


def test_a_killed_run_goes_on_as_if_nothing_had_happened(made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = recipe_file.parse(IDENTIFY + '[[stages]]\nkind = "triplets"\nsteps = 6\npeople = 4\nimages = 3\nkeep = "always"\n')
    whole = trained(both, made, Run(tmp_path / "whole"))
    keep = Run.checkpoint
    for stage, step in ((0, 4), (0, 12), (1, 2)):
        cut = Run(tmp_path / f"cut{stage}{step}")

        def checkpoint_and_die(self: Run, state: State, stage: int = stage, step: int = step) -> None:
            keep(self, state)
            if state.stage == stage and state.step >= step:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Run, "checkpoint", checkpoint_and_die)
            with pytest.raises(KeyboardInterrupt):
                trained(both, made, cut)
        state = cut.state()
        assert state is not None and state.stage == stage
        for one, two in zip(whole, trained(both, made, cut), strict=True):
            assert np.allclose(one, two, atol=1e-3)


def test_another_models_state_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    learned, val = parts_of(made)
    state = Run(made["run"]).state()
    assert state is not None
    run = Run(tmp_path / "run")
    chosen = recipe_file.parse(faces.RECIPE.replace("widths = [16, 24]", "widths = [16, 32]"))
    run.begin(chosen, {"data_digest": ""})
    run.checkpoint(dataclasses.replace(state, stage=0, step=1))
    with pytest.raises(RunError, match="another model"):
        fit.fit(chosen, learned, val, run)
    with pytest.raises(RunError, match="another network"):
        fit.fit(chosen, learned, val, Run(tmp_path / "new"), start=fit.Start(Run(made["run"]).weights(), None))


def test_a_run_can_start_from_another(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(SHORT + '[[stages]]\nkind = "triplets"\nsteps = 2\npeople = 4\nimages = 2\nrate = 1e-9\n')
    given = ["--data", str(made["crops"]), "--split", str(made["split"]), "--recipe", str(tmp_path / "more.toml")]
    assert main(["fit", *given, "--run", str(tmp_path / "next"), "--from", str(made["run"])]) == 0
    before, after = Run(made["run"]), Run(tmp_path / "next")
    assert after.kept_figures()["eer"] <= before.kept_figures()["eer"] + 1e-6


# Nothing disturbed: a few steps are then enough to see something.
STILL = "[augment]\n" + "".join(f"{f.name} = 0\n" for f in dataclasses.fields(Augment) if f.type == "float")
LEARNERS = {
    "joint-l2": 'kind = "identify"\nbatch = 16\nverify = 0.5\n',
    "joint-l1": 'kind = "identify"\nbatch = 16\nverify = 0.5\nverify_form = "l1"\n',
    "joint-cosine": 'kind = "identify"\nbatch = 16\nverify = 0.5\nverify_form = "cosine"\n',
    "joint-triplets": 'kind = "identify"\nbatch = 16\nverify = 1\nverify_form = "batch-hard"\n',
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
def test_every_way_to_learn_learns(made: dict[str, Path], tmp_path: Path, learner: str) -> None:
    """Each tells its people better apart than chance weights do, measured as it compares."""
    chosen = recipe_file.parse(SHORT + STILL + "[[stages]]\nsteps = 60\nrate = 0.005\nema = 0.8\nmin_images = 2\n" + LEARNERS[learner])
    learned = parts_of(made)[0]
    rng = np.random.default_rng(0)
    # The teacher knows everybody: a random direction for each person, of another length than the student's.
    towards = rng.normal(size=(len(learned.people), 24)).astype(np.float32)
    teacher = dict(zip(learned.names, (towards / np.linalg.norm(towards, axis=1, keepdims=True))[learned.person], strict=True))
    weights = trained(chosen, made, Run(tmp_path / "run"), teacher=teacher)
    same = learned.person[:, None] == learned.person[None, :]
    auc = {}
    for name, scorer in (("before", scoring.untrained(chosen)), ("after", scoring.of_run(chosen, weights))):
        vectors = scorer.embed(learned.pixels)
        matrix = scorer.similarity(vectors, vectors)
        auc[name] = metrics.auc(matrix[same & ~np.eye(len(same), dtype=bool)], matrix[~same])
    # Chance features that must stay as they are leave a head little to gain.
    assert auc["after"] > auc["before"] or learner == "siamese-frozen"
    history = Run(tmp_path / "run").history()
    assert history[-1]["loss"] < history[0]["loss"] or learner in ("semi-hard", "hard", "rising", "article")
    assert {"loss", "cpu_s", "waited", "easy", "semi_hard", "hard", "same", "other"} <= set(history[0])
    if learner.startswith("siamese"):
        assert not scorer.cosine
        with pytest.raises(export.ExportError, match="same-or-different"):
            export.check(chosen, weights)


def test_distillation_needs_a_teacher(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["fit", "--data", str(made["crops"]), "--split", str(made["split"]), "--run", str(tmp_path / "run")]
    assert main([*given, "--recipe", "faces-distilled"]) == 2
    assert "--teacher" in capsys.readouterr().err
    assert main([*given, "--recipe", "faces-triplet", "--teacher", str(made["bundle"])]) == 2
    assert "learns from no teacher" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_collapse_raises_the_alarm(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate far too high: everybody becomes one vector, and training says so and what to try."""
    stage = '[[stages]]\nkind = "triplets"\nsteps = 30\npeople = 4\nimages = 3\nsoft = false\nrate = 30.0\nema = 0.0\n'
    trained(recipe_file.parse(SHORT + stage), made, Run(tmp_path / "run"))
    assert "lower rate" in capsys.readouterr().out
    assert any("warning" in line for line in Run(tmp_path / "run").history())


def test_people_learned_from_are_not_measured_on(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither under their names in another folder, nor under other names."""
    crops = data.load(made["crops"])
    known = data.split(crops.people, made["split"])["fit"]
    for name in ("named", "renamed"):
        for who, person in enumerate(known[:10]):
            (tmp_path / name / (person if name == "named" else f"other{who}")).mkdir(parents=True)
            for number in range(2):
                target = tmp_path / name / (person if name == "named" else f"other{who}") / f"{number}.png"
                target.write_bytes((made["crops"] / person / f"{number}.png").read_bytes())
        assert main(["evaluate", str(made["run"]), "--data", str(tmp_path / name)]) == 2
        assert "learned from" in capsys.readouterr().err


JAX = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("TensorFlow is not here", name=name)

sys.meta_path.insert(0, NoTensorFlow())
from trainer.__main__ import main
from trainer.data import Crops
from trainer.recipe import Augment, Recipe
sys.exit(main(sys.argv[1:]))
"""


def test_jax_fits_without_tensorflow(made: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    (tmp_path / "tiny.toml").write_text(IDENTIFY + '[[stages]]\nkind = "triplets"\nsteps = 4\npeople = 4\nimages = 3\n')
    arguments = ["fit", "--data", str(made["crops"]), "--split", str(made["split"]), "--recipe", str(tmp_path / "tiny.toml")]
    script = [sys.executable, "-W", "ignore", "-c", JAX, *arguments, "--run", str(tmp_path / "run")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "run")
    assert run.finished and run.kept_figures()["auc"] > 0.8
    # What JAX trained TensorFlow measures and exports.
    assert scoring.of_run(run.recipe(), run.weights()).embed(parts_of(made)[1].pixels).shape[1] == 16


@pytest.mark.parametrize("command", ["", "prepare", "fit", "evaluate", "report", "compare", "same", "export", "adopt"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    assert left.value.code == 0
    assert "usage: ostiary-train" in capsys.readouterr().out


@pytest.mark.data
def test_real_faces_end_to_end(data_dir: Path, tmp_path: Path) -> None:
    """Twenty-four real people, eight pictures each, from a zip: fit, evaluate and export as a person types them."""
    with zipfile.ZipFile(data_dir / "faces" / "train.zip") as source, zipfile.ZipFile(tmp_path / "few.zip", "w") as few:
        people: dict[str, list[str]] = {}
        for name in source.namelist():
            if name.endswith(".jpg"):
                people.setdefault(name.split("/")[0], []).append(name)
        chosen = sorted(person for person, own in people.items() if len(own) >= 8)[:24]
        for name in (name for person in chosen for name in people[person][:8]):
            few.writestr(name, source.read(name))
    table = split_of(tmp_path, chosen)
    (tmp_path / "tiny.toml").write_text(faces.RECIPE)
    crops, run, bundle = (str(tmp_path / name) for name in ("few.zip", "run", "faces.onnx"))
    given = ["--data", crops, "--split", str(table)]
    assert main(["fit", *given, "--recipe", str(tmp_path / "tiny.toml"), "--run", run, "--minutes", "0.2"]) == 0
    pairs = tmp_path / "pairs.csv"
    val = chosen[1::4]
    first, second = ([sorted(people[person])[index] for person in val] for index in (0, 1))
    same = [f"{a},{b},1\n" for a, b in zip(first, second, strict=True)]
    other = [f"{a},{b},0\n" for a, b in zip(first, [*second[1:], second[0]], strict=True)]
    pairs.write_text("a,b,same\n" + "".join(same + other))
    assert main(["evaluate", run, "--data", crops, "--pairs", str(pairs)]) == 0
    assert main(["export", run, bundle]) == 0
    embed, card = export.onnx_embedder(Path(bundle))
    assert model.check_golden(card, embed) > 0.999
