"""Boxes that edit the same people over a broker which they do not always reach, and which loses and repeats records: all come to the same.

`OSTIARY_FAULTS=20000 pytest tests/faults` (or `make faults`) tries 4,000 histories; CI tries 300. Records, heads and topics are real.
"""

import os
import time
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.people.roster import Card, State, effective
from daemon.core.people.roster_head import read_head
from daemon.core.people.roster_wire import SiteKeys
from tests.fixtures.paper_box import PaperBox, face

HISTORIES = max(300, int(os.environ.get("OSTIARY_FAULTS", "0")) // 5)
KEYS = SiteKeys(b"i" * 32, {1: b"a" * 32})
DESKS = ("desk", "keeper", "other")
PEOPLE = ("E1", "E2")
CHANGES: dict[str, dict[str, object]] = {
    "active": {}, "suspended": {"state": "suspended"}, "revoked": {"state": "revoked"}, "day": {"schedule": "day"},
    "until": {"valid_until": 2e9}, "north": {"gates": ("n",)}, "face": {"faces": face(b"1")},
    "faces": {"faces": {**face(b"1"), **face(b"2")}},
}  # fmt: skip


@dataclass
class Site:
    """A broker that keeps the newest message of each topic, and the boxes that reach it."""

    retained: dict[str, bytes] = field(default_factory=dict)
    all_ever: list[tuple[str, bytes]] = field(default_factory=list)
    boxes: dict[str, PaperBox] = field(default_factory=lambda: {name: PaperBox(name, KEYS) for name in DESKS})
    cut: set[str] = field(default_factory=set)
    waiting: dict[str, list[tuple[str, bytes]]] = field(default_factory=lambda: {name: [] for name in DESKS})
    heads: int = 0

    def publish(self, on: str, payload: bytes) -> None:
        self.retained[on] = payload
        for name, box in self.boxes.items():
            if name not in self.cut:
                box.hears(on, payload, list(self.boxes.values()))

    def edit(self, name: str, person: str, change: str) -> None:
        made = self.boxes[name].writes(Card(person=person, name=name, **CHANGES[change]))  # type: ignore[arg-type]
        self.all_ever.append(made)
        if name in self.cut:
            self.waiting[name].append(made)
        else:
            self.publish(*made)

    def join(self, name: str) -> None:
        """The box reaches the broker again: it sends what waited, reads everything, and puts back what the broker has lost."""
        box = self.boxes[name]
        self.cut.discard(name)
        for made in self.waiting[name]:
            self.publish(*made)
        self.waiting[name].clear()
        for on, payload in list(self.retained.items()):
            box.hears(on, payload, list(self.boxes.values()))
        for on, payload in box.payloads.items():
            if self.retained.get(on) != payload and (name == "keeper" or on.endswith(f"/{name}")):
                self.publish(on, payload)

    def head(self) -> None:
        """The keeper says what there is; whoever reaches the broker hears it."""
        self.heads += 1
        on, payload = self.boxes["keeper"].says_head(self.heads)
        for name, box in self.boxes.items():
            if name not in self.cut:
                box.coverage.hear(read_head(on, payload, {"keeper": self.boxes["keeper"].key.public_key()}), time.time())

    def held(self, name: str) -> dict[str, Card | None]:
        return {ident: effective(records) for ident, records in self.boxes[name].records.items()}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.sampled_from(DESKS), st.sampled_from(PEOPLE), st.sampled_from(sorted(CHANGES))),
        st.tuples(st.just("cut"), st.sampled_from(DESKS), st.just(""), st.just("")),
        st.tuples(st.just("join"), st.sampled_from(DESKS), st.just(""), st.just("")),
        st.tuples(st.just("lose"), st.sampled_from(DESKS), st.sampled_from(PEOPLE), st.just("")),
        st.tuples(st.just("repeat"), st.sampled_from(["first", "middle"]), st.just(""), st.just("")),
        st.tuples(st.just("head"), st.just(""), st.just(""), st.just("")),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=HISTORIES)
def test_whatever_was_cut_lost_and_repeated_all_boxes_come_to_the_same(steps: list[tuple[str, str, str, str]]) -> None:
    site = Site()
    last: dict[tuple[str, str], State] = {}
    for what, who, person, change in steps:
        if what == "edit":
            site.edit(who, person, change)
            ident = KEYS.ident_of(person)
            card = effective(site.boxes[who].records[ident])
            assert card is not None and card.state == CHANGES[change].get("state", "active"), "the desk that knows everything decides"
            last[who, person] = card.state
        elif what == "cut":
            site.cut.add(who)
        elif what == "join":
            site.join(who)
        elif what == "lose":
            site.retained.pop(site.boxes[who].ident_topic(person), None)
        elif what == "repeat" and site.all_ever:
            # An attacker, or a broker from an old backup, brings an older record back.
            site.publish(*site.all_ever[0 if who == "first" else len(site.all_ever) // 2])
        elif what == "head":
            site.head()
    for _ in range(2):  # what the first puts back, the others hear
        for name in DESKS:
            site.join(name)
    site.boxes["fresh"] = fresh = PaperBox("fresh", KEYS)
    site.waiting["fresh"] = []
    site.join("fresh")
    site.head()
    ends = [site.held(name) for name in site.boxes]
    assert all(end == ends[0] for end in ends)
    assert len({box.coverage.sum for box in site.boxes.values()}) == 1
    assert {box.coverage.standing(time.time()) for box in site.boxes.values()} == {"complete"}
    assert fresh.coverage.sum.records == len(site.retained)
    for person in PEOPLE:
        states = {last[desk, person] for desk in DESKS if (desk, person) in last}
        card = ends[0].get(KEYS.ident_of(person))
        if states == {"revoked"}:
            assert card is not None and card.state == "revoked", "nobody has said anything else"
