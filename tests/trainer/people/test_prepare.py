"""Photos to crops with the daemon's own detector: every file is accounted for, and a call goes on from any instant."""

import errno
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.edges import files
from tests.fixtures import messy
from tests.trainer import faces
from tests.trainer.people.photos import add, crops_in, reasons
from trainer.__main__ import main
from trainer.people import data, pictures, prepare
from trainer.people.prepare import Outcome, Summary, table, target


@pytest.fixture(scope="module")
def mess(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, messy.Expected, Summary]:
    where = tmp_path_factory.mktemp("messy")
    expected = messy.make(where)
    return where, expected, prepare.prepare(where / "photos", where / "crops")


# ---- nothing is lost in silence


def test_every_file_is_accounted_for(mess: tuple[Path, messy.Expected, Summary]) -> None:
    _, expected, summary = mess
    found = reasons(summary)
    assert found.keys() == expected.keys()
    wrong = {name: found[name] for name, (outcome, part) in expected.items() if found[name][0] != outcome or part not in found[name][1]}
    assert not wrong


def test_people_are_folders_however_deep_their_photos_lie(mess: tuple[Path, messy.Expected, Summary]) -> None:
    where, _, summary = mess
    people = {row.person: (row.outcome, row.reason) for row in summary.people}
    assert people["Björn"] == (Outcome.FOUND, "4 crops")
    assert people["Cleo"] == (Outcome.FOUND, "3 crops") and people["Dora"] == (Outcome.FOUND, "3 crops")
    assert people["Ivo"] == (Outcome.LOST, "no photo") and people["Hal"] == (Outcome.THIN, "1 crop")
    assert people["Egon"][0] == Outcome.LOST and "refused: " in people["Egon"][1]
    assert "Dora again" not in people and "Unplugged" not in people and "René" in people
    crops = data.load(where / "crops")
    assert set(crops.people) == {person for person, (outcome, _) in people.items() if outcome != Outcome.LOST}
    assert len(crops) == len(summary.of(Outcome.TAKEN)) and crops.pixels.std() > 20


def test_all_kinds_of_files_give_upright_crops(mess: tuple[Path, messy.Expected, Summary]) -> None:
    where, _, _ = mess
    ada = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in sorted((where / "crops/Ada").iterdir())]
    mean = np.mean(ada, axis=0)
    alike = [float(np.corrcoef(crop.ravel(), mean.ravel())[0, 1]) for crop in ada]
    assert len(ada) >= 24 and min(alike) > 0.9  # a face that lies on its side would be near 0


def test_the_table_says_the_same_and_is_one_for_spreadsheets(mess: tuple[Path, messy.Expected, Summary]) -> None:
    where, _, summary = mess
    assert (where / "crops/prepare.csv").read_bytes().startswith(b"\xef\xbb\xbfphoto,person,outcome,reason,crop,digest")
    assert {(row.photo, row.outcome, row.crop) for row in table.read(where / "crops")} == {
        (row.photo, row.outcome, row.crop) for row in summary.rows
    }
    text = (where / "crops/prepare.csv").read_text("utf-8-sig")
    assert "Ivo/,Ivo,lost,no photo" in text and "Hal/,Hal,thin,1 crop" in text


def test_a_second_call_does_nothing(mess: tuple[Path, messy.Expected, Summary], monkeypatch: pytest.MonkeyPatch) -> None:
    where, _, summary = mess
    before = crops_in(where / "crops")
    monkeypatch.setattr(target, "put", None)
    again = prepare.prepare(where / "photos", where / "crops")
    assert again.rows == summary.rows and again.new == again.removed == 0 and not again.changed
    assert crops_in(where / "crops") == before


def test_what_is_said_of_a_mess(mess: tuple[Path, messy.Expected, Summary], capsys: pytest.CaptureFixture[str]) -> None:
    where, _, _ = mess
    assert main(["prepare", str(where / "photos"), str(where / "crops")]) == 0
    printed = capsys.readouterr().out
    assert "53 photos of 11 people" in printed and "11 people found: 9 with crops" in printed and "2 lost" in printed
    assert "Fee [bold]2024[red]" in printed and "put the others into folders" in printed
    assert "1 photo taken for two people each" in printed


