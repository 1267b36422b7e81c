"""Decisions about crops: what they do, what contradicts itself, and what spreadsheets make of the file."""

from pathlib import Path

import numpy as np
import pytest

from trainer.people import datasets, decisions
from trainer.people.data import Crops, DataError

PEOPLE = ("ann", "bob", "cyd", "=sum(dan)", "eve\nlee")


def crops() -> Crops:
    """Three crops of each of PEOPLE: ann/0, ann/1, ann/2, bob/0 and so on."""
    rng = np.random.default_rng(1)
    names = tuple(f"{person}/{number}" for person in PEOPLE for number in range(3))
    return Crops(rng.integers(0, 256, (15, 4, 4, 3)).astype(np.uint8), PEOPLE, np.repeat(np.arange(5), 3), names, "digest")


def table(where: Path, *lines: str) -> Path:
    path = where / "decisions.csv"
    path.write_text("kind,a,b,decision\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def after(where: Path, *lines: str) -> dict[str, list[str]]:
    """{person: crops} after these decisions."""
    found = decisions.applied(crops(), table(where, *lines)).crops
    return {person: [found.names[row] for row in np.flatnonzero(found.person == index)] for index, person in enumerate(found.people)}


def test_a_merged_person_has_the_first_name_and_all_crops(tmp_path: Path) -> None:
    found = after(tmp_path, "two names,ann,cyd,merge")
    assert found["ann"] == ["ann/0", "ann/1", "ann/2", "cyd/0", "cyd/1", "cyd/2"] and "cyd" not in found


@pytest.mark.parametrize(
    "lines",
    [
        ("two names,ann,bob,merge", "two names,bob,cyd,merge"),
        ("two names,bob,cyd,merge", "two names,ann,bob,merge"),
        ("two names,ann,bob,merge", "two names,bob,cyd,merge", "two names,cyd,ann,merge"),
        ("identical,ann/0,bob/2,merge", "near-identical,bob/1,cyd/1,Merge "),
    ],
)
def test_chains_and_circles_of_merges_are_one_person(tmp_path: Path, lines: tuple[str, ...]) -> None:
    found = after(tmp_path, *lines)
    assert len(found["ann"]) == 9 and {"bob", "cyd"}.isdisjoint(found)


def test_crops_are_dropped_moved_and_split_off(tmp_path: Path) -> None:
    found = after(
        tmp_path,
        "outlier,ann/0,,drop",
        "outlier,bob/0,ann,move",
        "two people,cyd/0,,split",
        "two people,cyd/1,,split",
        "identical,bob/1,cyd/2,keep",
        "outlier,ann/1,,",
    )
    assert found["ann"] == ["ann/1", "ann/2", "bob/0"] and found["bob"] == ["bob/1", "bob/2"]
    assert found["cyd"] == ["cyd/2"] and found["cyd (2)"] == ["cyd/0", "cyd/1"]


def test_a_copy_and_a_whole_person_are_dropped(tmp_path: Path) -> None:
    found = after(tmp_path, "identical,ann/0,bob/0,drop b", "two names,ann,cyd,drop both", "near-identical,bob/1,eve/0,")
    assert found.keys() == {"bob", "=sum(dan)", "eve\nlee"} and found["bob"] == ["bob/1", "bob/2"]


def test_a_name_that_is_there_is_not_given_to_who_is_split_off() -> None:
    made = crops()
    made = Crops(made.pixels, ("ann", "ann (2)", *PEOPLE[2:]), made.person, made.names, "")
    row = decisions.Row(2, "outlier", "ann/0", "", "split")
    assert "ann (3)" in decisions.apply(made, [row], Path("x.csv")).crops.people


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("two names,ann,bob,merge", "two names,ann,bob,keep"), "keeps ann and bob apart"),
        (("two names,ann,bob,merge", "two names,bob,cyd,merge", "near-identical,ann/1,cyd/1,keep"), "keeps ann and cyd apart"),
        (("two names,ann,bob,merge", "two names,bob,cyd,drop a"), "drops bob, and line 2 merges it"),
        (("outlier,ann/0,,drop", "two people,ann/0,,split"), "lines 2 and 3 decide differently about ann/0"),
        (("outlier,ann/0,bob,move", "outlier,ann/0,cyd,move"), "lines 2 and 3 decide differently about ann/0"),
        (("identical,ann/0,bob/0,drop a", "outlier,ann/0,,keep"), "decide differently about ann/0"),
        (("outlier,ann/0,bob,move", "two names,bob,cyd,drop a"), "line 2 says move, and line 3 drops bob"),
        (("two people,ann/0,,split", "two people,ann/1,,split", "two people,ann/2,,split"), "splits every crop off ann"),
        (("two names,ann,nobody,merge",), "line 2: 'nobody' is no person"),
        (("outlier,ann/9,,drop",), "line 2: 'ann/9' is no crop"),
        (("outlier,ann/0,ann/1,move",), "'ann/1' is no person"),
        (("outlier,ann/0,,move",), "move, but to nobody"),
        (("two names,ann,ann,merge",), "a and b are the same"),
        (("two names,ann,bob,drop",), "the decision is 'drop'"),
        (("outlier,ann/0,bob,merge",), "the decision is 'merge'"),
        (("doubles,ann,bob,merge",), "the kind is 'doubles'"),
        (("outlier,ann/0,,", "two names,ann,bob,"), "decides nothing"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError) as refused:
        after(tmp_path, *lines)
    assert message in refused.value.message


