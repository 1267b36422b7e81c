"""Photos to crops with the daemon's own detector."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.trainer import faces
from trainer.__main__ import main
from trainer.people import data, prepare


def test_photos_without_faces_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = faces.folder(tmp_path / "photos", people=2, images=1)
    assert main(["prepare", str(photos), str(tmp_path / "crops")]) == 2
    assert "none of the 2 photos" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    full = faces.folder(tmp_path / "full", people=1, images=1)
    for photos, crops, says in (
        (tmp_path / "none", tmp_path / "crops", "not a folder"),
        (tmp_path / "photos", tmp_path / "crops", "no photos"),
        (full, full, "not an empty folder"),
    ):
        assert main(["prepare", str(photos), str(crops)]) == 2
        assert says in capsys.readouterr().err
    assert main(["prepare", str(full), str(tmp_path / "crops"), "--detector", "none.onnx"]) == 2
    assert not (tmp_path / "crops").exists()


@pytest.mark.data
@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_real_photos(data_dir: Path, tmp_path: Path, detector: str, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(data_dir / "frames" / "lfw_raw.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:30]
        archive.extractall(tmp_path / "raw", names)
    photos = tmp_path / "photos"
    for name in names:
        target = photos / Path(name).parent.name / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).rename(target)
    broken = photos / "Nobody" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"no picture")
    two = np.concatenate([cv2.imread(str(path)) for path in sorted(photos.rglob("*.jpg"))[:2]], axis=1)
    cv2.imwrite(str(photos / "Nobody" / "two.jpg"), two)
    spec = "haar" if detector == "haar" else str(data_dir / "models" / "yunet.onnx")
    assert main(["prepare", str(photos), str(tmp_path / "crops"), "--detector", spec]) == 0
    printed = capsys.readouterr().out
    assert "broken.jpg" in printed and "not a picture" in printed and "2 faces" in printed
    crops = data.load(tmp_path / "crops")
    assert 20 <= len(crops) <= 30 and "Nobody" not in crops.people
    assert crops.pixels.std() > 20
    assert not list(tmp_path.glob(".crops*"))


def test_a_picture_that_is_none() -> None:
    class Blind:
        def detect(self, image: np.ndarray) -> list[object]:
            return []

    assert prepare.crop_of(Path(__file__), Blind()) == "not a picture"  # type: ignore[arg-type]
