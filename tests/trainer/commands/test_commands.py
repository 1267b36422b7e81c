"""The commands around training, as a person types them, on made-up pictures."""

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fixtures.drawings import mnist, omniglot
from tests.fixtures.html_reader import Reader
from tests.trainer import faces
from trainer.__main__ import main
from trainer.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

DRAWINGS = """
name = "drawings"
validations = 1
[data]
kind = "{kind}"
side = 28
classes = {classes}
[network]
size = 28
channels = 1
stem = 4
widths = [8, 8]
blocks = [1, 1]
head = 0
embedding = 8
dropout = 0.0
compute = "float32"
[augment]
flip = 0
[[stages]]
kind = "{stage}"
steps = 3
min_images = 2
{keys}
[export]
flip = false
shift_px = 1
"""


def figures_of(path: Path) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for figure in json.loads(path.read_text()):
        found.setdefault(figure["on"], {})[figure["name"]] = figure["value"]
    return found


def test_digits_are_measured_seen_and_unseen_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(mnist(tmp_path, test=60))
    recipe = tmp_path / "digits.toml"
    keys = "people = 4\nimages = 2\n"
    recipe.write_text(DRAWINGS.format(kind="digits", classes=[0, 1, 2, 3], stage="triplets", keys=keys))
    run = str(tmp_path / "run")
    assert main(["fit", "--data", data, "--recipe", str(recipe), "--run", run]) == 0
    assert main(["evaluate", run, "--data", data, "--before", "--json", str(tmp_path / "out.json")]) == 0
    found = figures_of(tmp_path / "out.json")
    groups = ["MNIST test", "MNIST test, digits learned", "MNIST test, digits never seen"]
    assert list(found) == [*groups, *(f"{group}, before training" for group in groups)]
    assert all({"auc", "eer", "tar@1e-03", "distance:same", "distance:other"} <= set(one) for one in found.values())
    # 60 test digits, six of each: 885 impostor pairs of those never seen cannot show one in 1,000.
    assert found["MNIST test"]["tar@1e-03"] is not None and found["MNIST test, digits never seen"]["tar@1e-03"] is None
    assert main(["evaluate", run, "--data", data, "--pairs", data]) == 2
    assert "--pairs is for people" in capsys.readouterr().err
    assert main(["export", run, str(tmp_path / "x.onnx")]) == 2
    assert "not a face model" in capsys.readouterr().err
    assert main(["report", run, str(tmp_path / "report"), "--data", data]) == 0
    assert "<html" in (tmp_path / "report" / "report.html").read_text()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(report["classes"]["table"]) == 10 and report["before"]["what"] == "the network before its first step"
    assert main(["look", run, str(tmp_path / "look" / "look.html")]) == 0
    shown = Reader((tmp_path / "look" / "look.html").read_text())
    assert not shown.open and shown.tags.count("img") > 6 * 10 and "At the start of the training" in shown.text
    assert "With the weights that the run keeps" in shown.text and "pictures of people" not in shown.text
    assert main(["look", run, str(tmp_path / "x.html"), "--set", "seed=2"]) == 2
    assert main(["look", str(recipe), str(tmp_path / "x.html")]) == 2
    assert "--data is missing" in capsys.readouterr().err
    digits_by_references(tmp_path, run, data, capsys)


