"""Two pictures, one person or two: crops made up here, and two public-domain portraits that come inside the dependencies."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import skimage

from daemon.core.bundle import BundleError
from daemon.core.faults import Fault
from tests.conftest import ROOT
from tests.fixtures import messy
from tests.trainer import faces
from trainer.__main__ import main
from trainer.measure import same
from trainer.models.opened import onnx_embedder

# TensorFlow and what is built on it use things that their own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

BUNDLE = ROOT / "daemon" / "models" / "faces.onnx"


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Three made-up people, four crops each."""
    return faces.folder(tmp_path / "crops", people=3, images=4)


def portrait(who: str) -> Path:
    if who == "collins":
        return Path(skimage.__file__).parent / "data" / "astronaut.png"
    return Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def threshold(fmr: float) -> float:
    found = next(point.threshold for point in onnx_embedder(BUNDLE)[1].calibration.fmr if point.fmr == fmr)
    assert found is not None
    return found


def test_a_picture_is_itself(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = crops / "person00" / "0.png"
    answer = same.same(same.of_bundle(BUNDLE), path, path)
    assert answer.same and answer.distance == pytest.approx(0, abs=1e-5) and answer.similarity == pytest.approx(1, abs=1e-5)
    printed = capsys.readouterr().out
    assert "0.png and 0.png show the same person" in printed and "one in 1,000" in printed


def test_crops_are_taken_as_they_are(crops: Path) -> None:
    a, b = crops / "person00" / "0.png", crops / "person01" / "0.png"
    answer = same.same(same.of_bundle(BUNDLE, "never opened", 1e-2), a, b)
    vectors = onnx_embedder(BUNDLE)[0](np.stack([faces.picture(0, 0), faces.picture(1, 0)]))
    similarity = float(vectors[0] @ vectors[1])
    assert answer.similarity == pytest.approx(similarity, abs=1e-5) and answer.distance == pytest.approx(2 - 2 * similarity, abs=1e-5)
    assert answer.threshold == threshold(1e-2) and answer.same == (similarity >= answer.threshold)


def test_two_portraits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collins, hopper = portrait("collins"), portrait("hopper")
    answer = same.same(same.of_bundle(BUNDLE), collins, hopper)
    assert not answer.same and answer.threshold == threshold(1e-3) and answer.similarity < threshold(1e-3)
    assert "cannot be called the same person" in capsys.readouterr().out
    darker = np.asarray(np.asarray(cv2.imread(str(collins))) * 0.8, np.uint8)
    cv2.imwrite(str(tmp_path / "darker.jpg"), darker[:, 20:])
    answer = same.same(same.of_bundle(BUNDLE), collins, tmp_path / "darker.jpg")
    assert answer.same and 0 < answer.distance < 0.3


def test_pictures_that_cannot_be_compared(crops: Path, tmp_path: Path) -> None:
    good = crops / "person00" / "0.png"
    collins = np.asarray(cv2.imread(str(portrait("collins"))))
    cv2.imwrite(str(tmp_path / "two.png"), np.concatenate([collins, collins], axis=1))
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((200, 300, 3), 90, np.uint8))
    (tmp_path / "text.png").write_bytes(b"no picture")
    (tmp_path / "nothing.png").write_bytes(b"")
    for name, says in (
        ("two.png", "2 faces found"),
        ("empty.png", "no face found"),
        ("text.png", "not a picture"),
        ("nothing.png", "an empty file"),
        ("missing.png", "cannot be read"),
        ("crops", "cannot be read"),
    ):
        for pair in ((good, tmp_path / name), (tmp_path / name, good)):
            with pytest.raises(Fault, match=says) as told:
                same.same(same.of_bundle(BUNDLE), *pair)
            assert name in told.value.message and "\n" not in told.value.message + told.value.hint