def test_a_missing_package_is_said_and_its_photos_are_taken_later(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "Ada/x.heic").write_bytes(messy.encoded(messy.head("collins", 300), "HEIC"))
    with monkeypatch.context() as patched:
        patched.setattr(pictures, "opens_heic", lambda: False)
        assert reasons(prepare.prepare(photos, tmp_path / "crops"))["Ada/x.heic"] == ("refused", pictures.NO_HEIC)
    later = prepare.prepare(photos, tmp_path / "crops")
    assert later.new == 1 and reasons(later)["Ada/x.heic"][0] == "taken"


def test_a_folder_around_the_people_is_noticed(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "all").mkdir()
    photos.rename(tmp_path / "all/staff")
    assert main(["prepare", str(tmp_path / "all"), str(tmp_path / "crops")]) == 0
    assert f"if those are people, give {tmp_path / 'all/staff'}" in capsys.readouterr().out


# ---- what is known before the work


def test_photos_without_faces_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = faces.folder(tmp_path / "photos", people=2, images=1)
    assert main(["prepare", str(photos), str(tmp_path / "crops")]) == 2
    assert "none of the 2 photos" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos/Ada").mkdir(parents=True)
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose/a.jpg").write_bytes(messy.encoded(messy.head("collins", 100), "JPEG"))
    (tmp_path / "file").write_bytes(b"")
    full = faces.folder(tmp_path / "full", people=1, images=1)
    for photos, crops, says in (
        (tmp_path / "none", tmp_path / "crops", "not a folder"),
        (tmp_path / "photos", tmp_path / "crops", "no photos"),
        (tmp_path / "loose", tmp_path / "crops", "no photos in folders of people"),
        (full, full, "lie in one another"),
        (full, full / "crops", "lie in one another"),
        (full / "person00", full, "lie in one another"),
        (full, tmp_path / "loose", "not an empty folder"),
        (full, tmp_path / "file", "is a file"),
        (full, tmp_path / "file" / "crops", "cannot be made"),
    ):
        assert main(["prepare", str(photos), str(crops)]) == 2
        assert says in capsys.readouterr().err
    assert main(["prepare", str(full), str(tmp_path / "crops"), "--detector", "none.onnx"]) == 2
    monkeypatch.setattr(target, "CROP_BYTES", 1 << 50)
    assert main(["prepare", str(full), str(tmp_path / "crops")]) == 2
    assert "make room on the disk" in capsys.readouterr().err
    assert not (tmp_path / "crops").exists()


