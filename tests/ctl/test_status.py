"""status: what the gates last said about themselves."""

import json
import time

import pytest

from daemon.core import messages as m
from daemon.ctl import __main__ as ctl
from tests.fixtures.fake_gate import FakeGate


@pytest.mark.broker
def test_status_shows_every_gate_and_tells_by_its_code(broker: int, gate: FakeGate, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--site", "acme", "--port", str(broker), "status"]
    assert ctl.main([*common, "--timeout", "0.3"]) == 3
    assert "no gate has published a status" in capsys.readouterr().err
    gate.status(audit=m.AuditHead(number=4711, head="0123456789abcdef" * 4))
    assert ctl.main(common) == 0
    out = capsys.readouterr().out
    assert "serving" in out
    assert "4711" in out
    assert "faces on cpu" in out
    assert "0.420" in out
    assert max(map(len, out.splitlines()[:2])) <= 80, "a screen of 80 columns shows it"
    gate.status(state="closed", reasons=["disk"])
    assert ctl.main(common) == 1
    assert "disk" in capsys.readouterr().out
    gate.status(at=m.utc(time.time() - 600))
    assert ctl.main([*common, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["stale"] is True
    gate.status(online=False, state="offline", at=None, threshold=None, model=None, provider=None, camera=None)
    assert ctl.main([*common, "--gate", "north"]) == 1
    assert "offline" in capsys.readouterr().out
