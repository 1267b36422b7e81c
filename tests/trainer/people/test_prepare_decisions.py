"""Decisions about the findings of `clean`, carried out by `prepare`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures import messy
from tests.trainer.people.photos import add, crops_in, reasons
from trainer.people import data, prepare


def decide(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("kind,a,b,decision", *lines)))
    return path


def test_decisions_are_carried_out_and_stay(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = tmp_path / "crops"
    add(photos / "Ben again", "hopper", 4)  # 0, 1 and 2 are the very photos of Ben
    prepare.prepare(photos, crops)
    table_of = decide(tmp_path / "d.csv", "two names,Ben,Ben again,merge", "outlier,Ada/0.jpg.png,,drop", "outlier,Ada/1.jpg.png,,keep")
    found = prepare.prepare(photos, crops, decided=table_of)
    after = crops_in(crops)
    assert sorted(name.split("/")[0] for name in after) == ["Ada"] * 2 + ["Ben"] * 7 and after.keys() == {
        r.crop for r in found.rows if r.crop
    }
    assert reasons(found)["Ada/0.jpg"] == ("refused", "dropped by a decision")
    assert reasons(found)["Ben again/0.jpg"] == reasons(found)["Ben again/3.jpg"] == ("taken", "merged by a decision")
    people = {row.person: (row.outcome, row.reason) for row in found.people}
    assert people["Ben"][0] == "found" and people["Ben again"] == ("merged", "with Ben, by a decision") and people["Ada"][0] == "thin"
    printed = capsys.readouterr().out
    assert "1 crop dropped by a decision, 4 crops merged by a decision" in printed and "3 people found: 2 with crops" in printed
    assert set(data.load(crops).people) == {"Ada", "Ben"}
    add(photos / "Ben again", "hopper", 5)
    (photos / "Ada/0.jpg").rename(photos / "Ada/renamed.jpg")
    calls: tuple[Callable[[], prepare.Summary], ...] = (
        lambda: prepare.prepare(photos, crops),
        lambda: prepare.prepare(photos, crops, decided=table_of),
        lambda: prepare.prepare(photos, crops, standard="any"),
        lambda: prepare.prepare(photos, crops, prune=True),
    )
    for call in calls:
        again = call()
        assert reasons(again)["Ada/renamed.jpg"] == ("refused", "dropped by a decision") and "Ada/0.jpg" not in reasons(again)
        assert reasons(again)["Ben again/4.jpg"] == ("taken", "merged by a decision")
        assert crops_in(crops).items() >= after.items() and len(crops_in(crops)) == len(after) + 1
    assert "3 decisions about what is not there" not in capsys.readouterr().out  # Ada/1 is still there, and is kept


def test_a_dropped_photo_that_is_away_for_a_while(photos: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    prepare.prepare(photos, crops)
    prepare.prepare(photos, crops, decided=decide(tmp_path / "d.csv", "outlier,Ada/0.jpg.png,,drop"))
    (photos / "Ada/0.jpg").rename(tmp_path / "away.jpg")
    assert reasons(prepare.prepare(photos, crops))["Ada/0.jpg"] == ("refused", "dropped by a decision")
    (tmp_path / "away.jpg").rename(photos / "Ada/0.jpg")
    found = prepare.prepare(photos, crops)
    assert reasons(found)["Ada/0.jpg"] == ("refused", "dropped by a decision") and len(crops_in(crops)) == 5
    saved = crops / "prepare.csv"
    lines = saved.read_text("utf-8-sig").splitlines(keepends=True)
    saved.write_text("".join(line for line in lines if "dropped" not in line))  # how a decision is taken back
    assert reasons(prepare.prepare(photos, crops))["Ada/0.jpg"] == ("taken", "") and len(crops_in(crops)) == 6


def test_a_merged_person_whose_photos_are_away_for_a_while(photos: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    add(photos / "Ben again", "hopper", 5)
    for copy in range(3):
        (photos / f"Ben again/{copy}.jpg").unlink()
    prepare.prepare(photos, crops)
    prepare.prepare(photos, crops, decided=decide(tmp_path / "d.csv", "two names,Ben,Ben again,merge"))
    (photos / "Ben again").rename(tmp_path / "away")
    gone = prepare.prepare(photos, crops)
    assert reasons(gone)["Ben again/3.jpg"] == ("taken", "the photo is no longer there; its crop is kept; merged by a decision")
    (tmp_path / "away").rename(photos / "Ben again")
    add(photos / "Ben again", "hopper", 6)
    found = prepare.prepare(photos, crops)
    assert {row.crop.split("/")[0] for row in found.rows if row.crop} == {"Ada", "Ben"}


def test_a_new_photo_in_the_place_of_a_dropped_one_is_not_dropped(photos: Path, tmp_path: Path) -> None:
    crops, dropped = tmp_path / "crops", decide(tmp_path / "d.csv", "outlier,Ada/0.jpg.png,,drop")
    prepare.prepare(photos, crops)
    prepare.prepare(photos, crops, decided=dropped)
    (photos / "Ada/0.jpg").write_bytes(messy.encoded(messy.head("collins", 300), "JPEG"))
    for decided in (dropped, None, dropped):
        found = prepare.prepare(photos, crops, decided=decided)
        assert reasons(found)["Ada/0.jpg"] == ("taken", "") and len(crops_in(crops)) == 6


def test_pictures_that_are_split_off_or_moved(photos: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    prepare.prepare(photos, crops)
    moved = decide(tmp_path / "d.csv", "two people,Ada/0.jpg.png,,split", "outlier,Ben/1.jpg.png,Ada,move")
    prepare.prepare(photos, crops, decided=moved)
    add(photos / "Ada", "collins", 4)
    found = prepare.prepare(photos, crops)
    owners = {row.photo: row.crop.split("/")[0] for row in found.rows}
    assert (
        owners["Ada/0.jpg"] == "Ada (2)" and owners["Ben/1.jpg"] == "Ada" and owners["Ben/0.jpg"] == "Ben" and owners["Ada/3.jpg"] == "Ada"
    )
    assert reasons(found)["Ben/1.jpg"] == ("taken", "moved by a decision") and {row.person for row in found.people} == {
        "Ada",
        "Ada (2)",
        "Ben",
    }
    # A photo that was moved says nothing about its person, also when the other one is merged.
    found = prepare.prepare(photos, crops, decided=decide(tmp_path / "d2.csv", "two names,Ada (2),Ada,merge"))
    add(photos / "Ben", "hopper", 4)
    owners = {row.photo: row.crop.split("/")[0] for row in prepare.prepare(photos, crops).rows}
    assert owners["Ben/1.jpg"] == "Ada (2)" and owners["Ben/3.jpg"] == "Ben"


def test_the_same_photo_of_two_people_is_settled(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = tmp_path / "crops"
    (photos / "Ben/as Ada.jpg").write_bytes((photos / "Ada/0.jpg").read_bytes())
    prepare.prepare(photos, crops)
    assert "1 photo taken for two people each" in capsys.readouterr().out
    settled = decide(tmp_path / "d.csv", "identical,Ada/0.jpg.png,Ben/as Ada.jpg.png,drop b")
    for again in (settled, None):
        found = prepare.prepare(photos, crops, decided=again)
        assert reasons(found)["Ben/as Ada.jpg"] == ("refused", "dropped by a decision") and reasons(found)["Ada/0.jpg"] == ("taken", "")
        assert "taken for two people" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "decides nothing"),
        (["outlier,Ada/0.jpg.png,,drop", "outlier,Ada/0.jpg.png,,keep"], "lines 2 and 3 decide differently"),
        (["outlier,Ada/0.jpg.png,Nobody,move"], "'Nobody' is no person"),
        (["two names,Ada,Ben,drop both"], "leaves no crop at all"),
    ],
)
def test_decisions_that_cannot_be_carried_out_change_nothing(photos: Path, tmp_path: Path, lines: list[str], message: str) -> None:
    prepare.prepare(photos, tmp_path / "crops")
    before = crops_in(tmp_path / "crops"), (tmp_path / "crops/prepare.csv").read_bytes()
    with pytest.raises(data.DataError, match=message):
        prepare.prepare(photos, tmp_path / "crops", decided=decide(tmp_path / "d.csv", *lines))
    assert (crops_in(tmp_path / "crops"), (tmp_path / "crops/prepare.csv").read_bytes()) == before
