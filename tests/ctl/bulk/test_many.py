"""enroll --csv and --folder against gates that refuse, slow down, fall silent and come back."""

import base64
import csv
import fcntl
import json
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.core import messages as m
from daemon.ctl.bulk import sending
from daemon.ctl.bulk.csv_rows import read_csv
from daemon.ctl.bulk.prepared import prepared
from tests.ctl.conftest import JPEG, Ctl, Later
from tests.fixtures.fake_gate import FakeGate

pytestmark = pytest.mark.broker

Answer = dict[str, Any]


@pytest.fixture
def north(gate: FakeGate) -> FakeGate:
    gate.status()
    return gate


@pytest.fixture
def south(broker: int) -> Iterator[FakeGate]:
    with FakeGate(broker, "south") as made:
        made.status()
        yield made


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Five people with a picture each; the third has two."""
    lines = ["person,name,photos"]
    for n in range(5):
        (tmp_path / f"{n}.jpg").write_bytes(JPEG + bytes([n]))
        lines.append(f"E{n},Person {n},{n}.jpg" + (";0.jpg" if n == 2 else ""))
    (tmp_path / "people.csv").write_text("\n".join(lines))
    return tmp_path / "people.csv"


def enrolments(gate: FakeGate) -> list[m.Enroll]:
    return [command for command in gate.commands if isinstance(command, m.Enroll)]


def refusing(**by_person: Answer) -> Any:
    return lambda command: by_person.get(getattr(command, "person", ""), {})


NO_FACE: Answer = {"status": "refused", "reason": "no_face", "detail": "image 1: no face was found; use an upright frontal photo"}


def test_everybody_is_enrolled_once_and_a_second_run_sends_nothing(north: FakeGate, people: Path, run: Ctl) -> None:
    code, out, _ = run("enroll", "--csv", str(people))
    assert code == 0 and "5 people: 5 done" in out
    assert [(one.person, one.name, len(one.images or ())) for one in enrolments(north)] == [
        (f"E{n}", f"Person {n}", 2 if n == 2 else 1) for n in range(5)
    ]
    code, out, _ = run("enroll", "--csv", str(people))
    assert code == 0 and "5 of them in an earlier run" in out and len(enrolments(north)) == 5
    people.write_text(people.read_text().replace("Person 3", "Ada"))
    (people.parent / "4.jpg").write_bytes(JPEG + b"another")
    assert run("enroll", "--csv", str(people))[0] == 0
    assert [(one.person, one.name) for one in enrolments(north)[5:]] == [("E3", "Ada"), ("E4", "Person 4")], "what has changed is sent anew"


def test_refusals_are_counted_told_and_written_down(north: FakeGate, people: Path, run: Ctl, tmp_path: Path) -> None:
    duplicate = {
        "status": "refused",
        "reason": "duplicate_of",
        "detail": "this face is already enrolled as E0",
    }
    north.answer = refusing(E1=NO_FACE, E3=duplicate, E4=NO_FACE)
    report = tmp_path / "report.csv"
    code, out, _ = run("enroll", "--csv", str(people), "--report", str(report))
    assert code == 1 and "2 done, 3 refused" in out
    assert "no_face" in out and "E1, E4" in out and "upright frontal photo" in out
    with report.open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert [(one["person"], one["status"], one["reason"]) for one in found if one["status"] != "done"] == [
        ("E1", "refused", "no_face"), ("E3", "refused", "duplicate_of"), ("E4", "refused", "no_face"),
    ]  # fmt: skip
    ids = {one.person: one.command_id for one in enrolments(north)}
    north.answer = refusing()
    code, out, _ = run("enroll", "--csv", str(people))
    assert code == 0 and "2 of them in an earlier run" in out
    again = enrolments(north)[5:]
    assert [one.person for one in again] == ["E1", "E3", "E4"], "who was refused is asked anew by the next run"
    assert all(one.command_id != ids[one.person] for one in again), "the gate would give its stored answer"


def test_a_picture_that_is_no_good_is_left_out_and_the_person_enrolled(north: FakeGate, people: Path, run: Ctl) -> None:
    north.answer = lambda command: NO_FACE if len(command.images or ()) == 2 else {}  # type: ignore[union-attr]
    code, out, _ = run("enroll", "--csv", str(people), "--json")
    assert code == 0
    (two, one) = [each for each in enrolments(north) if each.person == "E2"]
    assert two.images is not None and one.images == [two.images[1]] and one.command_id != two.command_id
    said = {line["person"]: line for line in map(json.loads, out.splitlines()) if "person" in line}
    assert [(each["file"][-5:], each["reason"]) for each in said["E2"]["left_out"]] == [("2.jpg", "no_face")]
    assert json.loads(out.splitlines()[-1])["summary"]["without_some_picture"] == 1


def test_pictures_of_two_people_are_never_halved(north: FakeGate, people: Path, run: Ctl) -> None:
    north.answer = refusing(E2={"status": "refused", "reason": "inconsistent", "detail": "image 1 shows another person"})
    code, out, _ = run("enroll", "--csv", str(people))
    assert code == 1 and "inconsistent" in out and sum(each.person == "E2" for each in enrolments(north)) == 1


def test_pictures_that_cannot_be_read_here(north: FakeGate, people: Path, run: Ctl) -> None:
    (people.parent / "2.jpg").unlink()
    (people.parent / "3.jpg").write_text("no picture")
    (people.parent / "4.jpg").unlink()
    (people.parent / "4.jpg").mkdir()
    code, out, _ = run("enroll", "--csv", str(people), "--json")
    said = {line["person"]: line for line in map(json.loads, out.splitlines()) if "person" in line}
    assert code == 1 and [one.person for one in enrolments(north)] == ["E0", "E1", "E2"]
    assert said["E2"]["status"] == "done" and said["E2"]["left_out"][0]["reason"] == "unreadable"
    assert (said["E3"]["reason"], said["E4"]["reason"]) == ("unreadable", "no_picture")
    (people.parent / "2.jpg").write_text("no picture")
    for sent in (4, 4):
        _, out, _ = run("enroll", "--csv", str(people), "--json")
        (again,) = (line for line in map(json.loads, out.splitlines()) if line.get("person") == "E2")
        assert [(Path(one["file"]).name, one["reason"]) for one in again["left_out"]] == [("2.jpg", "unreadable")]
        assert len(enrolments(north)) == sent, "once for the new file, and not again"


def test_nobody_who_is_through_has_pictures_converted(people: Path) -> None:
    rows = read_csv(people)
    asked: list[str] = []

    def is_known(key: str) -> bool:
        asked.append(key)
        return len(asked) != 2

    found = list(prepared(rows, "", is_known))
    assert [(one.known, bool(one.jpegs)) for one in found] == [(number != 1, number == 1) for number in range(5)]
    assert [one.key for one in found] == asked and len(set(asked)) == 5


def test_bad_input_sends_nothing(north: FakeGate, people: Path, run: Ctl, tmp_path: Path) -> None:
    nowhere = tmp_path / "other.csv"
    nowhere.write_text("person,photos\nE1,x/a.jpg\nE2,x/b.jpg\n")
    none = tmp_path / "none.csv"
    none.write_text("person,photos\nE1,\n")
    empty = tmp_path / "empty.csv"
    empty.write_text("person,photos\n")
    many = ["--csv", str(people)]
    for args, says in (
        (["--csv", str(nowhere)], "none of the pictures is there"),
        (["--csv", str(none)], "line 2: E1 has no pictures"),
        (["--csv", str(empty)], "nobody is in"),
        (["E1", *many], "both given"),
        ([*many, "--name", "A"], "everybody's name"),
        ([*many, "--report", str(people)], "is the file that is read"),
        ([*many, "--journal", str(people)], "no progress file"),
        ([*many, "--journal", str(tmp_path)], "Is a directory"),
        ([*many, "--journal", "/nowhere/a"], "No such file"),
        (["--image", str(tmp_path / "1.jpg")], "nobody is named"),
        (["E1", "--image", str(tmp_path / "1.jpg"), "--report", "x"], "many people"),
    ):
        before = people.read_bytes()
        code, _, err = run("enroll", *args)
        assert code == 2 and says in err and "hint" in err, (args, err)
        assert people.read_bytes() == before
    assert not enrolments(north)


def test_two_runs_at_once_are_refused(north: FakeGate, people: Path, run: Ctl) -> None:
    with people.with_name("people.csv.progress").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = run("enroll", "--csv", str(people))
    assert code == 2 and "another ostiaryctl" in err and not enrolments(north)


def test_the_journal_has_neither_names_nor_pictures_and_survives_a_cut(north: FakeGate, people: Path, run: Ctl) -> None:
    assert run("enroll", "--csv", str(people))[0] == 0
    journal = people.with_name("people.csv.progress")
    content = journal.read_bytes()
    assert b"Person" not in content and base64.b64encode(JPEG)[:12] not in content and journal.stat().st_mode & 0o077 == 0
    lines = content.splitlines(keepends=True)
    ids = {one.person: one.command_id for one in enrolments(north)}
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # as after a power cut
    assert run("enroll", "--csv", str(people))[0] == 0
    again = enrolments(north)[5:]
    lost = {json.loads(line)["person"] for line in lines[3:-1]}
    assert {one.person: one.command_id for one in again} == {person: ids[person] for person in lost}, "asked with the same ids"
    journal.write_bytes(b"".join(lines[:2]) + b"garbage\n" + b"".join(lines[2:]))
    assert run("enroll", "--csv", str(people))[0] == 2
    (people.parent / "other.csv").write_text("person,photos\nE9,1.jpg\n")
    journal.write_bytes(content)
    assert run("enroll", "--csv", str(people.parent / "other.csv"), "--journal", str(journal))[0] == 0
    assert run("enroll", "--csv", str(people))[0] == 0 and len(enrolments(north)) == 9, "what another file noted does no harm"


def test_a_full_disk_is_told_with_what_to_do(north: FakeGate, people: Path, run: Ctl) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))
    try:
        code, out, err = run("enroll", "--csv", str(people))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2 and "people.csv.progress: File too large" in err and "gates carry nothing out twice" in err and "to go" in out
    assert run("enroll", "--csv", str(people))[0] == 0
    ids = {one.person: one.command_id for one in enrolments(north)}
    assert len(ids) == 5 and {one.command_id for one in enrolments(north)} == set(ids.values()), "asked again with the same ids"


def test_a_device_in_place_of_the_journal(north: FakeGate, people: Path, run: Ctl) -> None:
    for path in ("/dev/full", "/dev/zero"):
        code, _, err = run("enroll", "--csv", str(people), "--journal", path)
        assert code == 2 and path in err and not enrolments(north)


def test_a_key_over_its_rate_is_slower_and_nobody_is_refused(north: FakeGate, people: Path, run: Ctl) -> None:
    seen: list[m.Command] = []

    def answer(command: m.Command) -> Answer:
        seen.append(command)
        late = {"status": "refused", "reason": "too_many", "detail": "the key hr may send 60 commands a minute; send it again later"}
        return late if len(seen) in (2, 3, 5) else {}

    north.answer = answer
    code, out, _ = run("enroll", "--csv", str(people))
    assert code == 0 and "5 people: 5 done" in out and "going slower" in out
    assert len({one.command_id for one in enrolments(north)}) == 5 and len(seen) == 8


def test_a_command_that_was_too_late_is_made_anew(north: FakeGate, people: Path, run: Ctl) -> None:
    seen: dict[str, int] = {}

    def answer(command: m.Command) -> Answer:
        person = getattr(command, "person", "")
        seen[person] = seen.get(person, 0) + 1
        return (
            {"status": "refused", "reason": "expired", "detail": "expired; send it again"} if person == "E1" and seen[person] == 1 else {}
        )

    north.answer = answer
    code, out, _ = run("enroll", "--csv", str(people))
    assert code == 0 and "5 people: 5 done" in out
    first, second = (one for one in enrolments(north) if one.person == "E1")
    assert first.command_id != second.command_id, "the gate keeps the answer to the first one"


@pytest.mark.parametrize("reason", ["unsigned", "not_granted", "from_the_future"])
def test_what_is_wrong_with_the_sender_ends_the_run(north: FakeGate, people: Path, run: Ctl, reason: str) -> None:
    north.answer = lambda command: {"status": "refused", "reason": reason, "detail": "this gate takes signed commands only"}
    code, out, err = run("enroll", "--csv", str(people))
    assert code == 1 and f"({reason})" in err and "hint" in err and "5 people to go" in out
    assert len(enrolments(north)) <= 4


def test_without_a_broker_and_without_such_a_gate(people: Path, run: Ctl, north: FakeGate) -> None:
    code, _, err = run("enroll", "--csv", str(people), "--port", "1", "--timeout", "1")
    assert code == 3 and "cannot be reached" in err
    code, _, err = run("enroll", "--csv", str(people), "--gate", "nroth", "--timeout", "1")
    assert code == 3 and "the site has north" in err


def test_a_gate_that_goes_offline_is_waited_for(north: FakeGate, people: Path, run: Ctl, later: Later) -> None:
    def answer(command: m.Command) -> Answer:
        if getattr(command, "person", "") == "E0":
            north.silent = True
            threading.Thread(target=lambda: north.status(online=False, state="offline")).start()
        return {}

    def back() -> None:
        north.silent = False
        north.status()

    north.answer = answer
    later(3.0, back)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(sending, "ANSWER_S", 2.0)
    try:
        code, out, _ = run("enroll", "--csv", str(people))
    finally:
        monkey.undo()
    assert code == 0 and "5 people: 5 done" in out and "gate north is offline; waiting" in out and "going on" in out


def test_a_gate_that_stays_away_ends_the_run_after_a_while(north: FakeGate, people: Path, run: Ctl) -> None:
    north.status(online=False, state="offline")
    code, out, err = run("enroll", "--csv", str(people), "--wait", "1")
    assert code == 3 and "gate north is offline" in err and "run the same command again" in out and not enrolments(north)


def test_all_gates_and_one_that_comes_later(north: FakeGate, south: FakeGate, people: Path, run: Ctl) -> None:
    south.status(online=False, state="offline")
    south.silent = True
    code, out, _ = run("enroll", "--csv", str(people), "--gate", "all")
    assert code == 0 and "south is offline" in out
    already = len(enrolments(south))
    south.silent = False
    south.status()
    code, out, _ = run("enroll", "--csv", str(people), "--gate", "all")
    assert code == 0 and len(enrolments(north)) == 5 and len(enrolments(south)) == already + 5
    assert run("enroll", "--csv", str(people), "--gate", "all")[0] == 0 and len(enrolments(south)) == already + 5


def test_each_gate_refuses_for_itself(north: FakeGate, south: FakeGate, people: Path, run: Ctl) -> None:
    south.answer = lambda command: NO_FACE if len(getattr(command, "images", None) or ()) == 2 else {}
    code, out, _ = run("enroll", "--csv", str(people), "--gate", "all", "--json")
    said = [line for line in map(json.loads, out.splitlines()) if line.get("person") == "E2"]
    assert code == 0 and {(each["gate"], len(each["left_out"])) for each in said} == {("north", 0), ("south", 1)}
    assert sum(one.person == "E2" for one in enrolments(north)) == 1


def test_a_dry_run_lets_the_gate_judge_and_notes_nothing(north: FakeGate, people: Path, run: Ctl) -> None:
    north.answer = lambda command: {"reason": "dry_run"} if command.dry_run else {}  # type: ignore[union-attr]
    code, out, _ = run("enroll", "--csv", str(people), "--dry-run")
    assert code == 0 and "nothing was changed" in out and all(one.dry_run for one in enrolments(north))
    assert not people.with_name("people.csv.progress").exists()


def test_a_folder_and_what_holds_for_everybody(north: FakeGate, tmp_path: Path, run: Ctl) -> None:
    folder = tmp_path / "people"
    for name in ("E1 Ada", "E2"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.jpg").write_bytes(JPEG + name.encode())
    code, _, _ = run("enroll", "--folder", str(folder), "--gate-allowed", "north", "--consent", "file 7", "--schedule", "office")
    assert code == 0 and (tmp_path / "people.progress").exists()
    said = [(one.person, one.name, one.gates, one.consent, one.schedule) for one in enrolments(north)]
    assert said == [("E1", "Ada", ["north"], "file 7", "office"), ("E2", None, ["north"], "file 7", "office")]


def test_a_gate_that_says_it_is_online_and_never_answers(
    north: FakeGate, south: FakeGate, people: Path, run: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_S", 0.5)
    south.silent = True
    code, out, err = run("enroll", "--csv", str(people), "--gate", "all", "--wait", "2")
    assert code == 3 and "no answer from south" in err and "asking again" in out
    assert len({one.command_id for one in enrolments(north)}) <= 5
    south.silent = False
    assert run("enroll", "--csv", str(people), "--gate", "all")[0] == 0
    ids = [{one.command_id for one in enrolments(gate)} for gate in (north, south)]
    assert ids[0] == ids[1] and len(ids[0]) == 5, "each gate was asked under one id for each person"