def digits_by_references(tmp_path: Path, run: str, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One picture of each digit, and others in folders called like the digits."""
    with np.load(data) as file:
        pixels, label = file["x_test"], file["y_test"]
    for index, (picture, digit) in enumerate(zip(pixels, label, strict=True)):
        folder = tmp_path / "digits" / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:02d}.png"), picture)
    digits = tmp_path / "digits"
    assert main(["same", str(digits), "--references", str(digits), "--model", run, "--fmr", "0.1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the first 30 of 60 pictures" in out and "from 2,000 pictures of 4 digits (val)" in out
    # Six of each; the first of each is the reference, and does not count.
    assert "Of 50 pictures in a folder called like a digit" in out
    one = str(digits / "3" / "03.png")
    assert main(["same", one, one, "--model", run, "--fmr", "0.1"]) == 0
    assert "show the same digit" in capsys.readouterr().out
    Path(data).rename(tmp_path / "moved.npz")
    assert main(["same", one, one, "--model", run]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "cannot be said" in out and "is no longer there" in out
    assert main(["same", one, one, "--model", run, "--fmr", "0.1", "--data", str(tmp_path / "moved.npz")]) == 0
    assert main(["same", one, one, "--data", str(tmp_path / "moved.npz")]) == 2
    assert "--data is for a run" in capsys.readouterr().err


def test_digits_with_characters_beside_and_two_runs_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, beside = str(mnist(tmp_path, test=60)), str(omniglot(tmp_path))
    recipe = tmp_path / "open.toml"
    text = DRAWINGS.format(
        kind="digits", classes=[0, 1, 2, 3], stage="identify", keys="batch = 32\nverify = 1.0\nverify_form = 'batch-hard'"
    )
    recipe.write_text(text.replace("classes =", "beside = true\nclasses ="))
    given = ["fit", "--data", data, "--recipe", str(recipe), "--run"]
    assert main([*given, str(tmp_path / "none")]) == 2
    assert "--beside images.zip" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "none"), "--set", "data.beside=false", "--beside", beside]) == 2
    assert "leave out --beside" in capsys.readouterr().err
    runs = [str(tmp_path / seed) for seed in ("1", "2")]
    for run in runs:
        assert main([*given, run, "--beside", beside, "--set", f"seed={run[-1]}"]) == 0
    facts = json.loads((tmp_path / "1" / "run.json").read_text())
    assert facts["people"] == {"fit": 4 + 38, "val": 4, "test": 10}
    measure = ["evaluate", runs[0], "--data", data, "--json", str(tmp_path / "out.json")]
    assert main([*measure, "--val"]) == 0
    assert list(figures_of(tmp_path / "out.json")) == ["MNIST val"]
    assert main([*measure, "--join", runs[1]]) == 0
    assert [name.partition(", joined")[2] for name in figures_of(tmp_path / "out.json")] == [" with 2"] * 3
    other = str(tmp_path / "3")
    assert main([*given, other, "--beside", beside, "--set", "data.classes=[0,1]"]) == 0
    assert main([*measure, "--join", other]) == 2
    assert "trained on other data" in capsys.readouterr().err


def one_shot_runs(folder: Path) -> Path:
    rng = np.random.default_rng(2)
    with zipfile.ZipFile(folder / "runs.zip", "w") as archive:
        for run in range(1, 21):
            lines = []
            for way in range(1, 21):
                drawing = cv2.imencode(".png", np.where(rng.random((105, 105)) < 0.9, 255, 0).astype(np.uint8))[1].tobytes()
                test, training = f"run{run:02d}/test/item{way:02d}.png", f"run{run:02d}/training/class{way:02d}.png"
                # The very same drawing twice: any network at all knows it again.
                archive.writestr(test, drawing)
                archive.writestr(training, drawing)
                lines.append(f"{test} {training}\n")
            archive.writestr(f"run{run:02d}/class_labels.txt", "".join(lines))
    return folder / "runs.zip"


def test_characters_are_compared_by_the_head_that_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, runs = str(omniglot(tmp_path)), str(one_shot_runs(tmp_path))
    recipe = tmp_path / "characters.toml"
    recipe.write_text(DRAWINGS.format(kind="characters", classes=[], stage="same", keys="pairs = 8\nevery = true\n"))
    run = str(tmp_path / "run")
    assert main(["fit", "--data", data, "--recipe", str(recipe), "--run", run]) == 0
    assert main(["evaluate", run, "--data", data, "--one-shot-runs", runs, "--json", str(tmp_path / "out.json")]) == 0
    found = figures_of(tmp_path / "out.json")
    assert found["Lake's one-shot runs"] == {"one-shot-20-way": 1.0}
    assert {"auc", "rank-1,n=3", "accuracy@pairs=10000"} <= set(found["Omniglot evaluation"])
    # A head compares, and not a distance.
    drawing = tmp_path / "drawing.png"
    cv2.imwrite(str(drawing), np.random.default_rng(1).integers(0, 256, (50, 40), np.uint8))
    assert main(["same", str(drawing), str(drawing), "--model", run, "--fmr", "0.2"]) == 0
    assert "probability of two different ones" in capsys.readouterr().out
    assert main(["report", run, str(tmp_path / "report"), "--data", data]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["classes"] is None and report["before"]["distances"] is None
    assert main(["look", run, str(tmp_path / "look.html")]) == 0
    assert "No stage of this recipe learns from triplets" in (tmp_path / "look.html").read_text()


def test_people_from_adoption_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two short runs side by side, a report of one, and two pictures compared with the bundle that comes with Ostiary."""
    crops = faces.folder(tmp_path / "crops", people=12, images=3)
    given = ["--data", str(crops), "--split", str(faces.split_of(tmp_path, sorted(path.name for path in crops.iterdir())))]
    (tmp_path / "tiny.toml").write_text(faces.RECIPE)
    short = ["--recipe", str(tmp_path / "tiny.toml"), "--set", "stages.0.epochs=1", "--set", "stages.1.steps=1", "--set", "validations=1"]
    for seed in ("1", "2"):
        assert main(["fit", *given, *short, "--set", f"seed={seed}", "--run", str(tmp_path / seed)]) == 0
    assert main(["compare", str(tmp_path / "1"), str(tmp_path / "2"), "--html", str(tmp_path / "compare.html")]) == 0
    assert "seed" in capsys.readouterr().out and "<html" in (tmp_path / "compare.html").read_text()
    assert main(["report", str(tmp_path / "1"), str(tmp_path / "report"), *given]) == 0
    assert (tmp_path / "report" / "report.json").stat().st_size > 1000
    assert json.loads((tmp_path / "report" / "report.json").read_text())["before"]["what"] == "the network before its first step"
    again = ["fit", *given, *short, "--from", str(tmp_path / "1"), "--run", str(tmp_path / "3")]
    assert main(again) == 0 and main(["report", str(tmp_path / "3"), str(tmp_path / "report"), *given]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["before"]["what"] == "the weights that the run started with" and len(report["classes"]["closest"]) == 3
    assert main(["evaluate", str(tmp_path / "3"), *given, "--before"]) == 0
    assert "before training" in capsys.readouterr().out
    (tmp_path / "3" / "start.npz").unlink()
    assert main(["evaluate", str(tmp_path / "3"), *given, "--before"]) == 2
    assert "did not keep the weights" in capsys.readouterr().err
    assert main(["look", str(tmp_path / "1"), str(tmp_path / "look.html"), "--seed", "2"]) == 0
    assert "pictures of people" in (tmp_path / "look.html").read_text()
    # Three calibration people with three pictures each: 27 pairs of two.
    one, other = str(crops / "person00" / "0.png"), str(crops / "person00" / "1.png")
    assert main(["same", one, one, "--model", str(tmp_path / "1"), "--fmr", "0.1"]) == 0
    assert "show the same person" in capsys.readouterr().out
    assert main(["same", one, one, "--model", str(tmp_path / "1")]) == 0
    assert "too few pairs for FMR 0.001" in " ".join(capsys.readouterr().out.split())
    assert main(["same", one, one]) == 0
    assert "show the same person" in capsys.readouterr().out
    assert main(["same", one]) == 2
    assert "give two" in capsys.readouterr().err
    assert main(["same", one, other, "--references", str(crops)]) == 0
    assert "person00" in capsys.readouterr().out
    assert main(["adopt", one, str(tmp_path / "x.onnx"), *given, "--licence", "none"]) == 2
    assert "hint:" in capsys.readouterr().err and not (tmp_path / "x.onnx").exists()


def test_a_recipe_that_goes_on_from_another_makes_its_run_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = faces.folder(tmp_path / "crops", people=12, images=3)
    given = ["--data", str(crops), "--split", str(faces.split_of(tmp_path, sorted(path.name for path in crops.iterdir())))]
    identify, triplets = (faces.RECIPE.split("[[stages]]")[number] for number in (1, 2))
    network = faces.RECIPE.split("[[stages]]")[0].replace("validations = 10", "validations = 1")
    first, last = tmp_path / "first.toml", tmp_path / "last.toml"
    first.write_text(f"{network}[[stages]]{identify}".replace("epochs = 10", "epochs = 1"))
    last.write_text(f'after = "{first}"\n{network}[[stages]]{triplets}')
    fit = ["fit", *given, "--recipe", str(last), "--run", str(tmp_path / "run")]
    assert main([*fit, "--minutes", "1"]) == 2 and "--from" in capsys.readouterr().err
    last.write_text(last.read_text().replace("embedding = 16", "embedding = 8"))
    assert main(fit) == 2 and "another network" in capsys.readouterr().err and not (tmp_path / "run-before").exists()
    last.write_text(last.read_text().replace("embedding = 8", "embedding = 16"))
    assert main([*fit, "--set", "data.share=0.9", "--set", "network.embedding=12"]) == 0
    before, run = Run(tmp_path / "run-before"), Run(tmp_path / "run")
    assert before.finished and run.finished and before.recipe().data.share == run.recipe().data.share == 0.9
    assert before.recipe().network == run.recipe().network and run.recipe().network.embedding == 12
    assert [line["stage"] for line in run.history() if "loss" in line] == ["triplets"]
    started = (tmp_path / "run-before" / "run.json").stat().st_mtime_ns
    assert main([*fit[:-1], str(tmp_path / "other")]) == 0 and Run(tmp_path / "other-before").finished
    assert main(fit) == 2 and (tmp_path / "run-before" / "run.json").stat().st_mtime_ns == started
    shutil.rmtree(tmp_path / "other-before")
    (tmp_path / "other" / "done").unlink()
    assert main([*fit[:-1], str(tmp_path / "other")]) == 0 and not (tmp_path / "other-before").exists()
    first.write_text(f'after = "{last}"\n' + first.read_text())
    assert main([*fit[:-1], str(tmp_path / "circle")]) == 2
    assert "starts from itself" in capsys.readouterr().err and not (tmp_path / "circle").exists()


def test_too_few_pictures_are_one_line_and_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = faces.folder(tmp_path / "crops", people=8, images=1)
    given = ["--data", str(crops), "--split", str(faces.split_of(tmp_path, sorted(path.name for path in crops.iterdir())))]
    refused = [("faces", "seed=1", "no val person has two pictures")]
    refused += [("faces", "seed=1", "have 3 pictures"), ("faces-contrastive", "stages.0.min_images=1", "no fit person has two pictures")]
    for recipe, change, says in refused:
        assert main(["fit", *given, "--recipe", recipe, "--set", change, "--run", str(tmp_path / "run")]) == 2
        err = capsys.readouterr().err
        assert says in err and len(err.splitlines()) == 2 and not list(tmp_path.glob("run*"))
        for who in (1, 5):  # those of val
            cv2.imwrite(str(crops / f"person{who:02d}" / "1.png"), faces.picture(who, 1))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = faces.folder(tmp_path / "crops", people=8, images=3)
    given = ["--data", str(crops), "--split", str(faces.split_of(tmp_path, sorted(path.name for path in crops.iterdir())))]
    (tmp_path / "tiny.toml").write_text(faces.RECIPE)
    (tmp_path / "file").write_text("in the way")
    assert main(["fit", *given, "--recipe", str(tmp_path / "tiny.toml"), "--run", str(tmp_path / "file" / "run")]) == 2
    err = capsys.readouterr().err
    assert "cannot write" in err and len(err.splitlines()) == 2
