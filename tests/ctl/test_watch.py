"""watch: decisions as they are made."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from daemon.core import messages as m
from daemon.ctl import __main__ as ctl
from tests.ctl.conftest import Later
from tests.fixtures.fake_broker import FakeBroker
from tests.fixtures.fake_gate import FakeGate, decision
from tests.fixtures.mosquitto import Mosquitto


@pytest.mark.broker
def test_watch_shows_decisions_gaps_and_changes_of_mind(
    broker: int, gate: FakeGate, later: Later, capsys: pytest.CaptureFixture[str]
) -> None:
    payloads = [
        decision(sequence=1),
        b"{}",
        decision(sequence=5, previous=4, decision="reject", reason="suspended", supersedes="e", name="Ada\x1b[31m"),
        decision(sequence=6, decision="unknown", reason="no_match", person=None, live=False, captured_at=m.utc(time.time() - 600)),
    ]
    later(0.7, lambda: gate.decide(payloads))
    assert ctl.main(["--site", "acme", "--port", str(broker), "watch", "--count", "3", "--seconds", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "✓ accept" in lines[1]
    assert "E1042" in lines[1]
    assert "matched" in lines[1]
    assert "live" in lines[1]
    assert "is not a decision" in lines[2]
    assert "decisions after 1 and before 5 have not come so far" in lines[3]
    assert "✗ reject" in lines[4]
    assert "↻" in lines[4]
    assert "\x1b" not in lines[4]
    assert "? unknown" in lines[5]
    assert "late" in lines[5]
    assert "10 min" in lines[5]


@pytest.mark.broker
def test_a_backlog_after_an_outage_is_announced_once(broker: int, gate: FakeGate, later: Later, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = [decision(sequence=number, previous=number - 1) for number in (1, 9, 10)]
    backlog = [decision(sequence=number, previous=number - 1, live=False) for number in range(4, 9)]
    newest = decision(sequence=11, previous=10)
    later(0.7, lambda: gate.decide([*fresh, *backlog, newest]))
    assert ctl.main(["--site", "acme", "--port", str(broker), "watch", "--count", "9", "--seconds", "10"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("…")]
    assert said == ["… north: decisions after 1 and before 9 have not come so far"]


@pytest.mark.broker
def test_what_a_gate_dropped_is_said(broker: int, gate: FakeGate, later: Later, capsys: pytest.CaptureFixture[str]) -> None:
    both = m.GapMessage(gate="north", at=m.utc(0), reason="full", decisions=5, first=2, last=6, answers=1)
    answers = m.GapMessage(gate="north", at=m.utc(0), reason="old", decisions=0, first=None, last=None, answers=3)

    def say() -> None:
        for gap in (both, answers):
            gate.say("gap", m.encode(gap))
        gate.say("gap", b"{}")
        gate.decide([decision()])

    watch = ["--site", "acme", "--port", str(broker), "watch", "--count", "1", "--seconds", "10"]
    later(0.7, say)
    assert ctl.main(watch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "… north: 5 decisions (2 to 6) and 1 answer will never come: too many waited for the broker"
    assert lines[2] == "… north: 0 decisions and 3 answers will never come: they waited too long for the broker"
    assert "is not a gap" in lines[3]
    later(0.7, say)
    assert ctl.main([*watch, "--json"]) == 0
    assert [json.loads(line).get("answers") for line in capsys.readouterr().out.splitlines()] == [1, 3, None]


def test_a_broker_that_shows_decisions_and_no_gaps_will_do() -> None:
    watch = ["--site", "acme", "--protocol", "3.1.1", "watch", "--seconds", "0.3"]
    with FakeBroker(granted=b"\x01\x80") as broker:
        assert ctl.main([*watch, "--port", str(broker.port)]) == 0
    with FakeBroker(granted=b"\x80\x01") as broker:
        assert ctl.main([*watch, "--port", str(broker.port)]) == 3


@pytest.mark.broker
def test_watch_outlives_a_restart_of_the_broker(
    own_broker: Callable[..., Mosquitto], later: Later, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = own_broker()

    def restart() -> None:
        broker.stop()
        broker.start()
        time.sleep(1.5)  # the watcher tries again after a second
        with FakeGate(broker.port) as gate:
            gate.decide([decision()])

    later(0.5, restart)
    assert ctl.main(["--site", "acme", "--port", str(broker.port), "watch", "--count", "1", "--seconds", "20"]) == 0
    out = capsys.readouterr().out
    assert "trying again" in out
    assert "E1042" in out


@pytest.mark.broker
def test_watch_as_json_and_its_limits(broker: int, gate: FakeGate, later: Later, capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["--site", "acme", "--port", str(broker), "watch"]
    later(0.7, lambda: gate.decide([decision(), decision(sequence=2)]))
    assert ctl.main([*watch, "--count", "2", "--seconds", "10", "--json"]) == 0
    assert [json.loads(line)["sequence"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    assert ctl.main([*watch, "--seconds", "0.2"]) == 0
    capsys.readouterr()
    assert ctl.main([*watch, "--seconds", "0.2", "--count", "1"]) == 3
    assert "0 of 1 decision" in capsys.readouterr().err


@pytest.mark.broker
def test_ctrl_c_ends_it_without_a_word(broker: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "daemon.ctl.__main__", "--site", "acme", "--port", str(broker), "watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # the heading: it is connected
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err == ""
