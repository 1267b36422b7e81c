"""Data sets and tables as other people's programs pack them."""

import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.core.faults import Fault
from tests.fixtures.bombs import png_bomb
from tests.trainer import faces
from trainer.people import data, tables
from trainer.people.data import DataError


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    return faces.folder(tmp_path / "crops", people=3, images=2)


def packed(where: Path, crops: Path, below: str = "") -> Path:
    with zipfile.ZipFile(where, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(crops.rglob("*.png")):
            archive.write(path, f"{below}{path.relative_to(crops)}")
    return where


def patched(archive: Path, offset_local: int, offset_central: int, value: int) -> None:
    """Change two bytes in the headers of every file of a zip."""
    content = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\3\4", offset_local), (b"PK\1\2", offset_central)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset : at + offset + 2] = struct.pack("<H", value)
            at = content.find(mark, at + 4)
    archive.write_bytes(content)


def test_what_systems_leave_is_passed_over_and_counted(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = data.load(crops)
    assert capsys.readouterr().err == ""
    (crops / "__MACOSX/person00").mkdir(parents=True)
    for name in ("person00/._0.png", "__MACOSX/person00/._0.png", "person01/.trash.png", "person01/Thumbs.db", "prepare.csv", ".DS_Store"):
        (crops / name).write_bytes(b"\0\5\26\7")
    cv2.imwrite(str(crops / "loose.png"), faces.picture(0, 0))
    for source in (crops, packed(tmp_path / "crops.zip", crops)):
        found = data.load(source)
        assert found.names == clean.names and found.digest == clean.digest and found.people == clean.people
        said = capsys.readouterr().err
        assert "3 pictures that an operating system left there passed over" in said and "1 picture in no person's folder" in said


def test_folders_in_a_persons_folder_are_that_persons(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, year in enumerate(("2023", "2024")):
        (crops / "person01" / year).mkdir()
        (crops / f"person01/{number}.png").rename(crops / f"person01/{year}/{number}.png")
    for source in (crops, packed(tmp_path / "crops.zip", crops)):
        found = data.load(source)
        assert found.people == ("person00", "person01", "person02") and np.bincount(found.person).tolist() == [2, 2, 2]
        assert "3 people in 4 folders" in capsys.readouterr().err
    drawings = data.read(crops, 112, 1, resize=True, whole_path=True)
    assert drawings.people == ("person00", "person01/2023", "person01/2024", "person02")
    assert capsys.readouterr().err == ""
    wrapped = data.load(packed(tmp_path / "wrapped.zip", crops, "our crops/all/"))
    assert wrapped.people == tuple(f"our crops/all/person{number:02d}" for number in range(3))


def test_a_link_to_a_person_is_followed_and_a_broken_one_is_said(crops: Path, tmp_path: Path) -> None:
    whole = data.load(crops)
    (crops / "person02").rename(tmp_path / "elsewhere")
    (crops / "person02").symlink_to(tmp_path / "elsewhere")
    assert data.load(crops).digest == whole.digest
    (crops / "person00/9.png").symlink_to("nothing")
    with pytest.raises(DataError, match=r"person00/9\.png: a link that leads to nothing"):
        data.load(crops)


def test_zips_that_cannot_be_read(crops: Path, tmp_path: Path) -> None:
    for local, central, value, says in ((6, 8, 1, "is encrypted"), (8, 10, 9, "compressed in a way"), (8, 10, 97, "compressed in a way")):
        archive = packed(tmp_path / "crops.zip", crops)
        patched(archive, local, central, value)
        with pytest.raises(DataError, match=says) as told:
            data.load(archive)
        assert "\n" not in told.value.message + told.value.hint
    archive = packed(tmp_path / "crops.zip", crops)
    content = bytearray(archive.read_bytes())
    content[200:260] = bytes(60)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"person00/0\.png"):
        data.load(archive)


def test_names_in_zips_are_what_their_writers_meant(crops: Path, tmp_path: Path) -> None:
    picture = (crops / "person00/0.png").read_bytes()
    for system, raw, name in (
        (3, "Zoë".encode(), "Zoë"),  # a Mac: UTF-8 without saying so
        (0, "Zoë".encode("cp437"), "Zoë"),  # Windows: the letters of DOS
        (3, "Zoë".encode("latin-1"), "Zoë"),  # an old Unix
        (0, b"Ada\\2024", "Ada/2024"),
    ):
        archive = tmp_path / "names.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            info = zipfile.ZipInfo("?" * len(raw) + "/1.png")
            info.create_system = system
            opened.writestr(info, picture)
        archive.write_bytes(archive.read_bytes().replace(b"?" * len(raw), raw))
        assert data.load(archive).names == (f"{name}/1.png",)


def test_names_that_are_no_utf8_and_markup(crops: Path, tmp_path: Path) -> None:
    (crops / "person00").rename(crops.joinpath("Ren\udce9 [bold]"))
    found = data.load(crops)
    assert "René [bold]" in found.people
    table = tmp_path / "split.csv"
    table.write_bytes("person,part\nRene\u0301 [bold],fit\nperson01,val\nperson02,fit\n".encode())
    assert set(data.split(found.people, table)["fit"]) == {"René [bold]", "person02"}
    crops.joinpath("person01/new\nline.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"person01/new\\nline\.png in .* is not a picture"):
        data.load(crops)


def test_an_oversize_picture_is_named(crops: Path) -> None:
    bomb = bytearray(png_bomb())
    bomb[16:24] = struct.pack(">II", 40_000, 40_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (crops / "person01/0.png").write_bytes(bomb)
    with pytest.raises(DataError, match=r"person01/0\.png in .* is too large or damaged"):
        data.load(crops)


# ---- tables

ROWS = "person,part\nZoë Müller,fit\nperson01,val\n"


@pytest.mark.parametrize(
    "content",
    [
        ROWS.encode(), ROWS.encode("utf-8-sig"), ROWS.encode("cp1252"), ROWS.encode("utf-16"), ROWS.replace(",", ";").encode("utf-8-sig"),
        ROWS.replace(",", "\t").encode("utf-16"), ROWS.replace("\n", "\r\n").encode("utf-8-sig"), ROWS.replace(",", ", ").encode(),
        ROWS.replace("person,", '"person",').encode("utf-8-sig"),
    ],
)  # fmt: skip
def test_tables_of_every_program(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "split.csv").write_bytes(content)
    assert [(row["person"], row["part"]) for row in tables.rows(tmp_path / "split.csv", ("person", "part"))] == [
        ("Zoë Müller", "fit"),
        ("person01", "val"),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"\xff\xfe\0", b"\x81\x8d\x8f", b"person,part\nada\n", b"\x89PNG\r\n\x1a\n" + bytes(range(256))]
)
def test_what_is_no_table_gets_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(Fault) as told:
        tables.rows(tmp_path / "split.csv", ("person", "part"))
    assert "split.csv" in told.value.message and "\n" not in told.value.message + told.value.hint


@pytest.mark.data
def test_excels_split_is_read(cases_dir: Path) -> None:
    assert tables.rows(cases_dir / "files/split_excel.csv", ("person", "part"))
