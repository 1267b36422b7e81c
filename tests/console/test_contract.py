"""The API does what its own description says: every route with generated values, good and bad."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from daemon.console import throttle
from daemon.core import messages as m
from tests.console.conftest import Rig, until
from tests.fixtures.fake_gate import FakeGate, decision
from tests.fixtures.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

EXAMPLES = int(os.environ.get("OSTIARY_EXAMPLES", "12"))
CHECKS: list[Any] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
    negative_data_rejection, unsupported_method,
]  # fmt: skip


@pytest.fixture(scope="module")
def served(mosquitto_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A console with a gate that refuses one half of what it is asked."""
    folder: Path = tmp_path_factory.mktemp("console")
    with Mosquitto(folder) as broker, FakeGate(broker.port) as gate, Rig(folder, broker.port) as rig:
        gate.status(reasons=["uncalibrated: x; y", "odd"])
        gate.answer = answer
        gate.decide([decision()])
        until(lambda: rig.console.state.statuses)
        yield rig


def answer(command: m.Command) -> dict[str, Any]:
    if isinstance(command, m.List | m.Get):
        entry = m.PersonEntry(person="E1", name="Ada", state="active", templates=1, enrolled_at=m.utc(0), gates=["north"])
        return {"op": m.op_of(command), "people": [entry]}
    if command.command_id.int % 2:
        return {"op": m.op_of(command), "status": "refused", "reason": "lookalike", "detail": "the gate could take this face for E1; force"}
    return {"op": m.op_of(command)}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/session"), ("GET", "/api/session"), ("GET", "/api/gates"), ("GET", "/api/decisions"), ("GET", "/api/people"),
        ("GET", "/api/people/{person}"), ("PATCH", "/api/people/{person}"), ("DELETE", "/api/people/{person}"),
        ("POST", "/api/people/{person}/suspend"), ("POST", "/api/people/{person}/resume"), ("POST", "/api/people/{person}/pictures"),
        ("POST", "/api/people/{person}/capture"), ("GET", "/api/visitors"), ("POST", "/api/visitors/{id}/assign"),
        ("GET", "/api/visitors/{id}/picture"), ("DELETE", "/api/session"),
    ],
)  # fmt: skip
def test_a_route_does_what_its_description_says(served: Rig, method: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "ADDRESS", (1e6, 1e6))
    monkeypatch.setattr(throttle, "USER", (1e6, 1e6))
    headers = served.token("admin")
    document = served.browser().get("/api/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=served.served.address)

    operation = schema[path][method]
    # In a form everything is text, so what is no text there cannot be told.
    checks = [one for one in CHECKS if one is not negative_data_rejection or not path.endswith("/pictures")]
    for mode in schemathesis.GenerationMode:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def run(case: Any) -> None:
            mine = served.token("admin") if (method, path) == ("DELETE", "/api/session") else headers
            case.call_and_validate(headers=mine, checks=checks)

        run()
