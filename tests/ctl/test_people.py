"""get and list: who is enrolled."""

import json
from typing import Any

import pytest

from daemon.core import messages as m
from daemon.core.messages import PersonEntry
from tests.ctl.conftest import Ctl
from tests.fixtures.fake_gate import FakeGate


@pytest.mark.broker
def test_get_shows_one_record(gate: FakeGate, run: Ctl) -> None:
    ada = PersonEntry(
        person="E2", name="Ada\x1b[31m", state="suspended", templates=3, enrolled_at="2026-11-21T22:55:00.123Z",
        valid_until="2026-12-31T12:00:00.000Z", gates=["north", "south"], consent="file 7",
    )  # fmt: skip
    gate.answer = lambda command: {"people": [ada]}
    code, out, _ = run("get", "E2")
    assert code == 0
    for word in ("E2", "Ada", "suspended", "3", "until 2026-12-31", "north, south", "file 7"):
        assert word in out
    assert "\x1b" not in out
    assert json.loads(run("get", "E2", "--json")[1])["people"][0]["consent"] == "file 7"
    gate.answer = lambda command: {"status": "refused", "reason": "unknown_person", "detail": "nobody is enrolled under this id"}
    code, out, _ = run("get", "E3")
    assert code == 1
    assert "unknown_person" in out


@pytest.mark.broker
def test_a_limited_list_says_how_to_go_on(gate: FakeGate, run: Ctl) -> None:
    people = [PersonEntry(person=f"E{n}", name=None, state="active", templates=1, enrolled_at="2026-11-21T22:55:00.123Z") for n in range(3)]
    gate.answer = lambda command: {"people": people[: command.limit], "next_after": "E1"}  # type: ignore[union-attr]
    code, out, _ = run("list", "--after", "E", "--limit", "2")
    assert code == 0
    assert "2 people" in out
    assert "--after E1" in out
    assert [(c.after, c.limit) for c in gate.commands] == [("E", 2)]
    assert json.loads(run("list", "--limit", "2", "--json")[1])["next_after"] == "E1"


@pytest.mark.broker
def test_list_pages_through_all(gate: FakeGate, run: Ctl) -> None:
    people = [PersonEntry(person=f"E{n}", name=None, state="active", templates=2, enrolled_at="2026-11-21T22:55:00.123Z") for n in range(3)]
    people[2] = PersonEntry(
        person="E2",
        name="Ada",
        state="suspended",
        templates=1,
        enrolled_at="2026-11-21T22:55:00.123Z",
        valid_until="2026-12-31T22:59:59.999Z",
        gates=["north"],
    )

    def page(command: m.Command) -> dict[str, Any]:
        assert isinstance(command, m.List)
        return {"people": people[:2], "next_after": "E1"} if command.after is None else {"people": people[2:]}

    gate.answer = page
    code, out, _ = run("list")
    assert code == 0
    assert "3 people, 5 templates" in out
    assert "suspended" in out
    assert "until 2026-12-31" in out
    assert [c.after for c in gate.commands] == [None, "E1"]
    listed = json.loads(run("list", "--json")[1])
    assert [p["person"] for p in listed["people"]] == ["E0", "E1", "E2"]
