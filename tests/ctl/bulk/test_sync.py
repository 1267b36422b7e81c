"""sync and list --csv: the difference, what is asked before it, and in which order it is carried out."""

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.core import messages as m
from daemon.ctl.bulk import sending
from daemon.ctl.bulk.csv_rows import read_csv
from tests.ctl.conftest import JPEG, Ctl
from tests.fixtures.fake_gate import FakeGate

pytestmark = pytest.mark.broker

AT = "2026-11-21T22:55:00.123Z"


class Office:
    """The people of a gate, who are changed by its commands."""

    def __init__(self, gate: FakeGate, *people: str) -> None:
        self.people = {one: m.PersonEntry(person=one, name=f"Name {one}", state="active", templates=1, enrolled_at=AT) for one in people}
        self.gate = gate
        gate.answer = self.answer
        gate.status()

    def answer(self, command: m.Command) -> dict[str, Any]:
        match command:
            case m.List(after=after, limit=limit):
                page = [one for person, one in sorted(self.people.items()) if after is None or person > after][: min(limit, 7)]
                more = page[-1].person if page and page[-1].person != max(self.people) else None
                return {"people": page, "next_after": more}
            case m.Enroll(person=person, name=name):
                self.people[person] = m.PersonEntry(person=person, name=name, state="active", templates=1, enrolled_at=AT)
            case m.Update(person=person):
                changed = {name: value for name in ("name", "schedule") if (value := getattr(command, name)) is not msgspec.UNSET}
                self.people[person] = msgspec.structs.replace(self.people[person], **changed)
            case m.Revoke(person=person):
                self.people.pop(person, None)
        return {}

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(m.op_of(one), one.person) for one in self.gate.commands if not isinstance(one, m.List)]


def written(folder: Path, *lines: str, columns: str = "person,name,photos") -> str:
    (folder / "a.jpg").write_bytes(JPEG)
    path = folder / "people.csv"
    path.write_text("\n".join([columns, *lines]))
    return str(path)


