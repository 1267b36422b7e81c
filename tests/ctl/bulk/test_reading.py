"""People from CSV files and folders: as programs write them, and everything that can be wrong with them."""

import csv
import io
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.client.failures import ClientError
from daemon.core.messages import PersonEntry
from daemon.ctl.bulk.cells import cell, plain
from daemon.ctl.bulk.csv_rows import read_csv
from daemon.ctl.bulk.difference import difference
from daemon.ctl.bulk.folder_rows import pictures_in, read_folder
from daemon.ctl.bulk.roster import as_csv
from daemon.ctl.bulk.rows import ListedError, Row


def rows(folder: Path, content: str | bytes) -> list[Row]:
    path = folder / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path)


def errors(folder: Path, content: str | bytes) -> list[str]:
    with pytest.raises(ListedError) as raised:
        rows(folder, content)
    assert raised.value.code == 2 and raised.value.hint
    return list(raised.value.lines)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_programs_save(tmp_path: Path, separator: str, encoding: str, end: str) -> None:
    lines = [
        ["Person", "Valid until", "NAME", "photos", "gates"],
        ["E1", "2027-03-31", "Zoë", '"a.jpg;b c.jpg"', '"north;south"'],
        ["E2"] + [""] * 4,
    ]
    (one, other) = rows(tmp_path, end.join(separator.join(line) for line in lines).encode(encoding))
    assert (one.person, one.where, one.fields["name"], one.fields["gates"]) == ("E1", "line 2", "Zoë", ["north", "south"])
    assert one.photos == (tmp_path / "a.jpg", tmp_path / "b c.jpg")
    until = one.fields["valid_until"]
    assert isinstance(until, datetime) and (until.hour, until.minute, until.day) == (23, 59, 31), "the day counts until its end"
    assert other.fields == dict.fromkeys(("valid_until", "name", "gates")) and other.photos == (), "an empty cell is known to be empty"


def test_a_column_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert rows(tmp_path, "person\nE1\n\n  \nE2\n") == [Row("line 2", "E1"), Row("line 5", "E2")]


def test_excels_own_first_line_and_windows_paths(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    (one,) = rows(tmp_path, "sep=;\r\nperson;photo\r\nE1;photos\\1.jpg\r\n")
    assert one.photos == (tmp_path / "photos" / "1.jpg",) and one.where == "line 3"


def test_line_numbers_hold_behind_cells_of_several_lines(tmp_path: Path) -> None:
    said = errors(tmp_path, 'person,name\nE1,"two\nlines"\nE 2,x\n')
    assert len(said) == 1 and said[0].startswith("line 4: ") and '"E 2"' in said[0]


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    lines = [
        "person,name,valid_from,valid_until,schedule",
        ",nobody,,,",
        "E1,a,2027-02-01,2027-01-01,",
        f"E2,{'x' * 201},,,",
        "E3,a,12/31/2027,,",
        "E3,a,,,",
        f"E4,a,,,{'y' * 65}",
        "E5,a,,",
        "E6,a,9999-12-31,,",
        "E7,Doe, John,,,",
    ]
    said = errors(tmp_path, "\n".join(lines))
    words = ("no employee number", "not after", "200", "12/31/2027", "line 5", "64", "4 cells", "years", "6 cells")
    for number, word in enumerate(words, 2):
        assert any(line.startswith(f"line {number}: ") and word in line for line in said), (number, said)
    assert len(said) == 9


def test_days_are_read_as_europeans_write_them_too(tmp_path: Path) -> None:
    one, other = rows(tmp_path, "person;valid_from;valid_until\nE1;1.12.2026;31.03.2027\nE2;2026-12-01;2027-03-31\n")
    assert one.fields == other.fields
    for wrong in ("31.02.2027", "3/31/2027", "31.03.27", "31.03.2027 08:00"):
        assert wrong in errors(tmp_path, f"person;valid_until\nE1;{wrong}\n")[0]


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("person,nmae", "did you mean name?"),
        ("person,Password", "unknown column"),
        ("person,name,name", "two columns are called name"),
        ("name,photos", "no column `person`"),
        ("person,photo,photos", "one column"),
        ("Personalnummer;Name", "no column `person`"),
    ],
)
def test_columns(tmp_path: Path, first: str, says: str) -> None:
    assert any(says in line for line in errors(tmp_path, f"{first}\nE1,a,b\n"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"PK\x03\x04" + bytes(200), b"\xff\xfe\x00\xd8a\x00", b'person\n"E1'])
def test_what_is_no_csv_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ClientError) as raised:
        rows(tmp_path, content)
    assert raised.value.code == 2 and raised.value.hint


def test_a_pipe_and_a_folder_are_no_csv_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, tmp_path / "nowhere.csv", Path("/dev/zero")):
        with pytest.raises(ClientError):
            read_csv(path)


def test_a_flood_of_errors_is_cut_off(tmp_path: Path) -> None:
    said = errors(tmp_path, "person\n" + "!\n" * 5_000)
    assert len(said) == 51 and said[-1].endswith("more")


