"""Everything together: what is found, proposed, written and shown."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.html_reader import Reader
from tests.trainer.clean.crowd import Crowd, crowd, rows_of, unit
from trainer.clean import findings, page
from trainer.clean.findings import Finding, Found
from trainer.people.decisions import Row


def found(made: Crowd) -> Found:
    return findings.find(made.crops, made.vectors, made.marks, None)


def of(many: Found, kind: str) -> list[Finding]:
    return [finding for finding in many.findings if finding.kind == kind]


@pytest.fixture
def messy() -> Crowd:
    """p000 and p001 are one person; a crop of p002 is a copy of one of p003; one of p004's belongs to p005; p006 is two people; p007 and
    p008 have one picture each, the same; the model gives no vector for a crop of p009."""
    made = crowd([4] * 7 + [1, 1] + [4] * 71)
    vectors, pixels, marks, person = made.vectors, made.crops.pixels, made.marks, made.crops.person
    rng = np.random.default_rng(3)
    vectors[rows_of(made, 1)] = unit(vectors[rows_of(made, 0)].mean(axis=0) + 0.2 * unit(rng.normal(size=(4, 32))))
    for copy, original in ((rows_of(made, 2)[0], rows_of(made, 3)[0]), (rows_of(made, 8)[0], rows_of(made, 7)[0])):
        vectors[copy], pixels[copy], marks[copy] = vectors[original], pixels[original], marks[original]
    vectors[rows_of(made, 4)[0]] = unit(vectors[rows_of(made, 5)].mean(axis=0))
    vectors[rows_of(made, 6)[:2]] = unit(unit(rng.normal(size=32)) + 0.2 * unit(rng.normal(size=(2, 32))))
    vectors[rows_of(made, 9)[0]] = np.nan
    assert person[rows_of(made, 9)[0]] == 9
    return made


def test_every_kind_is_found_with_the_right_proposal(messy: Crowd) -> None:
    many = found(messy)
    names = messy.crops.names
    same = {(finding.a, finding.b): finding.proposed for finding in of(many, "identical")}
    assert same == {
        (names[rows_of(messy, 2)[0]], names[rows_of(messy, 3)[0]]): "drop a",
        (names[rows_of(messy, 7)[0]], names[rows_of(messy, 8)[0]]): "merge",
    }
    assert [(finding.a, finding.b) for finding in of(many, "two names") if finding.proposed] == [("p000", "p001")]
    assert {finding.a: finding.proposed for finding in of(many, "two people")} == {names[row]: "split" for row in rows_of(messy, 6)[2:]}
    strays = {finding.a: (finding.proposed, finding.b) for finding in of(many, "outlier")}
    assert strays[names[rows_of(messy, 4)[0]]] == ("move", "p005")
    assert strays[names[rows_of(messy, 9)[0]]] == ("drop", "")
    assert strays.keys() <= {names[rows_of(messy, who)[0]] for who in (2, 4, 9)}


def test_clean_crops_give_no_proposal() -> None:
    assert not any(finding.proposed for seed in range(3) for finding in found(crowd([1, 4] * 40, seed)).findings)


@pytest.mark.parametrize("counts", [[], [1], [3], [1, 1], [1] * 30])
def test_few_people_are_no_trouble(counts: list[int]) -> None:
    many = found(crowd(counts))
    assert not any(finding.proposed for finding in many.findings) and many.notes


def test_all_the_same_picture_and_no_vector_at_all() -> None:
    made = crowd([2] * 30)
    made.crops.pixels[:], made.vectors[:], made.marks[:] = 0, made.vectors[0], 7
    assert len(of(found(made), "identical")) == 29
    made.vectors[:] = 0
    many = found(made)
    assert len(of(many, "outlier")) == 60 and len(of(many, "identical")) == 29


def test_decisions_made_before_are_kept(messy: Crowd) -> None:
    many = found(messy)
    name = messy.crops.names[rows_of(messy, 4)[0]]
    before = [
        Row(2, "two names", "p000", "p001", "keep"),
        Row(3, "outlier", name, "p006", "move"),
        Row(4, "outlier", messy.crops.names[-1], "", "drop"),
    ]
    rows = list(csv.DictReader(io.StringIO(page.table(many, before), newline="")))
    decided = {(row["a"], row["b"]): row["decision"] for row in rows if row["decision"]}
    assert decided == {("p000", "p001"): "keep", (name, "p006"): "move", (messy.crops.names[-1], ""): "drop"}
    assert len(rows) == len(many.findings) + 1 and rows[-1]["said"] == "decided before"


def test_the_page_is_whole_says_that_it_shows_faces_and_loads_nothing(messy: Crowd) -> None:
    evil = "<script>p</script>"
    people = (evil, *messy.crops.people[1:])
    messy.crops = messy.crops.__class__(messy.crops.pixels, people, messy.crops.person, messy.crops.names, "")
    read = Reader(page.render(found(messy), messy.crops, "crops", [Row(2, "two names", evil, "p001", "merge")]))
    assert not read.open and all(place.startswith("data:image/jpeg;base64,") for place in read.fetched) and read.fetched
    assert "shows faces" in read.text and evil in read.text and "decided: merge" in read.text and "proposed: split" in read.text
    assert "script" not in read.tags


def test_decisions_about_what_is_no_longer_there_are_left_out_and_counted(messy: Crowd, tmp_path: Path) -> None:
    path, name = tmp_path / "decisions.csv", messy.crops.names[0]
    assert page.earlier(path, messy.crops) == ([], 0)
    lines = [
        "two names,p000,gone,merge",
        "outlier,gone/1.png,,drop",
        f"outlier,{name},gone,drop",
        f"outlier,{name},gone,move",
        "two names,p000,p001,",
    ]
    path.write_text("\n".join(["kind,a,b,decision", *lines]))
    there, lost = page.earlier(path, messy.crops)
    assert [(row.a, row.decision) for row in there] == [(name, "drop")] and lost == 3


def test_a_copy_under_a_name_with_no_other_picture_belongs_to_whom_it_looks_like(messy: Crowd) -> None:
    """p007's only picture is now a copy of one of p010's; p008's of one that is itself wrong under p011."""
    for copy, original in ((7, 10), (8, 11)):
        to, of_it = rows_of(messy, copy)[0], rows_of(messy, original)[0]
        if copy == 8:
            messy.vectors[of_it] = unit(np.random.default_rng(9).normal(size=32))
        messy.vectors[to], messy.marks[to] = messy.vectors[of_it], messy.marks[of_it]
    same = {finding.a.split("/")[0] + finding.b.split("/")[0]: finding.proposed for finding in of(found(messy), "identical")}
    assert same == {"p002p003": "drop a", "p007p010": "merge", "p008p011": ""}


def test_two_people_with_many_copies_are_one_decision() -> None:
    made = crowd([4] * 80)
    for copy, original in zip(rows_of(made, 1), rows_of(made, 0), strict=True):
        made.vectors[copy], made.crops.pixels[copy] = made.vectors[original], made.crops.pixels[original]
        made.crops.pixels[copy, 0, 0] ^= 1
    (one,) = of(found(made), "near-identical")
    assert one.proposed == "merge" and {one.a.split("/")[0], one.b.split("/")[0]} == {"p000", "p001"}
    assert "3 other pairs of their pictures" in one.said