def test_two_calls_at_once(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with target.held(tmp_path / "crops"):
        assert main(["prepare", str(photos), str(tmp_path / "crops")]) == 2
    assert "another `prepare` is writing" in capsys.readouterr().err


# ---- going on


def test_a_new_employee_is_added(photos: Path, tmp_path: Path) -> None:
    prepare.prepare(photos, tmp_path / "crops")
    before = crops_in(tmp_path / "crops")
    add(photos / "Cy", "hopper", 1)
    found = prepare.prepare(photos, tmp_path / "crops")
    assert found.new == 1 and crops_in(tmp_path / "crops").items() >= before.items()
    add(tmp_path / "later/Ada", "hopper", 1)  # another folder, in which a file has a name that is taken
    found = prepare.prepare(tmp_path / "later", tmp_path / "crops")
    assert found.new == 1 and found.removed == 0 and crops_in(tmp_path / "crops").items() >= before.items()
    assert len(crops_in(tmp_path / "crops")) == 8 == len(found.of(Outcome.TAKEN))


def test_photos_that_change_move_and_go(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = tmp_path / "crops"
    prepare.prepare(photos, crops)
    (photos / "Ada/0.jpg").write_bytes(messy.encoded(messy.head("collins", 300), "JPEG"))
    (photos / "Ada/1.jpg").rename(photos / "Ada/one.jpg")
    (photos / "Ben/1.jpg").rename(photos / "Ada/2b.jpg")
    (photos / "Ben/2.jpg").unlink()
    (crops / "Ben/0.jpg.png").unlink()
    capsys.readouterr()
    found = prepare.prepare(photos, crops)
    assert found.changed == ("Ada/0.jpg",)
    assert reasons(found)["Ben/2.jpg"][1] == "the photo is no longer there; its crop is kept"
    owners = sorted(name.split("/")[0] for name in crops_in(crops))
    assert owners == ["Ada"] * 4 + ["Ben"] * 2
    printed = capsys.readouterr().out
    assert "1 photo changed since the last call: Ada/0.jpg" in printed and "Ben/2.jpg" in printed
    assert crops_in(crops).keys() == {row.crop for row in found.rows if row.crop}
    found = prepare.prepare(photos, crops, prune=True)
    assert "Ben/2.jpg" not in reasons(found) and len(crops_in(crops)) == 5


def test_a_photo_that_cannot_be_read_now_keeps_its_crop(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare.prepare(photos, tmp_path / "crops")
    before = crops_in(tmp_path / "crops")
    real = os.open

    def sick(path: str | Path, *rest: int) -> int:
        if str(path).endswith("Ada/1.jpg"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", sick)
        found = prepare.prepare(photos, tmp_path / "crops", prune=True)
    assert crops_in(tmp_path / "crops") == before
    assert reasons(found)["Ada/1.jpg"] == ("taken", "the photo cannot be read now; its crop is kept")
    assert reasons(prepare.prepare(photos, tmp_path / "crops"))["Ada/1.jpg"] == ("taken", "")


def test_other_settings_look_at_everything_again(photos: Path, tmp_path: Path) -> None:
    dark = np.asarray(messy.head("collins", 300) * 0.1, np.uint8)
    (photos / "Ada/dark.png").write_bytes(messy.encoded(dark, "PNG"))
    (photos / "Ada/two.png").write_bytes(messy.encoded(messy.behind(), "PNG"))
    found = prepare.prepare(photos, tmp_path / "crops")
    assert reasons(found)["Ada/dark.png"] == ("refused", "the face is too dark")
    assert reasons(found)["Ada/two.png"] == ("taken", "the main one of 2 faces")
    found = prepare.prepare(photos, tmp_path / "crops", faces="one", standard="any")
    assert reasons(found)["Ada/dark.png"] == ("taken", "")
    assert reasons(found)["Ada/two.png"] == ("refused", "2 faces found")
    assert crops_in(tmp_path / "crops").keys() == {row.crop for row in found.rows if row.crop}


def test_a_call_that_is_killed_goes_on(photos: Path, tmp_path: Path) -> None:
    crops, whole = tmp_path / "crops", tmp_path / "whole"
    add(photos / "Ada", "collins", 12)
    prepare.prepare(photos, whole)
    for wanted in (1, 7):
        process = subprocess.Popen([sys.executable, "-m", "trainer", "prepare", photos, crops], stdout=subprocess.DEVNULL)
        while process.poll() is None and len(crops_in(crops) if crops.exists() else ()) < wanted:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert crops_in(crops).items() <= crops_in(whole).items()  # no half crop under a crop's name
    journal = crops / table.JOURNAL
    if journal.exists():
        journal.write_bytes(journal.read_bytes()[:-30])  # and the last line was cut off
    prepare.prepare(photos, crops)
    assert crops_in(crops) == crops_in(whole) and not journal.exists() and not [*crops.rglob("*.tmp")]
    assert (crops / table.NAME).read_bytes() == (whole / table.NAME).read_bytes()


def test_a_full_disk_names_the_file_and_keeps_the_crops(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops, real = tmp_path / "crops", files.replace

    def full(path: Path, content: bytes) -> None:
        if path.name == "1.jpg.png" and path.parent.name == "Ben":
            path.with_name(path.name + ".tmp").write_bytes(content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "replace", full)
        with pytest.raises(prepare.PrepareError, match=r"Ben/1\.jpg\.png: cannot be written \(No space left on device\)"):
            prepare.prepare(photos, crops)
    assert len(crops_in(crops)) == 4 == len(table.read(crops)) and not [*crops.rglob("*.tmp")]
    assert prepare.prepare(photos, crops).new == 2


def test_a_table_that_a_spreadsheet_saved_is_read(photos: Path, tmp_path: Path) -> None:
    prepare.prepare(photos, tmp_path / "crops")
    saved = tmp_path / "crops/prepare.csv"
    saved.write_bytes(saved.read_text("utf-8-sig").replace(",", ";").encode("cp1252"))
    assert prepare.prepare(photos, tmp_path / "crops").new == 0
    saved.write_text("photo,person\n")
    with pytest.raises(data.DataError, match="lacks one of the columns"):
        prepare.prepare(photos, tmp_path / "crops")
    assert len(crops_in(tmp_path / "crops")) == 6


def test_a_table_that_names_files_outside_is_refused(photos: Path, tmp_path: Path) -> None:
    prepare.prepare(photos, tmp_path / "crops")
    (tmp_path / "precious.png").write_bytes(b"precious")
    saved = tmp_path / "crops/prepare.csv"
    for outside in ("../precious.png", "/etc/passwd", "Ada/../../precious.png", "..//precious.png"):
        changed = saved.read_text("utf-8-sig").replace("Ada/0.jpg.png", outside).replace("Ada/0.jpg,", "Ada/gone.jpg,")
        (tmp_path / "crops/prepare.csv").write_text(changed)
        with pytest.raises(data.DataError, match="not PERSON/FILE"):
            prepare.prepare(photos, tmp_path / "crops", prune=True)
        saved.write_text(changed.replace(outside, "Ada/0.jpg.png"))
    assert (tmp_path / "precious.png").read_bytes() == b"precious"


def test_a_folder_of_photos_that_was_moved(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "Ada/text.jpg").write_bytes(b"no picture")
    (photos / "Ben/wall.png").write_bytes(messy.encoded(np.full((200, 200, 3), 90, np.uint8), "PNG"))
    first = prepare.prepare(photos, tmp_path / "crops")
    faces.folder(tmp_path / "crops", people=1, images=1)
    photos.rename(tmp_path / "moved")
    capsys.readouterr()
    again = prepare.prepare(tmp_path / "moved", tmp_path / "crops", prune=True)
    assert reasons(again) == reasons(first) and again.new == again.removed == 0 and len(again.rows) == len(first.rows)
    assert again.strange == ("person00/0.png",) and "person00/0.png" in capsys.readouterr().out


def test_a_photo_that_is_replaced_while_it_is_read(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[Path], bytes] = pictures.content_of

    def replaced(path: Path) -> bytes:
        content = real(path)
        if path.name == "0.jpg":
            path.write_bytes(b"")
        if path.name == "1.jpg":
            path.unlink()
            os.mkfifo(path)
            return real(path)
        return content

    monkeypatch.setattr(pictures, "content_of", replaced)
    found = reasons(prepare.prepare(photos, tmp_path / "crops"))
    assert found["Ada/0.jpg"] == ("taken", "") and found["Ada/1.jpg"] == ("refused", "no file any more")


def test_a_picture_that_is_none() -> None:
    class Blind:
        def detect(self, image: np.ndarray) -> list[object]:
            return []

    assert prepare.crop_of(messy.head("collins", 300), Blind()) == "no face found"  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_real_photos(data_dir: Path, tmp_path: Path, detector: str) -> None:
    with zipfile.ZipFile(data_dir / "frames" / "lfw_raw.zip") as archive:
        archive.extractall(tmp_path / "photos", sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:12])
    spec = "haar" if detector == "haar" else str(data_dir / "models" / "yunet.onnx")
    main_faces = prepare.prepare(tmp_path / "photos", tmp_path / "main", spec)
    only_faces = prepare.prepare(tmp_path / "photos", tmp_path / "one", spec, faces="one")
    taken = [len(summary.of(Outcome.TAKEN)) for summary in (main_faces, only_faces)]
    assert taken[0] >= 11 and taken[1] <= taken[0] - (detector == "yunet")
    assert len(data.load(tmp_path / "main")) == taken[0]


@pytest.mark.data
def test_pictures_from_the_field(cases_dir: Path, tmp_path: Path) -> None:
    where = tmp_path / "photos/Ada"
    where.mkdir(parents=True)
    for case in ("files/40000x40000.png", "files/scanbomb-2000.jpg", "files/thin-33x50000.jpg", "turned/upside_down_no_exif.jpg"):
        (where / Path(case).name).write_bytes((cases_dir / case).read_bytes())
    found = reasons(prepare.prepare(tmp_path / "photos", tmp_path / "crops"))
    assert "too many" in found["Ada/40000x40000.png"][1] and "scans" in found["Ada/scanbomb-2000.jpg"][1]
    assert "narrow" in found["Ada/thin-33x50000.jpg"][1] and found["Ada/upside_down_no_exif.jpg"] == ("taken", "")
