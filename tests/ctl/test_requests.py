"""Commands that are answered with one line, and what ostiaryctl makes of silence."""

import base64
import json
import time
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from daemon.core import messages as m
from daemon.core.messages import Result
from daemon.ctl import __main__ as ctl
from daemon.ctl.arguments import parser
from daemon.ctl.commands import build
from tests.ctl.conftest import JPEG, Ctl, Later
from tests.fixtures.fake_gate import FakeGate


@pytest.mark.broker
def test_enrol_sends_everything_and_waits_for_its_own_answer(gate: FakeGate, run: Ctl, photo: Path) -> None:
    code, out, err = run(
        "enroll",
        "E1042",
        "--image",
        str(photo),
        "--image",
        str(photo),
        "--name",
        "Ada",
        "--valid-from",
        "2026-12-01T08:00+01:00",
        "--valid-until",
        "2026-12-31",
        "--gate-allowed",
        "north",
        "--gate-allowed",
        "south",
        "--consent",
        "file 7",
    )
    assert (code, err) == (0, "")
    assert "✓ north enroll E1042 done" in out
    assert "revision 94" in out
    (command,) = gate.commands
    assert isinstance(command, m.Enroll)
    assert command.images == [JPEG, JPEG]
    assert (command.person, command.name, command.gates, command.consent) == ("E1042", "Ada", ["north", "south"], "file 7")
    assert command.valid_from == datetime.fromisoformat("2026-12-01T07:00:00+00:00")
    assert command.valid_until is not None
    assert m.utc(command.valid_until.timestamp()).endswith("59.999Z")
    assert (command.expires_at - command.issued_at).total_seconds() == 60
    assert abs(command.issued_at.timestamp() - time.time()) < 30


@pytest.mark.broker
@pytest.mark.parametrize("op", ["revoke", "suspend", "resume"])
def test_person_commands(gate: FakeGate, run: Ctl, op: str) -> None:
    assert run(op, "E1042")[0] == 0
    assert type(gate.commands[0]).__name__.lower() == op
    assert gate.commands[0].person == "E1042"


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_ping_as_json_with_options_behind_the_command(gate: FakeGate, run: Ctl, protocol: str) -> None:
    code, out, _ = run("ping", "--json", "--protocol", protocol, "--timeout", "5")
    assert code == 0
    assert json.loads(out)["command_id"] == str(gate.commands[0].command_id)


@pytest.mark.broker
def test_a_refusal_is_exit_code_1_with_its_reason(gate: FakeGate, run: Ctl, photo: Path) -> None:
    gate.answer = lambda command: {"status": "refused", "reason": "no_face", "detail": "image 1 shows no face\x1b[2J"}
    code, out, _ = run("enroll", "E1042", "--image", str(photo))
    assert code == 1
    assert "✗ north enroll E1042 refused  no_face: image 1 shows no face" in out
    assert "\x1b" not in out


@pytest.mark.broker
def test_a_revocation_of_nobody_is_not_shown_as_a_success(gate: FakeGate, run: Ctl) -> None:
    gate.answer = lambda command: {"reason": "nobody_enrolled", "detail": "nobody was enrolled under this id; is it the right one?"}
    code, out, _ = run("revoke", "E1024")
    assert code == 0
    assert "! north revoke E1024 done  nobody_enrolled: nobody was enrolled" in out and "✓" not in out


@pytest.mark.broker
def test_a_dry_run_asks_for_one_and_is_not_shown_as_an_enrolment(gate: FakeGate, run: Ctl) -> None:
    gate.answer = lambda command: {"reason": "dry_run", "detail": "nothing was changed; it would be: a new person, 2 templates made"}
    code, out, _ = run("enroll", "E1042", "--capture", "1.5", "--dry-run")
    (command,) = gate.commands
    assert code == 0 and isinstance(command, m.Enroll) and command.dry_run
    assert "! north enroll E1042 done  dry_run: nothing was changed" in out and "✓" not in out