def test_a_photo_of_a_phone_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = [tmp_path / name for name in ("one.HEIC", "two.HEIC")]
    for path, shot in zip(photos, messy.shots("collins"), strict=False):
        path.write_bytes(messy.encoded(shot, "HEIC"))
    (tmp_path / "behind.jpg").write_bytes(messy.encoded(messy.behind(), "JPEG"))
    same.same(same.of_bundle(BUNDLE), *photos)
    assert "show the same person" in capsys.readouterr().out
    same.same(same.of_bundle(BUNDLE), photos[0], tmp_path / "behind.jpg")
    assert "cannot be called the same person" in capsys.readouterr().out


def test_thresholds_that_the_card_does_not_have(crops: Path) -> None:
    path = crops / "person00" / "0.png"
    with pytest.raises(Fault, match="too few for FMR"):
        same.of_bundle(BUNDLE, fmr=1e-6)
    with pytest.raises(Fault, match="no threshold") as told:
        same.of_bundle(BUNDLE, fmr=0.02)
    assert "0.001" in told.value.hint
    with pytest.raises(BundleError):
        same.of_bundle(path)


def test_a_table_of_references(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = crops.parent / "references"
    people.mkdir()
    for person in range(2):
        cv2.imwrite(str(people / f"person{person:02d}.png"), faces.picture(person, 9)[:, :, ::-1])
    (crops / "person02").rename(people / "person02")
    (people / "notes.txt").write_text("no picture")
    pictures = [crops / "person00" / "1.png", crops / "person01" / "1.png", people / "person02" / "0.png"]
    found = same.references(same.of_bundle(BUNDLE), pictures, people)
    assert found.people == ("person00", "person01", "person02") and found.distances.shape == (3, 3)
    one = same.same(same.of_bundle(BUNDLE), pictures[0], people / "person01.png")
    assert found.distances[0, 1] == pytest.approx(one.distance, abs=1e-5)
    assert found.limit == pytest.approx(2 - 2 * threshold(1e-3))
    assert found.nearest[2] == "person02" and found.distances[2, 2] == pytest.approx(0, abs=1e-5)
    for row, who in zip(found.distances, found.nearest, strict=True):
        assert who == (found.people[row.argmin()] if row.min() <= found.limit else None)
    assert main(["same", *map(str, pictures), "--references", str(people)]) == 0
    printed = capsys.readouterr().out
    assert "person02: 0.png, the first of 4 pictures" in printed
    assert printed.count("*") == 3 and "passes" in printed


def test_a_stranger_is_nobody(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (crops.parent / "references").mkdir()
    reference = crops.parent / "references" / "Grace [bold] Hopper.jpg"
    reference.write_bytes(portrait("hopper").read_bytes())
    found = same.references(same.of_bundle(BUNDLE), [portrait("collins"), portrait("hopper")], reference.parent)
    assert found.nearest == (None, "Grace [bold] Hopper")
    assert main(["same", str(portrait("collins")), str(portrait("hopper")), "--references", str(reference.parent)]) == 0
    printed = capsys.readouterr().out
    assert "too far" in printed and "[bold]" in printed


def test_many_references_make_no_wide_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = faces.folder(tmp_path / "people", people=9, images=1)
    found = same.references(same.of_bundle(BUNDLE), [people / "person08" / "0.png"], people)
    assert len(found.people) == 9 and found.nearest == ("person08",)
    assert main(["same", str(people / "person08" / "0.png"), "--references", str(people)]) == 0
    printed = capsys.readouterr().out
    assert "person08 0.000" in printed and "third" in printed and max(map(len, printed.splitlines()[:6])) <= 80


def test_references_that_are_none(crops: Path, tmp_path: Path) -> None:
    picture = crops / "person00" / "0.png"
    (tmp_path / "empty").mkdir()
    double = faces.folder(tmp_path / "double", people=1, images=1)
    (double / "person00.png").write_bytes(picture.read_bytes())
    for folder, says in ((tmp_path / "none", "not a folder"), (tmp_path / "empty", "no pictures"), (double, "twice")):
        with pytest.raises(Fault, match=says):
            same.references(same.of_bundle(BUNDLE), [picture], folder)
    with pytest.raises(Fault, match="no pictures"):
        same.references(same.of_bundle(BUNDLE), [], crops)