def test_the_difference_is_carried_out_and_who_left_is_shut_out_first(gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    office = Office(gate, *(f"E{n}" for n in range(10, 30)))
    path = written(tmp_path, *(f"E{n},Name E{n}," for n in range(10, 27)), "E27,Ada,", "N1,New,a.jpg", "N2,New,")
    code, out, _ = run("sync", "--csv", path, "--dry-run")
    assert code == 0 and "2 to revoke, 1 to update, 2 to enrol, 17 unchanged" in out and "Name E27 → Ada" in out and not office.changes
    code, out, _ = run("sync", "--csv", path, "--yes")
    assert code == 1 and "no_picture" in out and "N2" in out
    assert sorted(office.changes[:2]) == [("revoke", "E28"), ("revoke", "E29")]
    assert office.changes[2:] == [("update", "E27"), ("enroll", "N1")]
    code, out, _ = run("sync", "--csv", path, "--yes")
    assert "0 to revoke, 0 to update, 1 to enrol, 19 unchanged" in out and len(office.changes) == 4


def test_it_is_done_again_when_it_is_needed_again(gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    office = Office(gate, "E1", "E2")
    path = written(tmp_path, "E1,Name E1,", "N1,New,a.jpg")
    for _ in range(2):
        assert run("sync", "--csv", path, "--yes")[0] == 0
        assert sorted(office.people) == ["E1", "N1"]
        del office.people["N1"]  # somebody revoked one by hand, and enrolled the other again
        office.people["E2"] = m.PersonEntry(person="E2", name=None, state="active", templates=1, enrolled_at=AT)
    ids = [one.command_id for one in gate.commands]
    assert len(set(ids)) == len(ids), "the gate would have given its stored answers"


def test_nobody_is_asked_twice_by_an_empty_cell(gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    office = Office(gate, "E1", "E2")
    office.people["E1"] = msgspec.structs.replace(office.people["E1"], schedule="office")
    assert run("sync", "--csv", written(tmp_path, "E1,", "E2,", columns="person,photos"), "--yes")[0] == 0
    assert not office.changes, "a column that is not there says nothing"
    code, _, _ = run("sync", "--csv", written(tmp_path, "E1,", "E2,", columns="person,schedule"), "--yes")
    assert code == 0 and office.changes == [("update", "E1")] and office.people["E1"].schedule is None


def test_many_revocations_need_a_word(gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    office = Office(gate, *(f"E{n}" for n in range(10, 40)))
    for lines, gone in (([f"E{n},Name E{n}," for n in range(10, 28)], 12), ([], 30)):
        path = written(tmp_path, *lines)
        for more in (["--yes"], ["--yes", "--revoke-many", str(gone - 1)], ["--yes", "--json"]):
            code, out, err = run("sync", "--csv", path, *more)
            assert code == 2 and f"{gone} people of 30 would be revoked" in out + err and not office.changes
        assert run("sync", "--csv", path, "--yes", "--no-revoke")[0] == 0 and not office.changes
    assert run("sync", "--csv", path, "--yes", "--revoke-many", "30")[0] == 0 and not office.people


def test_without_a_terminal_nothing_is_done_without_yes(gate: FakeGate, run: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(gate, "E1", "E2")
    path = written(tmp_path, "E1,Name E1,")
    code, _, err = run("sync", "--csv", path)
    assert code == 2 and "--yes" in err and not office.changes
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, done in (("", False), ("n", False), ("y", True)):
        monkeypatch.setattr("builtins.input", lambda *_, answer=answer: answer)
        code, _, _ = run("sync", "--csv", path)
        assert (code, bool(office.changes)) == ((0, True) if done else (1, False))


def test_a_gate_that_misses_somebody(broker: int, gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    with FakeGate(broker, "south") as other:
        north, south = Office(gate, "E1", "E2", "E3"), Office(other, "E1", "E4")
        path = written(tmp_path, "E1,Name E1,", "E2,Name E2,a.jpg", "E3,Ada,a.jpg")
        code, out, _ = run("sync", "--csv", path, "--gate", "all", "--yes", "--json")
        assert code == 0 and sorted(north.people) == sorted(south.people) == ["E1", "E2", "E3"]
        assert north.changes == [("revoke", "E4"), ("update", "E3")]
        assert south.changes == [("revoke", "E4"), ("enroll", "E2"), ("enroll", "E3")]
        assert json.loads(out.splitlines()[0])["difference"]["revoke"] == ["E4"]


def test_a_gate_that_is_offline_gets_a_revocation_later_and_that_is_said(broker: int, gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    with FakeGate(broker, "south") as south:
        office = Office(gate, "E1", "E2")
        south.silent = True
        south.status(online=False, state="offline")
        code, out, _ = run("sync", "--csv", written(tmp_path, "E1,Name E1,"), "--gate", "all", "--yes")
        assert code == 3 and "may still be accepted" in out and "E2" not in office.people
        end_s = time.monotonic() + 20
        while not any(isinstance(one, m.Revoke) for one in south.commands):
            assert time.monotonic() < end_s
            time.sleep(0.01)


def test_a_list_as_csv(gate: FakeGate, run: Ctl, tmp_path: Path) -> None:
    office = Office(gate, *(f"E{n}" for n in range(10, 30)))
    office.people["E10"] = msgspec.structs.replace(office.people["E10"], name='=HYPERLINK("x")', gates=["north", "south"])
    path = tmp_path / "now.csv"
    assert run("list", "--csv", str(path))[0] == 0
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfperson,name,") and b"\"'=HYPERLINK" in content
    assert [row.person for row in read_csv(path)] == sorted(office.people)
    assert "20 unchanged" in run("sync", "--csv", str(path), "--yes")[1] and not office.changes
    code, out, _ = run("list", "--csv")
    assert code == 0 and out.replace("\r\n", "\n") == content.decode("utf-8-sig").replace("\r\n", "\n")
    assert run("list", "--csv", "--limit", "3")[0] == 2
    assert run("list", "--csv", "/nowhere/a.csv")[0] == 2


def test_a_revocation_is_not_done_while_a_gate_that_is_online_is_silent(
    broker: int, gate: FakeGate, run: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_S", 0.5)
    with FakeGate(broker, "south") as south, FakeGate(broker, "east") as east:
        Office(gate, "E1", "E2")
        Office(south, "E1", "E2")
        east.status(online=False, state="offline")
        answer = south.answer

        def silent_to_revocations(command: m.Command) -> dict[str, Any]:
            south.silent = isinstance(command, m.Revoke)
            return {"command_id": "x"} if south.silent else answer(command)

        south.answer = silent_to_revocations
        code, out, err = run("sync", "--csv", written(tmp_path, "E1,Name E1,"), "--gate", "all", "--yes", "--wait", "2")
        assert code == 3 and "no answer from" in err and "may still be accepted" in out