def test_a_large_file_is_read_within_little_memory(tmp_path: Path) -> None:
    content = "person,name,photos,valid_until\n" + "".join(f"E{n},Person {n},photos/{n}.jpg,2027-03-31\n" for n in range(5_000))
    tracemalloc.start()
    found = rows(tmp_path, content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 5_000 and most < 30e6


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.text(max_size=20) | st.sampled_from(["=1+1", "'=1", "''-2", "@a", "+4", "-", "'", "\t=1", "'a", "\uff1d1", "'\uff20a"]))
def test_cells_come_back_and_no_spreadsheet_carries_them_out(text: str) -> None:
    assert plain(cell(text)) == text
    assert not cell(text).startswith((*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


@given(TEXTS | st.sampled_from(["=HYPERLINK(1)", "'=1", "a\nb", "a\r\nb", ' "x" ', "a;b,c\td", "\x1b[31m", "\u202eabc", "\x85", "\u2028"]))
def test_a_list_as_csv_is_read_as_the_same_people(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    kept = name if name.strip() else None  # a name of blanks is no name
    one = PersonEntry(
        person="E1", name=kept, state="active", templates=2, enrolled_at="2026-11-21T22:55:00.123Z", valid_until="2027-03-31T21:59:59.999Z",
        gates=["north", "south"], schedule="office",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("csv") / "list.csv"
    path.write_bytes(as_csv([one]).encode("utf-8-sig"))
    (row,) = read_csv(path)
    assert row.fields["name"] == kept
    assert difference([row], {"north": {"E1": one}}).is_nothing
    (_, cells) = csv.reader(io.StringIO(as_csv([one]), newline=""))
    assert not any(value.startswith(("=", "+", "-", "@")) for value in cells)


def test_a_folder(tmp_path: Path) -> None:
    for name in ("E2 Ada Lovelace/b.PNG", "E2 Ada Lovelace/a.jpg", "E2 Ada Lovelace/._a.jpg", "E2 Ada Lovelace/notes.txt", "E1/x.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in (".DS_Store", "Thumbs.db", "E3.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "E4 Zoe\u0308").symlink_to(tmp_path / "E1")
    found = read_folder(tmp_path)
    assert [(one.person, one.fields.get("name")) for one in found] == [("E1", None), ("E2", "Ada Lovelace"), ("E3", None), ("E4", "Zoë")]
    assert [path.name for path in pictures_in(found[1].photos[0])] == ["a.jpg", "b.PNG"]
    assert pictures_in(found[2].photos[0]) == [tmp_path / "E3.jpeg"]


def test_a_folder_with_errors(tmp_path: Path) -> None:
    (tmp_path / "Ada!").mkdir()
    (tmp_path / "E1 Ada").mkdir()
    (tmp_path / "E1 Bob").mkdir()
    (tmp_path / "list.xlsx").touch()
    with pytest.raises(ListedError) as raised:
        read_folder(tmp_path)
    assert len(raised.value.lines) == 3
    for path in (tmp_path / "nowhere", tmp_path / "list.xlsx"):
        with pytest.raises(ClientError):
            read_folder(path)


def test_a_difference() -> None:
    def there(person: str, **more: object) -> PersonEntry:
        return PersonEntry(person=person, name="A", state="active", templates=1, enrolled_at="2026-11-21T22:55:00.123Z", **more)  # type: ignore[arg-type]

    north = {
        "E1": there("E1"),
        "E2": there("E2", valid_until="2027-01-01T00:00:00.000Z"),
        "E3": there("E3", gates=["south", "north"]),
        "E5": there("E5"),
    }
    south = {"E1": there("E1"), "E2": there("E2", valid_until="2027-01-01T00:00:00.000Z"), "E3": there("E3", gates=["north", "south"])}
    wanted = [
        Row("line 2", "E1", {"name": "B", "consent": "file 7"}),
        Row("line 3", "E2", {"name": "A", "valid_until": datetime(2027, 1, 1, tzinfo=UTC)}),
        Row("line 4", "E3", {"gates": ["north", "south"]}),
        Row("line 5", "E4", {"name": "D"}),
        Row("line 6", "E5", {}),
    ]
    found = difference(wanted, {"north": north, "south": south})
    assert [(row.person, gates) for row, gates in found.new] == [("E4", ["north", "south"]), ("E5", ["south"])]
    assert [(one.row.person, one.gates, one.fields, one.before) for one in found.changed] == [
        ("E1", ("north", "south"), {"name": "B", "consent": "file 7"}, {"name": "A"})
    ]
    assert found.unchanged == 2 and not found.left
    cleared = difference([Row("line 2", "E2", {"valid_until": None})], {"south": south})
    assert cleared.changed[0].fields == {"valid_until": None} and [entry.person for entry, _ in cleared.left] == ["E1", "E3"]


@pytest.mark.parametrize(
    ("enrolled", "left", "many"),
    [(100, 10, False), (100, 20, False), (100, 21, True), (12, 11, True), (3, 2, False), (1, 1, True), (0, 0, False)],
)
def test_what_counts_as_many_revocations(enrolled: int, left: int, many: bool) -> None:
    roster = {
        f"E{n}": PersonEntry(person=f"E{n}", name=None, state="active", templates=1, enrolled_at="2026-11-21T22:55:00.123Z")
        for n in range(enrolled)
    }
    assert difference([Row("", f"E{n}") for n in range(left, enrolled)], {"north": roster}).revokes_many is many
