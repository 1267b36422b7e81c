"""A gate that nobody has calibrated: what it has seen makes it stricter, for searches and for claims."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box
from daemon.core.passages.cohort import Common, Known
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.match import best_two
from daemon.core.passages.rules import Adapting
from daemon.core.values import Face, Match, Probe, Quality, Spread, Vector, View
from tests.fixtures.cameras import again, people
from tests.fixtures.stories import CROP, RULES

ADAPTING = replace(RULES, threshold=0.5, margin=0.02, same=0.3, pair=0.5, adapts=Adapting(Spread(0.0, 0.09), 0.5, 0.5))
CROWD = people(20, 0.55)
STAFF = {f"E{number}": vector for number, vector in enumerate(CROWD[:5])}
VISITORS = CROWD[5:]


@dataclass
class Gate:
    """A gate whose camera makes everybody 0.55 alike. Each face stays for ten frames and leaves."""

    adapts: bool = True
    staff: dict[str, Vector] = field(default_factory=lambda: dict(STAFF))

    def __post_init__(self) -> None:
        self.keeper = Gatekeeper("north", ADAPTING if self.adapts else replace(ADAPTING, adapts=None), 0.5)
        self.known: Known | None = self
        self.number = 0

    def vectors_of(self, person: str) -> npt.NDArray[np.float32]:
        return self.staff[person][None]

    def common(self) -> Common:
        return Common(len(self.staff), np.mean(list(self.staff.values()), axis=0, dtype=np.float64))

    def find(self, vectors: npt.NDArray[np.float32]) -> list[Match]:
        names, known = list(self.staff), np.stack(list(self.staff.values()))
        found = [best_two(known @ vector, np.arange(len(names))) for vector in vectors]
        return [Match(names[owner], best, rival) for owner, best, rival in found]

    def passes(self, vector: Vector, claims: str | None = None) -> list[Decision]:
        told: list[Decision] = []
        if claims is not None:
            self.keeper.claims.present(claims, self.number / 10, self.number / 10 + 30)
        for frame in range(20):
            probes = (Probe(Face(Box(50, 50, 80, 80), 1.0), CROP, Quality.OK),) if frame < 10 else ()
            view = View("north", self.number, self.number / 10, self.number / 10, probes)
            vectors: list[Vector | None] = [vector] if probes else []
            told += self.keeper.observe(view, vectors, self.find, lambda person, now: None, self.compare, known=self.known)
            self.number += 1
        return told

    def compare(self, vector: Vector, person: str) -> float:
        return float(self.staff[person] @ vector)


def accepted(told: list[Decision]) -> set[str | None]:
    return {decision.person for decision in told if decision.verdict == "accept"}


def test_strangers_whom_the_cards_threshold_lets_in_stay_out_and_the_staff_gets_in() -> None:
    plain, adapting = Gate(adapts=False), Gate()
    assert sum(bool(accepted(plain.passes(visitor))) for visitor in VISITORS) >= 3
    assert not any(accepted(adapting.passes(visitor)) for visitor in VISITORS)
    for person, vector in STAFF.items():
        told = adapting.passes(again(vector, 1))
        assert accepted(told) == {person}
        assert told[0].centred is not None and told[0].similarity is not None
        assert 0.5 <= told[0].centred < told[0].similarity


def test_somebody_elses_badge_does_not_help() -> None:
    plain, adapting = Gate(adapts=False), Gate()
    alike = max(VISITORS, key=lambda visitor: float(visitor @ STAFF["E0"]))
    assert accepted(plain.passes(alike, claims="E0")) == {"E0"}
    assert [(d.reason.value, d.person) for d in adapting.passes(alike, claims="E0")] == [("claim_mismatch", "E0")]
    assert accepted(adapting.passes(again(STAFF["E0"], 1), claims="E0")) == {"E0"}


def test_without_knowing_the_enrolled_people_it_recognises_nobody() -> None:
    gate = Gate()
    gate.known = None
    assert not accepted(gate.passes(again(STAFF["E0"], 1)))


def test_whoever_has_left_is_in_the_cohort_and_a_change_of_people_or_model_empties_it() -> None:
    gate = Gate()
    gate.passes(VISITORS[0])
    gate.passes(VISITORS[1])
    gate.passes(again(VISITORS[1], 4, 0.2))
    assert len(gate.keeper.cohort.faces) == 2
    gate.keeper.forget("E3")
    assert not gate.keeper.cohort.faces
    gate.passes(VISITORS[0])
    gate.keeper.begin_anew()
    assert not gate.keeper.cohort.faces


def test_a_gate_whose_threshold_the_operator_gives_keeps_no_cohort() -> None:
    gate = Gate(adapts=False)
    assert gate.passes(VISITORS[0])[0].centred is None and not gate.keeper.cohort.faces


def test_a_thousand_passages_of_a_stranger_shut_nobody_out_and_let_nobody_in() -> None:
    gate = Gate()
    for walk in range(300):
        assert not accepted(gate.passes(again(VISITORS[0], walk, 0.5)))
    for person, vector in STAFF.items():
        assert accepted(gate.passes(again(vector, 2))) == {person}


def test_a_calibrated_gate_holds_centred_similarities_against_the_cards_threshold() -> None:
    gate = Gate()
    gate.keeper.rules = replace(ADAPTING, threshold=0.8)
    assert accepted(gate.passes(again(STAFF["E0"], 1))) == {"E0"}
    gate.keeper.rules = replace(ADAPTING, adapts=Adapting(Spread(0.0, 0.09), None, None))
    assert not accepted(gate.passes(again(STAFF["E0"], 1))), "without a threshold of the card nobody is near"
