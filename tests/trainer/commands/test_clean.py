"""`clean`, and what its decisions do to the other commands, as a person types them."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.trainer import faces
from trainer.__main__ import DEFAULT_BUNDLE, main
from trainer.clean import vectors
from trainer.commands import fit
from trainer.people import data, datasets, decisions
from trainer.people.data import DataError
from trainer.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Twelve people with three crops each; person03 and person07 have the same picture."""
    where = faces.folder(tmp_path / "crops", people=12, images=3)
    shutil.copy(where / "person03" / "1.png", where / "person07" / "copy.png")
    return where


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def decide(path: Path, kind: str, decision: str) -> None:
    """As with a spreadsheet: write a decision beside each finding of a kind."""
    rows = rows_of(path)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys(), delimiter=";")
        table.writeheader()
        table.writerows(row | {"decision": decision if row["kind"] == kind else row["decision"]} for row in rows)


def test_the_same_picture_is_refused_found_decided_and_then_learned(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, run = tmp_path / "found", tmp_path / "run"
    split = faces.split_of(tmp_path, sorted(path.name for path in crops.iterdir()))
    split.write_text(split.read_text().replace("person03,calibration", "person03,fit").replace("person07,calibration", "person07,fit"))
    (tmp_path / "tiny.toml").write_text("[[stages]]".join(faces.RECIPE.split("[[stages]]")[:2]))
    short = ["--recipe", str(tmp_path / "tiny.toml"), "--set", "stages.0.epochs=1", "--set", "validations=1"]
    learn = ["fit", "--data", str(crops), "--split", str(split), *short, "--run", str(run)]
    calibrate = ["calibrate", str(DEFAULT_BUNDLE), str(tmp_path / "ours.onnx"), "--data", str(crops)]
    for refused in (learn, calibrate):
        assert main(refused) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "person07/copy.png is the same picture as person03/1.png" in said and "ostiary-train clean" in said
    assert not run.exists() and not (tmp_path / "ours.onnx").exists()

    assert main(["clean", str(crops), str(found)]) == 0
    assert "identical" in capsys.readouterr().out
    (row,) = [row for row in rows_of(found / "decisions.csv") if row["kind"] == "identical"]
    assert (row["a"], row["b"], row["decision"]) == ("person03/1.png", "person07/copy.png", "")
    assert "shows faces" in (found / "clean.html").read_text()
    decided = ["--decisions", str(found / "decisions.csv")]
    assert main([*learn, *decided]) == 2 and "decides nothing" in capsys.readouterr().err

    decide(found / "decisions.csv", "identical", "Drop B")
    # A second call embeds nothing, and keeps what was decided.
    written_ns = (found / vectors.FILE).stat().st_mtime_ns
    assert main(["clean", str(crops), str(found)]) == 0
    assert (found / vectors.FILE).stat().st_mtime_ns == written_ns
    assert [row["decision"] for row in rows_of(found / "decisions.csv") if row["kind"] == "identical"] == ["drop b"]
    assert main([*learn, *decided]) == 0
    assert "1 crop dropped" in capsys.readouterr().out.replace("\n", " ")
    learned, _ = Run(run).learned()
    assert {"person03", "person07"} <= learned
    assert main(["export", str(run), str(tmp_path / "x.onnx"), "--decisions", str(other(tmp_path))]) == 2
    assert "trained with other decisions" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--data", str(crops), "--split", str(split), "--part", "fit"]) == 0  # with the run's decisions


def other(where: Path) -> Path:
    path = where / "other.csv"
    path.write_text("kind,a,b,decision\noutlier,person07/copy.png,,drop\n")
    return path


def test_merged_people_are_one_person_when_thresholds_are_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = faces.folder(tmp_path / "crops", people=3, images=1)
    shutil.copy(crops / "person00" / "0.png", crops / "person01" / "copy.png")
    table = tmp_path / "decisions.csv"
    table.write_text("kind,a,b,decision\nidentical,person00/0.png,person01/copy.png,merge\n")
    out = tmp_path / "ours.onnx"
    assert main(["calibrate", str(DEFAULT_BUNDLE), str(out), "--data", str(crops), "--decisions", str(table)]) == 0
    assert out.exists() and "of 2 people" in " ".join(capsys.readouterr().out.split())


def test_before_it_learns_fit_tells_of_doubles_among_the_calibration_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = faces.folder(tmp_path / "crops", people=40, images=1)
    double = cv2.imread(str(crops / "person03" / "0.png"))
    assert double is not None
    (crops / "double").mkdir()
    cv2.imwrite(str(crops / "double" / "0.jpg"), double, [cv2.IMWRITE_JPEG_QUALITY, 95])
    people = data.load(crops)
    fit.warn_of_doubles(DEFAULT_BUNDLE, people)
    assert "double and person03" in " ".join(capsys.readouterr().out.split())
    fit.warn_of_doubles(DEFAULT_BUNDLE, people.of(people.people[:24]))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("what", ["file", "inside", "crops", "none", "model"])
def test_what_cannot_be_cleaned_is_one_line(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    (tmp_path / "file").write_text("")
    given = {
        "file": [str(crops), str(tmp_path / "file")],
        "inside": [str(crops), str(crops / "found")],
        "crops": [str(crops), str(crops)],
        "none": [str(tmp_path / "none"), str(tmp_path / "found")],
        "model": [str(crops), str(tmp_path / "found"), "--model", str(tmp_path / "none.onnx")],
    }[what]
    assert main(["clean", *given]) == 2
    assert capsys.readouterr().err.count("\n") == 2 and not (tmp_path / "found").exists() and len(list(crops.iterdir())) == 12


def test_names_of_any_kind_and_a_damaged_cache_are_no_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops, found = tmp_path / "crops", tmp_path / "found"
    for number, name in enumerate(('=cmd|"/c calc"!A1', "[bold]ann[/bold]", "eve\nlee", "-1", "'s")):
        (crops / name).mkdir(parents=True)
        cv2.imwrite(str(crops / name / "[x].png"), faces.picture(number, 0))
    shutil.copytree(crops / "-1", crops / "@copy")
    black = np.zeros((112, 112, 3), np.uint8)
    for name in ("-1", "'s"):
        cv2.imwrite(str(crops / name / "black.png"), black)
    found.mkdir()
    (found / "vectors.npz").write_bytes(b"damaged")
    assert main(["clean", str(crops), str(found)]) == 0
    text = (found / "decisions.csv").read_text(encoding="utf-8-sig")
    assert not any(cell[:1] in "=-@" for row in csv.reader(text.splitlines()) for cell in row if cell)
    decide(found / "decisions.csv", "identical", "merge")
    with pytest.raises(DataError, match="same picture"):
        datasets.one_name(data.load(crops))
    datasets.one_name(decisions.applied(data.load(crops), found / "decisions.csv").crops)


@pytest.mark.data
def test_copies_of_real_faces_are_found(data_dir: Path, tmp_path: Path) -> None:
    """Sixty people of the calibration part, and three of them once more: compressed, so that no pixel is the same."""
    crops = faces.real(data_dir, "calibration", tmp_path, 60)
    folder = tmp_path / "crops"
    for row, (name, pixels) in enumerate(zip(crops.names, crops.pixels, strict=True)):
        for number in range(2 if row < 3 else 1):
            path = folder / f"{name.split('/')[0]}{'-again' * number}" / "0.jpg"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60 if number else 100])
    assert main(["clean", str(folder), str(tmp_path / "found")]) == 0
    near = [row for row in rows_of(tmp_path / "found" / "decisions.csv") if row["kind"] == "near-identical"]
    assert len(near) == 3 and all(row["proposed"] == "merge" and "-again/" in row["a"] for row in near)
