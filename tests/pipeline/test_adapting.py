"""Which gates adapt to their camera, which were measured, and what the status says of it."""

from dataclasses import replace
from functools import partial

import pytest

from daemon.config import Config, DecisionConfig, GateConfig
from daemon.core import status
from daemon.core.passages.rules import Adapting
from daemon.core.values import Spread
from daemon.edges.gallery import Gallery
from daemon.pipeline import steps
from daemon.pipeline.serving import Serving
from daemon.pipeline.steps import Raised
from tests.fixtures.desk import NoThreshold, model

CONFIG = Config(site="hq", gates={"north": GateConfig(source="a"), "south": GateConfig(source="b")})


class Card(NoThreshold):
    strangers: Spread | None = Spread(0.0, 0.1)

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        return 0.5

    def claim_threshold(self, target_fmr: float) -> float | None:
        return 0.6


def serving(calibration: steps.Thresholds, config: Config = CONFIG) -> Serving:
    return Serving(model("painted-1", calibration=calibration), Gallery(8), partial(steps.rules, config))


def test_a_gate_that_nobody_has_measured_adapts_and_says_so() -> None:
    gates = serving(Card())
    rules = gates.rules("both", "north")
    assert rules.adapts == Adapting(Spread(0.0, 0.1), 0.5, 0.6) and rules.margin == pytest.approx(0.027)
    assert gates.uncalibrated(rules, "north")


def test_a_calibration_holds_for_the_gates_that_it_names() -> None:
    gates = serving(Raised(Card(), 0.8, ("north",)))
    north, south = gates.rules("both", "north"), gates.rules("both", "south")
    assert (north.threshold, north.pair, south.threshold, south.pair) == (0.8, 0.8, 0.5, 0.6)
    assert north.adapts == south.adapts == Adapting(Spread(0.0, 0.1), 0.5, 0.6), "centred similarities are held against the card"
    assert not gates.uncalibrated(north, "north") and gates.uncalibrated(south, "south")
    everywhere = serving(Raised(Card(), 0.8))
    assert not any(everywhere.uncalibrated(everywhere.rules(gate=gate), gate) for gate in CONFIG.gates)


def test_a_calibration_with_another_model_closes_its_gates() -> None:
    gates = serving(Raised(Card(), None, ("north",)))
    assert gates.rules("both", "north").closed and not gates.rules("both", "south").closed


def test_the_operators_threshold_is_taken_as_it_is() -> None:
    gates = serving(Card(), replace(CONFIG, decision=DecisionConfig(threshold=0.7)))
    rules = gates.rules("identify", "north")
    assert rules.threshold == 0.7 and rules.adapts is None and not gates.uncalibrated(rules, "north")


def test_the_margin_of_a_card_that_does_not_tell_how_alike_strangers_are_is_wide() -> None:
    rules = serving(NoThreshold()).rules()
    assert rules.adapts is None and rules.margin == pytest.approx(0.27 * 0.2)


def test_whether_a_gate_adapts_is_part_of_its_policy() -> None:
    digests = {steps.policy_digest(CONFIG, rules) for rules in (serving(Card()).rules(), replace(serving(Card()).rules(), adapts=None))}
    assert len(digests) == 2


@pytest.mark.parametrize(("idle", "expected"), [(False, "degraded"), (True, "serving")])
def test_an_uncalibrated_gate_is_degraded_and_not_closed(idle: bool, expected: str) -> None:
    reasons = status.Trouble(idle=idle, uncalibrated=True).reasons
    assert status.state(reasons) == expected and [reason.word for reason in reasons] == [status.Word.UNCALIBRATED] * (not idle)
