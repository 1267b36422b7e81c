"""The whole trainer through its own command: fit, evaluate, export, and what it does with bad input."""

import dataclasses
import functools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daemon.core import bundle as model
from tests.trainer import faces
from trainer.__main__ import main
from trainer.bundle import export
from trainer.learn import fit, judge
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, Embed, embedder
from trainer.people import data
from trainer.recipes import reading
from trainer.runs import Run, RunError

# TensorFlow and tf2onnx use things that their own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def made(people: dict[str, Path]) -> dict[str, Path]:
    """A tiny model trained on the made-up people, evaluated and exported, all by command."""
    where = people["crops"].parent
    paths = people | {
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
    given = ["--data", str(paths["crops"]), "--split", str(paths["split"])]
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
    embed, card = onnx_embedder(made["bundle"])
    assert model.check_golden(card, embed) > 0.99999
    assert card.name == "tiny" and reading.parse(card.recipe) == reading.parse(faces.RECIPE) and card.notes == "a test"
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
    embed, _ = onnx_embedder(made["bundle"])
    crops = np.stack([faces.picture(who, 9) for who in range(5)])
    assert np.max(np.abs(embed(crops) - embedder(run.recipe(), run.weights())(crops))) <= PARITY


def answer_wrongly(embed: Embed, mistake: Callable[[np.ndarray], np.ndarray], crops: np.ndarray) -> np.ndarray:
    return embed(mistake(crops))


def test_swapped_channels_fail_the_golden_check(made: dict[str, Path]) -> None:
    embed, card = onnx_embedder(made["bundle"])
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
    assert history[1]["loss"] > history[10]["loss"]
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
        (["fit", "--data", "CROPS", "--recipe", "BAD", "--run", "new"], "did you mean `stages.0.epochs`"),
        (["fit", "--data", "CROPS", "--recipe", "ONLY", "--run", "new"], "has no stages"),
        (["export", "CROPS", "new.onnx"], "not a run folder"),
        (["export", "RUN", "new.onnx", "--data", "OTHER"], "is not in"),
        (["evaluate", "RECIPE", "--data", "CROPS"], "cannot open it"),
        (["evaluate", "none.onnx", "--data", "CROPS"], "does not exist"),
        (["evaluate", "RUN", "--data", "CROPS", "--pairs", "SPLIT"], "columns"),
        (["evaluate", "RUN", "--data", "OTHER"], "nothing can be measured"),
        (["evaluate", "BUNDLE", "--data", "CROPS"], "trained on these crops"),
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
    chosen = reading.parse(faces.RECIPE)
    from trainer.models import networks

    blind = [np.zeros_like(weight) for weight in networks.encoder(chosen.network).get_weights()]
    with pytest.raises(export.ExportError, match="apart"):
        export.export(chosen, blind, tmp_path / "x.onnx", "", model.Calibration((), (), 0, 0), (), np.zeros((1, 112, 112, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_another_models_state_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    learned, val = faces.parts_of(made)
    state = Run(made["run"]).state()
    assert state is not None
    run = Run(tmp_path / "run")
    chosen = reading.parse(faces.RECIPE.replace("widths = [16, 24]", "widths = [16, 32]"))
    run.begin(chosen, {"data_digest": ""})
    run.checkpoint(dataclasses.replace(state, stage=0, step=1))
    with pytest.raises(RunError, match="another model"):
        fit.fit(chosen, learned, val, run)
    with pytest.raises(RunError, match="another network"):
        fit.fit(chosen, learned, val, Run(tmp_path / "new"), start=fit.Start(Run(made["run"]).weights(), None))


def test_a_run_can_start_from_another(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(faces.SHORT + '[[stages]]\nkind = "triplets"\nsteps = 2\npeople = 4\nimages = 2\nrate = 1e-9\n')
    given = ["--data", str(made["crops"]), "--split", str(made["split"]), "--recipe", str(tmp_path / "more.toml")]
    assert main(["fit", *given, "--run", str(tmp_path / "next"), "--from", str(made["run"])]) == 0
    before, after = Run(made["run"]), Run(tmp_path / "next")
    assert after.kept_figures()["eer"] <= before.kept_figures()["eer"] + 1e-6


def test_distillation_needs_a_teacher(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["fit", "--data", str(made["crops"]), "--split", str(made["split"]), "--run", str(tmp_path / "run")]
    assert main([*given, "--recipe", "faces-distilled"]) == 2
    assert "--teacher" in capsys.readouterr().err
    assert main([*given, "--recipe", "faces-triplet", "--teacher", str(made["bundle"])]) == 2
    assert "does not use a teacher" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


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
        assert "was trained on" in capsys.readouterr().err


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
    table = faces.split_of(tmp_path, chosen)
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
    embed, card = onnx_embedder(Path(bundle))
    assert model.check_golden(card, embed) > 0.999
