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
    long = "disk: it takes no writes; make room on the disk of state_dir, or mend it; the gate reopens by itself"
    gate.status(state="closed", reasons=[long, "uncalibrated"])
    assert ctl.main(common) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:2])) <= 80
    assert [f"north: {long}", "north: uncalibrated"] == lines[2:4], "each reason has a line of its own"
    gate.status(at=m.utc(time.time() - 600))
    assert ctl.main([*common, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["stale"] is True
    gate.status(online=False, state="offline", at=None, threshold=None, model=None, provider=None, camera=None)
    assert ctl.main([*common, "--gate", "north"]) == 1
    assert "offline" in capsys.readouterr().out


@pytest.mark.broker
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"calibration": "gate", "calibrated_at": "2026-11-30T08:15:00.000Z"}, "calibrated at the gate on 2026-11-30"),
        ({"calibration": "photos"}, "calibrated by photos only;"),
        ({"calibration": "fixed"}, "threshold set by hand;"),
    ],
)
def test_status_says_where_the_threshold_comes_from(
    broker: int, gate: FakeGate, said: dict[str, str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.status(commands="signed", **said)
    assert ctl.main(["--site", "acme", "--port", str(broker), "status"]) == 0
    assert shown in capsys.readouterr().out


GOOD: dict[str, object] = {
    "online": True, "state": "serving", "reasons": [], "boot_id": "b", "camera": "up", "model": "faces", "provider": "cpu", "people": 3,
    "templates": 7, "gallery_revision": 94, "threshold": 0.42, "outbox_depth": 0, "version": "2.0.0",
}  # fmt: skip


@pytest.mark.broker
@pytest.mark.parametrize(
    ("odd", "code", "says"),
    [
        (b"not JSON", 1, "unreadable"),
        (b"[1, 2]", 1, "unreadable"),
        ({"state": "hibernating"}, 1, "hibernating"),
        ({"reasons": ["mirror_fogged: breath; wipe it"], "state": "degraded"}, 0, "mirror_fogged: breath"),
        ({"new_field": {"of": "the next version"}}, 0, "serving"),
        ({"threshold": "high"}, 0, "threshold cannot be read"),
        ({"reasons": "one"}, 0, "reasons cannot be read"),
        ({"at": "yesterday"}, 0, "at cannot be read"),
        ({"camera": "asleep", "mode": "dream"}, 0, "asleep"),
        ({"audit": {"number": 1, "head": "0" * 64, "more": 1}}, 0, "audit cannot be read"),
    ],
)
def test_one_odd_status_hides_no_other_gate(
    broker: int, gate: FakeGate, capsys: pytest.CaptureFixture[str], odd: bytes | dict[str, object], code: int, says: str
) -> None:
    """Gates are upgraded one after the other."""
    payload = odd if isinstance(odd, bytes) else json.dumps({**GOOD, "at": m.utc(time.time()), **odd}).encode()
    gate.client.publish("ostiary/v1/acme/east/status", payload, qos=1, retain=True).wait_for_publish(5)
    gate.status()
    common = ["--site", "acme", "--port", str(broker), "status", "--timeout", "1"]
    assert ctl.main(common) == code
    told = capsys.readouterr()
    shown = " ".join((told.out + told.err).split())
    assert "north" in shown and "east" in shown and says in shown
    assert ctl.main([*common, "--json"]) == code
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["gate"] for line in lines] == ["east", "north"] and lines[1]["state"] == "serving"
