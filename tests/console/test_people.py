"""People at several gates: merged, searched, changed, and read again when somebody changes them."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from daemon.core import messages as m
from tests.console.conftest import Rig, Rigs, until
from tests.fixtures.fake_gate import FakeGate

pytestmark = pytest.mark.broker

AT = "2027-03-01T08:00:00.000Z"


class Desk:
    """What a gate that has people answers."""

    def __init__(self, gate: FakeGate, people: dict[str, str | None], revision: int = 94) -> None:
        self.gate, self.people, self.revision = gate, people, revision
        self.states: dict[str, Any] = {}
        gate.answer = self.answer

    def entry(self, person: str) -> m.PersonEntry:
        return m.PersonEntry(person=person, name=self.people[person], state=self.states.get(person, "active"), templates=2, enrolled_at=AT)

    def answer(self, command: m.Command) -> dict[str, Any]:
        if isinstance(command, m.List):
            behind = sorted(one for one in self.people if command.after is None or one > command.after)
            page = behind[: command.limit]
            more = page[-1] if len(behind) > len(page) else None
            return {"op": "list", "people": [self.entry(one) for one in page], "next_after": more, "gallery_revision": self.revision}
        person = getattr(command, "person", None)
        if isinstance(command, m.Get):
            known = person in self.people
            done = {"people": [self.entry(str(person))]} if known else {"status": "refused", "reason": "unknown_person"}
            return {"op": "get", "gallery_revision": self.revision, **done}
        self.revision += 1
        if isinstance(command, m.Suspend):
            self.states[command.person] = "suspended"
        if isinstance(command, m.Revoke):
            self.people.pop(command.person, None)
        return {"op": m.op_of(command), "gallery_revision": self.revision}


@pytest.fixture
def north(gate: FakeGate) -> Desk:
    return Desk(gate, {"E1": "Ada Lovelace", "E2": "Grace Hopper", "E3": None})


@pytest.fixture
def south(broker: int) -> Iterator[Desk]:
    with FakeGate(broker, "south") as made:
        made.status()
        yield Desk(made, {"E2": "Grace Hopper", "E3": "Edsger", "E4": "Ünal <b>"})


@pytest.fixture
def both(rigs: Rigs, north: Desk, south: Desk) -> Rig:
    rig = rigs()
    until(lambda: len(rig.console.state.statuses) == 2)
    return rig


def test_people_of_all_gates_are_merged_and_paged(both: Rig) -> None:
    client = both.logged_in("guard")
    page = client.get("/api/people", params={"limit": 3}).json()
    assert [(one["person"], one["at"], one["differs"]) for one in page["people"]] == [
        ("E1", ["north"], False),
        ("E2", ["north", "south"], False),
        ("E3", ["north", "south"], True),
    ]
    rest = client.get("/api/people", params={"after": page["next_after"]}).json()
    assert [one["person"] for one in rest["people"]] == ["E4"] and rest["next_after"] is None and rest["silent"] == []
    assert [one["person"] for one in client.get("/api/people", params={"search": "HOPPER gr"}).json()["people"]] == ["E2"]
    assert [one["person"] for one in client.get("/api/people", params={"search": "ünal"}).json()["people"]] == ["E4"]
    assert [one["person"] for one in client.get("/api/people", params={"gate": "south"}).json()["people"]] == ["E2", "E3", "E4"]


def test_one_person_has_the_record_of_every_gate(both: Rig) -> None:
    client = both.logged_in("guard")
    said = client.get("/api/people/E3").json()
    assert said["differs"] and said["records"]["south"]["name"] == "Edsger" and said["records"]["north"]["name"] is None
    answer = client.get("/api/people/E9")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_person")


def test_a_change_tells_every_gates_answer_and_the_list_is_right_at_once(both: Rig, north: Desk) -> None:
    client = both.logged_in("desk")
    assert len(client.get("/api/people").json()["people"]) == 4
    listed = sum(isinstance(one, m.List) for one in north.gate.commands)
    answers = client.post("/api/people/E2/suspend").json()["answers"]
    assert [(one["gate"], one["status"], one["reason"]) for one in answers] == [("north", "done", None), ("south", "done", None)]
    assert {one["person"]: one["state"] for one in client.get("/api/people").json()["people"]}["E2"] == "suspended"
    client.delete("/api/people/E1")
    assert [one["person"] for one in client.get("/api/people").json()["people"]] == ["E2", "E3", "E4"]
    assert sum(isinstance(one, m.List) for one in north.gate.commands) == listed, "the list was read again for one change"


def test_what_somebody_else_changes_is_seen(both: Rig, north: Desk) -> None:
    client = both.logged_in("guard")
    client.get("/api/people")
    north.people["E9"] = "New"
    north.revision += 1
    change = m.Result(
        command_id="6b1f6f0e-0000-4000-8000-000000000001", op="enroll", status="done", reason=None, detail=None, person="E9",
        gallery_revision=north.revision, took_ms=1.0,
    )  # fmt: skip
    north.gate.say("result", m.encode(change)).wait_for_publish(5)
    until(lambda: "E9" in [one["person"] for one in client.get("/api/people").json()["people"]])


def test_a_revision_that_nobody_told_is_read_anew(both: Rig, north: Desk) -> None:
    client = both.logged_in("guard")
    client.get("/api/people")
    north.people["E8"] = "Restored"
    north.revision = 200
    north.gate.status(gallery_revision=200)
    until(lambda: "E8" in [one["person"] for one in client.get("/api/people").json()["people"]])


def test_another_run_of_a_daemon_is_read_anew_also_with_a_lower_revision(both: Rig, north: Desk) -> None:
    client = both.logged_in("guard")
    client.get("/api/people")
    north.people, north.revision = {"E7": "From a backup"}, 3
    north.gate.status(gallery_revision=3, boot_id="another")
    until(lambda: [one["person"] for one in client.get("/api/people", params={"gate": "north"}).json()["people"]] == ["E7"])


def test_a_silent_gate_is_named_and_a_revocation_says_what_may_still_be(both: Rig, south: Desk) -> None:
    client = both.logged_in("desk")
    south.gate.silent = True
    page = client.get("/api/people").json()
    assert page["silent"] == ["south"] and [one["person"] for one in page["people"]] == ["E1", "E2", "E3"]
    asked = len(south.gate.commands)
    assert client.get("/api/people").json()["silent"] == ["south"] and len(south.gate.commands) == asked, "it was asked again at once"
    answer = client.delete("/api/people/E2")
    said = answer.json()
    assert answer.status_code == 503 and said["error"].startswith("E2 may still be accepted: no answer from south")
    assert [one["gate"] for one in said["answers"]] == ["north"] and "watch the door" in said["hint"]


def test_gates_of_one_daemon_are_asked_once(rigs: Rigs, north: Desk, south: Desk) -> None:
    for desk in (north, south):
        desk.gate.status(public_key="same")
    rig = rigs()
    until(lambda: len(rig.console.state.statuses) == 2)
    people = rig.logged_in("guard").get("/api/people").json()["people"]
    assert [one["at"] for one in people] == [["north", "south"]] * 3
    assert not [one for one in south.gate.commands if isinstance(one, m.List)]


def test_an_update_sends_what_is_given_and_null_clears(both: Rig, north: Desk) -> None:
    client = both.logged_in("desk")
    change = {"name": None, "valid_until": "2027-12-31T00:00:00+01:00", "gates": ["north"]}
    assert client.patch("/api/people/E1", json=change).status_code == 200
    sent = next(one for one in north.gate.commands if isinstance(one, m.Update))
    assert sent.name is None and sent.gates == ["north"] and sent.schedule is msgspec.UNSET
    bad_ones: tuple[Any, ...] = (
        {},
        {"valid_until": "2027-12-31"},
        {"nam": "x"},
        {"valid_from": "1066-01-01T00:00:00Z"},
        {"gates": []},
        {"name": "x" * 201},
        [],
    )
    for bad in bad_ones:
        answer = client.patch("/api/people/E1", json=bad)
        assert answer.status_code == 422 and answer.json()["code"] == "invalid", bad


def test_refusals_come_in_plain_words_with_whom_the_face_is_of(both: Rig, north: Desk) -> None:
    client = both.logged_in("desk")
    client.get("/api/people")
    refused = {
        "status": "refused",
        "reason": "lookalike",
        "detail": "the gate could take this face for E2; send better images, or use force",
    }
    north.gate.answer = lambda command: {"op": "enroll", **refused}
    (answer,) = client.post("/api/people/E7/capture", json={"gate": "north"}).json()["answers"]
    assert answer["other"] == {"person": "E2", "name": "Grace Hopper"} and answer["words"] and answer["next"]


def test_without_a_broker_everything_says_so(both: Rig, own_broker: Any) -> None:
    both.console.line._link._client.disconnect()
    until(lambda: not both.console.line.state.connected)
    client = both.logged_in("desk")
    for answer in (client.get("/api/people"), client.get("/api/people/E1"), client.post("/api/people/E1/resume")):
        assert answer.status_code == 503 and answer.json()["hint"]
    assert "may still be accepted" in client.delete("/api/people/E1").json()["error"]
    assert client.get("/api/gates").json()["link"]["connected"] is False


def test_every_change_is_in_the_log_in_one_line_without_names(both: Rig, north: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ostiary.console")
    client = both.logged_in("desk")
    client.patch("/api/people/E1", json={"name": "Secret Name"})
    (line,) = [record.getMessage() for record in caplog.records if "op=update" in record.getMessage()]
    sent = next(one for one in north.gate.commands if isinstance(one, m.Update))
    assert f"user=desk role=desk op=update person=E1 at=all command_id={sent.command_id} north=done south=done" in line
    assert "Secret" not in caplog.text