@pytest.mark.broker
def test_a_capture_is_short_lived_and_gets_its_seconds_on_top_of_the_waiting(gate: FakeGate, run: Ctl) -> None:
    gate.answer_after_s = 1.3
    code, out, _ = run("enroll", "E1042", "--capture", "1.5", "--force", "--replace", "--name", "Ada", "--timeout", "1")
    assert code == 0
    assert "enroll E1042 done" in out
    (command,) = gate.commands
    assert isinstance(command, m.Enroll)
    assert command.images is None
    assert command.capture == m.Capture(seconds=1.5)
    assert (command.force, command.replace, command.dry_run, command.name) == (True, True, False, "Ada")
    assert (command.expires_at - command.issued_at).total_seconds() == 15


@pytest.mark.broker
def test_update_sends_what_is_given_and_clears_what_is_to_be_cleared(gate: FakeGate, run: Ctl) -> None:
    assert run("update", "E1042", "--gate-allowed", "north", "--clear", "valid-until", "--clear", "name")[0] == 0
    (command,) = gate.commands
    assert isinstance(command, m.Update)
    assert (command.gates, command.valid_until, command.name) == (["north"], None, None)
    assert command.valid_from is msgspec.UNSET
    assert command.consent is msgspec.UNSET


def test_images_travel_as_base64(photo: Path) -> None:
    args = parser(ctl.RUNS).parse_args(["enroll", "E1", "--image", str(photo)])
    assert base64.b64encode(JPEG) in m.encode(build(args))


@pytest.mark.broker
def test_a_command_to_all_gates_waits_for_those_that_are_online(broker: int, gate: FakeGate, run: Ctl) -> None:
    with FakeGate(broker, "south") as south:
        gate.status()
        south.status()
        code, out, _ = run("ping", "--gate", "all")
        assert code == 0
        assert "north" in out
        assert "south" in out
        south.silent = True
        code, _, err = run("ping", "--gate", "all", "--timeout", "1")
        assert code == 3
        assert "no answer from south" in err
        south.status(online=False, state="offline")
        assert run("ping", "--gate", "all")[0] == 0


@pytest.mark.broker
def test_silence_is_exit_code_3_and_says_what_is_known(gate: FakeGate, run: Ctl) -> None:
    gate.silent = True
    code, _, err = run("ping", "--timeout", "0.3")
    assert code == 3
    assert "no status of gate north" in err
    assert "lets this login read status and result" in err
    gate.status(online=False, state="offline")
    assert "gate north is offline" in run("ping", "--timeout", "0.3")[2]
    assert "gate north is offline" in run("ping", "--gate", "all", "--timeout", "0.3")[2]
    gate.status()
    code, out, _ = run("ping", "--timeout", "0.3", "--json")
    assert code == 3
    assert "busy" in json.loads(out)["hint"]


@pytest.mark.broker
def test_a_change_of_model_shows_how_far_it_has_come_and_is_waited_for(gate: FakeGate, run: Ctl, later: Later) -> None:
    def work() -> None:
        deadline_s = time.monotonic() + 10
        while not gate.commands and time.monotonic() < deadline_s:
            time.sleep(0.02)
        for done in (100, 250):  # longer together than the time to wait for a sign of life
            time.sleep(0.8)
            gate.status(reembedding=m.Reembedding(model="faces-2", done=done, of=300))
        time.sleep(0.8)
        answer = Result(
            command_id=str(gate.commands[0].command_id), op="reembed", status="done", reason=None,
            detail="faces-2 serves", person=None, gallery_revision=2, took_ms=2400.0,
        )  # fmt: skip
        gate.say("result", m.encode(answer))

    gate.status()
    gate.silent = True
    later(0.0, work)
    code, out, err = run("reembed", "--model", "faces-2", "--timeout", "1.4")
    gate.silent = False
    assert code == 0, err
    assert (gate.commands[0].model, gate.commands[0].force) == ("faces-2", False)
    assert gate.commands[0].expires_at - gate.commands[0].issued_at <= timedelta(minutes=10)
    lines = out.splitlines()
    assert "100 of 300" in lines[0] and "250 of 300" in lines[1] and "faces-2 serves" in lines[-1]
    assert "reembedding: 250 of 300 with faces-2" in run("status")[1]
    code, out, _ = run("reembed", "--force", "--json")
    assert code == 0 and json.loads(out)["status"] == "done" and gate.commands[1].force and gate.commands[1].model is None
    gate.answer = lambda command: {"status": "refused", "reason": "busy"}
    assert run("reembed")[0] == 1
