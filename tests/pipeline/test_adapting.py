"""Which gates adapt to their camera, which were measured, and what the status says of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config import Config, DecisionConfig, GateConfig, parse
from daemon.core import status
from daemon.core.passages.rules import Adapting
from daemon.core.values import Spread
from daemon.edges.gallery import Gallery
from daemon.pipeline import steps
from daemon.pipeline.opening import policy, thresholds
from daemon.pipeline.serving import Serving
from tests.fixtures.desk import NoThreshold, model

CONFIG = Config(site="hq", gates={"north": GateConfig(source="a"), "south": GateConfig(source="b")})


class Card(NoThreshold):
    strangers: Spread | None = Spread(0.0, 0.1)

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        return 0.5

    def claim_threshold(self, target_fmr: float) -> float | None:
        return 0.6


def serving(calibration: steps.Thresholds, config: Config = CONFIG) -> Serving:
    return Serving(model("painted-1", calibration=calibration), Gallery(8), policy(config))


def measured(tmp_path: Path, text: str, config: Config = CONFIG) -> Serving:
    """A site with this file of `ostiaryd calibrate`, as opening a model makes it."""
    (tmp_path / "site.toml").write_text(text)
    own = replace(config, decision=DecisionConfig(site_calibration=str(tmp_path / "site.toml")))
    card = Card()
    gates = {gate: thresholds(own, gate, card, "painted-1") for gate in (None, *own.gates)}
    return Serving(replace(model("painted-1", calibration=card), gates=gates), Gallery(8), policy(own))


def test_a_gate_that_nobody_has_measured_adapts_and_says_so() -> None:
    gates = serving(Card())
    rules = gates.rules("both", "north")
    assert rules.adapts == Adapting(Spread(0.0, 0.1), 0.5, 0.6) and rules.margin == pytest.approx(0.027)
    assert gates.uncalibrated(rules, "north")


def test_a_calibration_holds_for_the_gates_that_it_names(tmp_path: Path) -> None:
    gates = measured(tmp_path, 'gates = ["north"]\n[thresholds]\npainted-1 = 0.8')
    north, south = gates.rules("both", "north"), gates.rules("both", "south")
    assert (north.threshold, north.pair, south.threshold, south.pair) == (0.8, 0.8, 0.5, 0.6)
    assert north.adapts == south.adapts == Adapting(Spread(0.0, 0.1), 0.5, 0.6), "centred similarities are held against the card"
    assert not gates.uncalibrated(north, "north") and gates.uncalibrated(south, "south")


def test_a_calibration_that_names_no_gate_raises_all_and_counts_as_measured_only_where_there_is_one(tmp_path: Path) -> None:
    text = "[thresholds]\npainted-1 = 0.8"
    both, one = measured(tmp_path, text), measured(tmp_path, text, replace(CONFIG, gates={"north": CONFIG.gates["north"]}))
    assert [both.rules(gate=gate).threshold for gate in CONFIG.gates] == [0.8, 0.8]
    assert all(both.uncalibrated(both.rules(gate=gate), gate) for gate in CONFIG.gates), "two cameras do not share a calibration"
    assert not one.uncalibrated(one.rules(gate="north"), "north")


def test_gates_have_calibrations_of_their_own(tmp_path: Path) -> None:
    files = {gate: tmp_path / f"{gate}.toml" for gate in CONFIG.gates}
    for threshold, (gate, file) in zip((0.7, 0.9), files.items(), strict=True):
        file.write_text(f'gates = ["{gate}"]\n[thresholds]\npainted-1 = {threshold}')
    tables = {gate: {"source": "a", "decision": {"site_calibration": str(file)}} for gate, file in files.items()}
    config, card = parse({"site": "hq", "gates": tables}), Card()
    assert [thresholds(config, gate, card, "painted-1").threshold(1, 0.01) for gate in (None, "north", "south")] == [0.5, 0.7, 0.9]


def test_a_gate_decides_by_its_own_rules_and_the_rest_of_the_sites() -> None:
    config = parse({
        "site": "hq",
        "decision": {"tries": 3, "min_frames": 6},
        "gates": {"north": {"source": "a", "decision": {"min_frames": 7, "threshold": 0.9}}, "south": {"source": "b"}},
    })  # fmt: skip
    gates = serving(Card(), config)
    north, south = gates.rules(gate="north"), gates.rules(gate="south")
    assert (north.min_frames, north.tries, north.threshold, north.adapts) == (7, 3, 0.9, None)
    assert (south.min_frames, south.tries, south.threshold) == (6, 3, 0.5)
    assert len({steps.policy_digest(config.at(gate), gates.rules(gate=gate)) for gate in config.gates}) == 2


def test_a_calibration_with_another_model_closes_its_gates(tmp_path: Path) -> None:
    gates = measured(tmp_path, 'gates = ["north"]\n[thresholds]\nother-1 = 0.8')
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
