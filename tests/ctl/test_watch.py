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
    assert "decisions after 1 and before 5 were missed" in lines[3]
    assert "✗ reject" in lines[4]
    assert "↻" in lines[4]
    assert "\x1b" not in lines[4]
    assert "? unknown" in lines[5]
    assert "late" in lines[5]
    assert "10 min" in lines[5]


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
    assert "0 of 1 decisions" in capsys.readouterr().err


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
