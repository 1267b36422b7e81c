"""A company of many people: the list is read in pages and kept, and one change costs one question."""

from typing import Any

import pytest

from daemon.core import messages as m
from tests.console.conftest import Rigs, until
from tests.fixtures.fake_gate import FakeGate

pytestmark = pytest.mark.broker


def test_thousands_of_people_are_read_in_pages_once(rigs: Rigs, gate: FakeGate) -> None:
    people = [f"E{number:05d}" for number in range(5_500)]
    state = {"E00007": "active"}

    def entry(person: str) -> m.PersonEntry:
        return m.PersonEntry(person=person, name=f"N {person}", state=state.get(person, "active"), templates=1, enrolled_at=m.utc(0))  # type: ignore[arg-type]

    def answer(command: m.Command) -> dict[str, Any]:
        op = m.op_of(command)
        if isinstance(command, m.List):
            first = people.index(command.after) + 1 if command.after is not None else 0
            page = people[first : first + command.limit]
            return {
                "op": op,
                "people": [entry(one) for one in page],
                "next_after": page[-1] if first + command.limit < len(people) else None,
            }
        if isinstance(command, m.Get):
            return {"op": op, "people": [entry(command.person)], "gallery_revision": 95}
        state["E00007"] = "suspended"
        return {"op": op, "gallery_revision": 95}

    gate.answer = answer
    rig = rigs()
    until(lambda: rig.console.state.statuses)
    client = rig.logged_in("desk")
    seen, after = [], None
    while True:
        page = client.get("/api/people", params={"limit": 1000, **({"after": after} if after else {})}).json()
        seen += [one["person"] for one in page["people"]]
        after = page["next_after"]
        if after is None:
            break
    assert seen == people
    assert sum(isinstance(one, m.List) for one in gate.commands) == 6
    client.post("/api/people/E00007/suspend")
    (one,) = client.get("/api/people", params={"search": "e00007"}).json()["people"]
    assert one["state"] == "suspended"
    assert sum(isinstance(one, m.List) for one in gate.commands) == 6 and sum(isinstance(one, m.Get) for one in gate.commands) == 1