def test_nobody_left_is_refused(tmp_path: Path) -> None:
    made = crops().of(["ann", "bob"])
    with pytest.raises(DataError, match="no crop at all"):
        decisions.applied(made, table(tmp_path, "two names,ann,bob,drop both"))


def test_an_empty_table_changes_nothing(tmp_path: Path) -> None:
    assert decisions.applied(crops(), table(tmp_path)).crops.people == PEOPLE
    assert decisions.applied(crops(), None).crops.names == crops().names


@pytest.mark.parametrize(("separator", "encoding", "end"), [(";", "utf-8-sig", "\r\n"), ("\t", "utf-8", "\n"), (",", "utf-8-sig", "\n")])
def test_the_table_is_read_as_spreadsheets_save_it(tmp_path: Path, separator: str, encoding: str, end: str) -> None:
    path = tmp_path / "saved.csv"
    head = ["number", "Kind", "a", "b", "similarity", "said", "proposed", "Decision"]
    rows = [
        head,
        ["1", "two names", "ann", "'=sum(dan)", "0,98", "x", "merge", "MERGE"],
        [""] * 8,
        ["2", "outlier", '"eve\nlee/1"', "", "", "", "", "drop"],
    ]
    path.write_bytes(end.join(separator.join(row) for row in rows).encode(encoding))
    (merge, drop) = decisions.read(path)
    assert (merge.b, merge.decision) == ("=sum(dan)", "merge") and drop.a == "eve\nlee/1"
    found = decisions.applied(crops(), path).crops
    assert "=sum(dan)" not in found.people and len(found) == 14


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x", "'x", "''", "\tx", "x", "00123", "ß;,\"\n'"])
def test_a_name_survives_its_cell(name: str) -> None:
    assert decisions.plain(decisions.cell(name)) == name
    assert not decisions.cell(name).startswith(tuple("=+-@\t0"))


@pytest.mark.parametrize("content", [b"", b"person,part\na,fit\n", b"kind,a,b,decision\nk,\xff,b,c\n", b'kind,a,b,decision\n"open,a,b,c\n'])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.csv"):
        decisions.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        decisions.read(tmp_path / "none.csv")


def test_a_merged_person_is_in_the_part_of_the_name_that_stays(tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    split.write_text('person,part\nann,fit\nbob,val\ncyd,calibration\n=sum(dan),val\n"eve\nlee",val\n')
    decided = table(tmp_path, "two names,cyd,ann,merge", "two people,bob/0,,split")
    parts = datasets.by_part(crops(), split, decided)
    assert {part: set(found.people) for part, found in parts.items()} == {
        "fit": set(),
        "val": {"bob", "bob (2)", "=sum(dan)", "eve\nlee"},
        "calibration": {"cyd"},
    }
    assert len(parts["calibration"]) == 6 and parts["val"].digest == "digest"


def test_only_what_changes_something_is_remembered(tmp_path: Path) -> None:
    assert decisions.digest_of(None) == decisions.digest_of(table(tmp_path, "outlier,ann/0,,", "two names,ann,bob,keep")) == ""
    one = decisions.digest_of(table(tmp_path, "outlier,ann/0,,drop", "two names,ann,bob,merge"))
    assert one == decisions.digest_of(table(tmp_path, "two names,ann,bob,merge", "outlier,ann/0,,drop", "outlier,bob/0,,")) != ""
    said = decisions.digest_of(table(tmp_path, "outlier,ann/0,bob,drop", "two names,ann,bob,merge"))
    assert said == one != decisions.digest_of(table(tmp_path, "outlier,ann/0,bob,move", "two names,ann,bob,merge"))
