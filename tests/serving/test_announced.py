"""Stories about what a status says of a gate's configuration: where its threshold comes from, and the names that a desk may use."""

from dataclasses import replace

import msgspec
import pytest

from daemon.config import DecisionConfig, parse
from daemon.core.messages import Calibration, StatusMessage, encode
from daemon.edges.store import Store
from daemon.pipeline.model import Model
from daemon.pipeline.steps import Raised
from daemon.serving.announced import announced, shared
from tests.fixtures.desk import MODELS, NOW, model
from tests.fixtures.engine_site import CONFIG, Site

PLAIN = {"site": "acme", "gates": {"north": {"source": "x"}, "badge": {"source": "y", "mode": "verify"}}}


def measured(at: float | None) -> dict[str, Model]:
    made = model("painted-1")
    return {"painted-1": replace(made, gates={"north": Raised(made.calibration, 0.9, at=at)})}


@pytest.mark.parametrize(
    ("models", "threshold", "said", "at"),
    [(MODELS, 0.99, "fixed", None), (MODELS, None, "photos", None), (measured(None), None, "gate", None),
     (measured(NOW), None, "gate", "2027-01-15T08:00:00.000Z")],
)  # fmt: skip
def test_a_status_says_where_the_threshold_comes_from(
    store: Store, models: dict[str, Model], threshold: float | None, said: Calibration, at: str | None
) -> None:
    site = Site(store, config=replace(CONFIG, decision=DecisionConfig(threshold=threshold, patience=6)), models=models)
    site.turn()
    status = site.status()
    assert (status["calibration"], status["calibrated_at"], status["schedules"], status["gates"]) == (said, at, ["office"], ["north"])
    assert len(encode(msgspec.convert(status, StatusMessage))) < 1200, "it is sent every half minute"


def test_it_names_what_a_record_may_name_and_where_the_metrics_are() -> None:
    site = parse(PLAIN | {"other_gates": ["attic", "north"], "decision": {"threshold": 0.5}, "metrics": {"host": "::1", "port": 9000}})
    north = announced(site, "north")
    assert north.gates == ["attic", "badge", "north"] and north.metrics == "[::1]:9000" and north.fixed
    assert not announced(site, "badge").fixed, "decision.threshold says nothing about claims"
    assert announced(parse(PLAIN | {"metrics": {"port": 0}}), "north").metrics is None
    assert announced(parse(PLAIN), "north").metrics == "127.0.0.1:9464" and shared(parse(PLAIN), "north") is None


def test_one_gate_may_share_and_another_not() -> None:
    key = "CQ" + "A" * 41 + "="
    gates = {"north": {"source": "x", "decision": {"share_unknown": 5}}, "south": {"source": "y"}}
    site = parse(PLAIN | {"gates": gates, "decision": {"share_unknown_to": key}})
    assert [announced(site, gate).share_unknown for gate in gates] == [5.0, 0.0]
    assert "for 5 min, for the holder of key" in str(shared(site, "north")) and shared(site, "south") is None
