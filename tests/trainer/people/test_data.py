"""Crops from folders and zips, and people never in two parts."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.trainer import faces
from trainer.people import data


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    return faces.folder(tmp_path / "crops", people=4, images=3)


def test_folder_and_zip_are_the_same(crops: Path, tmp_path: Path) -> None:
    packed = tmp_path / "crops.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(crops.rglob("*.png"), reverse=True):
            archive.write(path, path.relative_to(crops))
    one, two = data.load(crops), data.load(packed)
    assert one.names == two.names and one.digest == two.digest
    assert np.array_equal(one.pixels, two.pixels)
    assert len(one) == 12 and one.people == ("person00", "person01", "person02", "person03")
    assert np.array_equal(one.pixels[0], faces.picture(0, 0))


def test_choosing_people_renumbers_them(crops: Path) -> None:
    (crops / "person01" / "2.png").unlink()
    some = data.load(crops).of(["person03", "person01"])
    assert some.people == ("person03", "person01")
    assert [some.people[who] for who in some.person] == [name.split("/")[0] for name in some.names]
    assert some.with_images(3).people == ("person03",)


def test_split_file(crops: Path, tmp_path: Path) -> None:
    table = tmp_path / "split.csv"
    table.write_text("person,part,images\nperson00,fit,3\nperson01,val,3\nperson02,calibration,3\nperson03,fit,3\nabsent,fit,3\n")
    parts = data.split(data.load(crops).people, table)
    assert parts == {"fit": ["person00", "person03"], "val": ["person01"], "calibration": ["person02"]}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("person00,fit\nperson00,val\n", "in fit and in val"),
        ("person00,fit\n", "person01 is not in"),
        ("person00,train\n", "has the part 'train'"),
    ],
)
def test_bad_splits(crops: Path, tmp_path: Path, rows: str, says: str) -> None:
    table = tmp_path / "split.csv"
    table.write_text("person,part\n" + rows)
    with pytest.raises(data.DataError, match=says):
        data.split(data.load(crops).people, table)


def test_hashed_split_does_not_move_anybody() -> None:
    many = [f"person {number}" for number in range(2000)]
    all_parts = data.split(many, None)
    assert sorted(name for part in all_parts.values() for name in part) == sorted(many)
    assert 0.75 < len(all_parts["fit"]) / 2000 < 0.85
    assert 0.07 < len(all_parts["val"]) / 2000 < 0.13
    half = data.split(many[::2], None)
    assert all(set(half[part]) <= set(all_parts[part]) for part in data.PARTS)


def test_a_larger_share_held_out_keeps_everybody_out_who_was() -> None:
    many = [f"person {number}" for number in range(2000)]
    usual, more = data.split(many, None), data.split(many, None, 0.6)
    assert [round(len(more[part]) / 2000, 1) for part in data.PARTS] == [0.4, 0.3, 0.3]
    # A command that knows nothing of the larger share never measures on people who were learned from.
    assert set(more["fit"]) < set(usual["fit"]) and set(usual["val"]) | set(usual["calibration"]) <= set(more["calibration"])


def test_what_is_not_a_crop_is_named(crops: Path) -> None:
    (crops / "person02" / "1.png").write_bytes(b"no picture")
    with pytest.raises(data.DataError, match=r"person02/1\.png"):
        data.load(crops)
    cv2.imwrite(str(crops / "person02" / "1.png"), np.zeros((64, 80, 3), np.uint8))
    with pytest.raises(data.DataError, match="80x64") as caught:
        data.load(crops)
    assert "prepare" in caught.value.hint


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="no pictures"):
        data.load(tmp_path)
    with pytest.raises(data.DataError, match="does not exist"):
        data.load(tmp_path / "none")
    (tmp_path / "broken.zip").write_bytes(b"PK broken")
    with pytest.raises(data.DataError, match="cannot read"):
        data.load(tmp_path / "broken.zip")


def test_pairs(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("a,b,same\nx/1,x/2,1\nx/1,y/1,0\n")
    assert data.pairs(table)[:2] == (["x/1", "x/1"], ["x/2", "y/1"])
    assert data.pairs(table)[2].tolist() == [True, False]
    for text, says in (("a,b\n", "columns"), ("a,b,same\nx,y,yes\n", "yes"), ("a,b,same\nx,y,1\n", "one kind")):
        table.write_text(text)
        with pytest.raises(data.DataError, match=says):
            data.pairs(table)


def test_two_names_of_one_person(crops: Path, tmp_path: Path) -> None:
    table = tmp_path / "same.csv"
    table.write_text("a,b\nperson00,person02\n")
    merged = data.merged(data.load(crops), table)
    assert merged.people == ("person00", "person01", "person03")
    assert np.bincount(merged.person).tolist() == [6, 3, 3]
    table.write_text("a,b\nperson00,nobody\n")
    with pytest.raises(data.DataError, match="nobody"):
        data.merged(data.load(crops), table)


@pytest.mark.data
def test_the_shipped_split_is_complete(data_dir: Path) -> None:
    with zipfile.ZipFile(data_dir / "faces" / "train.zip") as archive:
        people = sorted({name.split("/")[0] for name in archive.namelist() if name.endswith(".jpg")})
    with zipfile.ZipFile(data_dir / "faces" / "devtest.zip") as archive:
        tested = {name.split("/")[0] for name in archive.namelist() if name.endswith(".jpg")}
    parts = data.split(people, data_dir / "faces" / "split.csv")
    assert {part: len(names) for part, names in parts.items()} == {"fit": 2865, "val": 100, "calibration": 1339}
    # No DevTest person in any part.
    assert not {name.removeprefix("lfw_").removeprefix("ytf_") for name in people} & tested
