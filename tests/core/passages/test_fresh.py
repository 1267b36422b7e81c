"""Nothing but a fresh vector opens, and what is spared changes no answer: random stories, whichever vectors the gate gets."""

from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.match import best_two
from daemon.core.values import Face, Match, Probe, Quality, Reason, Vector, Verdict, View
from tests.fixtures.stories import ALICE, BAD, BOB, RULES, STRANGER, TURNED, crop, face

MODES = {"identify": RULES, "verify": replace(RULES, threshold=None, pair=0.35), "both": replace(RULES, pair=0.35)}
PEOPLE = {"alice": ALICE, "bob": BOB, "stranger": STRANGER, "turned": TURNED, "bad": BAD, "like bob": face(0.5, 0.866)}
EVENTS = ("nothing", "badge", "revoke", "enrol", "suspend", "allow")
PLACES = (0.0, 110.0, 400.0)
"""The first two are so near to each other that neither face is alone."""


class Gate:
    """A camera of some speed before a gate. `spares` asks the gate which vectors it wants; else it gets all of them."""

    def __init__(self, mode: str, fps: float, spares: bool) -> None:
        self.keeper, self.fps, self.spares, self.number = Gatekeeper("north", MODES[mode], 0.5), fps, spares, 0
        self.gallery, self.barred = {"alice": ALICE, "bob": BOB}, set[str]()

    def find(self, vectors: Vector) -> list[Match]:
        if not self.gallery:
            return [Match(None, -1.0, -1.0)] * len(vectors)
        names, known = list(self.gallery), np.stack(list(self.gallery.values()))
        found = [best_two(known @ vector, np.arange(len(names))) for vector in vectors]
        return [Match(names[owner], best, rival) for owner, best, rival in found]

    def compare(self, vector: Vector, person: str) -> float:
        return float(self.gallery[person] @ vector) if person in self.gallery else -1.0

    def happens(self, event: str) -> None:
        at_s = (self.number - 0.5) / self.fps
        if event == "badge":
            self.keeper.claims.present("alice", at_s, at_s + 3)
        elif event == "revoke":
            self.gallery.pop("alice", None)
            self.keeper.forget("alice")
            self.keeper.refresh()
        elif event == "enrol":
            self.gallery["alice"] = ALICE
            self.keeper.refresh()
        elif event == "suspend":
            self.barred.add("alice")
            self.keeper.forget("alice")
        elif event == "allow":
            self.barred.clear()

    def sees(
        self, people: dict[float, tuple[str, Quality]], lacking: frozenset[float] = frozenset(), thorough: bool = True
    ) -> list[Decision]:
        """One frame: who stands where. Faces at the places `lacking` have no vector, whatever the gate wants."""
        at_s, there = self.number / self.fps, sorted(people.items())
        probes = tuple(Probe(Face(Box(x, 100, 80, 80), 1.0), crop(PEOPLE[who]), quality) for x, (who, quality) in there)
        view = View("north", self.number, at_s, 1000 + at_s, probes, thorough)
        wanted = self.keeper.wants(view) if self.spares else [probe.quality is Quality.OK for probe in probes]
        vectors = [PEOPLE[who] if needed and x not in lacking else None for (x, (who, _)), needed in zip(there, wanted, strict=True)]
        told = self.keeper.observe(
            view, vectors, self.find, lambda person, now: Reason.SUSPENDED if person in self.barred else None, self.compare
        )
        self.number += 1
        fresh = {sighting.track for sighting, vector in zip(self.keeper.sightings, vectors, strict=True) if vector is not None}
        for decision in told:
            if decision.verdict is Verdict.ACCEPT:
                assert decision.number == view.number and decision.passage in fresh, "a vector of this very frame and face opens"
                assert decision.reason is not Reason.VERIFIED or (thorough and len(probes) == 1)
        return told


who = st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from([Quality.OK, Quality.OK, Quality.OK, Quality.BLURRED]))
scene = st.dictionaries(st.sampled_from(PLACES), who, max_size=3)
lacks = st.frozensets(st.sampled_from(PLACES))
step = st.tuples(scene, st.integers(1, 12), st.sampled_from(EVENTS), lacks, st.booleans())


@settings(deadline=None)
@given(mode=st.sampled_from(sorted(MODES)), fps=st.sampled_from([5.0, 10.0, 30.0]), spares=st.booleans(), story=st.lists(step, max_size=12))
@example(mode="identify", fps=30.0, spares=False, story=[({0.0: ("alice", Quality.OK)}, 12, "nothing", frozenset({0.0}), True)])
def test_only_a_vector_of_this_frame_and_this_face_opens(
    mode: str, fps: float, spares: bool, story: list[tuple[dict[float, tuple[str, Quality]], int, str, frozenset[float], bool]]
) -> None:
    """Also if vectors that were wanted do not come, if others come, and if newcomers were not looked for."""
    gate = Gate(mode, fps, spares)
    for people, times, event, lacking, thorough in story:
        gate.happens(event)
        for n in range(times):
            gate.sees(people, lacking if n % 2 else frozenset(), thorough or n % 3 == 0)
    assert not [decision for decision in gate.keeper.finish() if decision.verdict is Verdict.ACCEPT]


stays = st.tuples(st.sampled_from((0.0, 200.0, 400.0)), st.sampled_from(sorted(PEOPLE)), st.integers(0, 60), st.integers(1, 120))


@settings(deadline=None)
@given(
    mode=st.sampled_from(sorted(MODES)),
    fps=st.sampled_from([5.0, 15.0, 30.0]),
    visits=st.lists(stays, min_size=1, max_size=4, unique_by=lambda visit: visit[0]),
    events=st.dictionaries(st.integers(0, 150), st.sampled_from(EVENTS), max_size=3),
)
def test_whoever_does_not_change_gets_the_answers_of_a_gate_that_embeds_everything(
    mode: str, fps: float, visits: list[tuple[float, str, int, int]], events: dict[int, str]
) -> None:
    told: list[list[tuple[object, ...]]] = []
    for spares in (True, False):
        gate, decisions = Gate(mode, fps, spares), list[Decision]()
        for number in range(200):
            gate.happens(events.get(number, "nothing"))
            decisions += gate.sees({x: (who, Quality.OK) for x, who, comes, stays in visits if comes <= number < comes + stays})
        decisions += gate.keeper.finish()
        told.append(sorted((d.passage, at, d.verdict.value, d.reason.value, d.person or "") for at, d in numbered(decisions)))
    assert told[0] == told[1]


def numbered(decisions: list[Decision]) -> list[tuple[int, Decision]]:
    """Each passage's decisions, numbered from 0."""
    counts: dict[int, int] = {}
    found = []
    for decision in decisions:
        at = counts[decision.passage] = counts.get(decision.passage, -1) + 1
        found.append((at, decision))
    return found
