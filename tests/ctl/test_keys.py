"""Signed commands from the command line: making a key, using it, and the topics that commands are sent to."""

import base64
import json
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.client.failures import ClientError
from daemon.client.keys import read_signer, read_visitor_key
from daemon.config import parse
from daemon.core import sealed_box, signing
from daemon.ctl import __main__ as ctl
from daemon.ctl import asking
from tests.ctl.conftest import Ctl, Later
from tests.fixtures.fake_gate import FakeGate, decision
from tests.fixtures.mosquitto import Mosquitto

HERE = "ostiary/v1/acme/north"


@pytest.fixture
def key_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "hr-1.key"
    assert ctl.main(["keygen", "--out", str(path)]) == 0
    capsys.readouterr()
    return path


def public(path: Path) -> str:
    return signing.public_text(signing.private_key(base64.b64decode(path.read_text().split()[1])))


# ---- making one


def test_keygen_writes_a_secret_for_its_owner_and_prints_a_table_that_the_configuration_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "k"
    assert ctl.main(["keygen", "--out", str(path), "--name", "hr.1"]) == 0
    out = capsys.readouterr().out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    name, secret = path.read_text().split()
    assert name == "hr.1" and len(base64.b64decode(secret)) == 32 and secret not in out
    config = parse({"site": "acme", "gates": {"north": {"source": "x"}}, **tomllib.loads(out)})
    assert config.commands.keys["hr.1"].public == public(path)
    assert "revoke" in config.commands.keys["hr.1"].ops and not config.commands.keys["hr.1"].grants


def test_keygen_for_machines_prints_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["--json", "keygen", "--out", str(tmp_path / "hr-1.key")]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "hr-1", "public": public(tmp_path / "hr-1.key"), "file": str(tmp_path / "hr-1.key"),
    }  # fmt: skip


def test_keygen_never_writes_over_a_file(key_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = key_file.read_text()
    link = key_file.with_name("link")
    link.symlink_to(key_file.with_name("nowhere"))
    for path in (key_file, link):
        assert ctl.main(["keygen", "--out", str(path), "--name", "x"]) == 2
        assert "there is a file already" in capsys.readouterr().err
    assert key_file.read_text() == before and not key_file.with_name("nowhere").exists()


@pytest.mark.parametrize(
    ("out", "name", "said"), [("x", "a b", "is not the name of a key"), ("no/folder/x", "a", "No such file"), ("x", "", "''")]
)
def test_keygen_says_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, name: str, said: str) -> None:
    assert ctl.main(["keygen", "--out", str(tmp_path / out), "--name", name]) == 2
    err = capsys.readouterr().err
    assert said in err and "hint: " in err and not (tmp_path / out).exists()


# ---- using one


def pipe_at(path: Path) -> None:
    """Nobody writes into it: who opens it to read would wait for ever."""
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.broker
@pytest.mark.parametrize("before", [True, False])
def test_a_command_is_signed_for_its_topic_wherever_the_option_stands(gate: FakeGate, run: Ctl, key_file: Path, before: bool) -> None:
    options = ["--key", str(key_file)]
    code, out, err = run(*options, "suspend", "E1042") if before else run("suspend", "E1042", *options)
    assert (code, err) == (0, ""), out
    (envelope,), (topic,) = gate.signed, gate.heard_on
    assert envelope.key == "hr-1" and topic == f"{HERE}/command/revoke"
    assert signing.holds(signing.public_key(public(key_file)), topic, envelope.body.encode(), envelope.sig)


@pytest.mark.broker
def test_a_command_for_all_gates_is_signed_for_the_topic_of_all(gate: FakeGate, run: Ctl, key_file: Path) -> None:
    assert run("ping", "--gate", "all", "--key", str(key_file))[0] == 0
    (envelope,), (topic,) = gate.signed, gate.heard_on
    assert topic == "ostiary/v1/acme/all/command/enrolment"
    assert signing.holds(signing.public_key(public(key_file)), topic, envelope.body.encode(), envelope.sig)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.chmod(0o640), "has mode 0640: others may read the key"),
        (lambda path: path.chmod(0o602), "has mode 0602: others may read the key"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(""), "does not hold a key"),
        (lambda path: path.write_text("hr-1"), "does not hold a key"),
        (lambda path: path.write_text("hr-1 AAAA"), "does not hold a key"),
        (lambda path: path.write_text("hr-1 " + "!" * 44), "does not hold a key"),
        (lambda path: path.write_text("hr/1 " + base64.b64encode(bytes(32)).decode()), "does not hold a key"),
        (lambda path: path.write_text(path.read_text() * 2), "does not hold a key"),
        (lambda path: path.write_bytes(b"\xff" * 100), "does not hold a key"),
        (lambda path: [path.unlink(), path.mkdir(0o700)], "does not hold a key"),
        (lambda path: pipe_at(path), "does not hold a key"),
    ],
)
def test_a_key_that_cannot_be_used_is_one_line_and_a_hint(
    key_file: Path, spoil: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(key_file)
    code = ctl.main(["--port", "1", "--site", "acme", "--gate", "north", "revoke", "E1042", "--key", str(key_file)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and said in err and "hint: " in err and len(err.splitlines()) == 2
    assert "may still be accepted" not in err, "nothing was tried"


# ---- topics

LANES = {"enroll": "enrolment", "update": "enrolment", "resume": "enrolment", "get": "enrolment", "list": "enrolment", "ping": "enrolment"}
LANES |= {"verify": "verify", "revoke": "revoke", "suspend": "revoke"}


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_each_command_goes_to_the_narrowest_topic_that_takes_it(gate: FakeGate, run: Ctl, photo: Path, protocol: str) -> None:
    more = {"enroll": ["E1", "--image", str(photo)], "update": ["E1", "--name", "x"], "list": [], "ping": []}
    for op in LANES:
        assert run("--protocol", protocol, op, *more.get(op, ["E1"]))[0] == 0, op
    assert run("--protocol", protocol, "reembed")[0] == 0
    assert gate.heard_on == [*(f"{HERE}/command/{lane}" for lane in LANES.values()), f"{HERE}/command"]


@pytest.fixture
def old_acl(own_broker: Callable[[str], Mosquitto], tmp_path: Path) -> Mosquitto:
    """A broker whose ACL knows one topic for commands."""
    acl = tmp_path / "acl"
    acl.write_text("topic write ostiary/v1/+/+/command\ntopic read ostiary/v1/#\ntopic write ostiary/v1/+/+/result\n")
    return own_broker(f"allow_anonymous true\nacl_file {acl}\n")


@pytest.mark.broker
def test_a_broker_that_allows_one_topic_for_all_commands_is_enough(
    old_acl: Mosquitto, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeGate(old_acl.port) as gate:
        options = ["--port", str(old_acl.port), "--site", "acme", "--gate", "north", "--key", str(key_file)]
        assert ctl.main([*options, "revoke", "E1"]) == 0, capsys.readouterr()
        assert gate.heard_on == [f"{HERE}/command"]
        envelope = gate.signed[0]
        assert signing.holds(signing.public_key(public(key_file)), gate.heard_on[0], envelope.body.encode(), envelope.sig)


@pytest.mark.broker
def test_a_broker_that_allows_no_topic_for_the_command_is_named_with_the_narrowest(
    own_broker: Callable[[str], Mosquitto], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write ostiary/v1/+/+/command/verify\ntopic read ostiary/v1/#\ntopic write ostiary/v1/+/+/result\n")
    broker = own_broker(f"allow_anonymous true\nacl_file {acl}\n")
    with FakeGate(broker.port) as gate:
        options = ["--port", str(broker.port), "--site", "acme", "--gate", "north"]
        assert ctl.main([*options, "revoke", "E1"]) == 1
        err = capsys.readouterr().err
        assert (
            "E1 may still be accepted: the broker refused the command: Not authorized" in err and f"write to {HERE}/command/revoke" in err
        )
        assert ctl.main([*options, "verify", "E1"]) == 0 and ctl.main([*options, "ping"]) == 0
        assert gate.heard_on == [f"{HERE}/command/verify"] * 2


@pytest.mark.broker
def test_an_older_gate_that_knows_one_topic_gets_its_commands_there(broker: int, run: Ctl) -> None:
    gate = FakeGate(broker)
    gate.topics = [f"{HERE}/command", "ostiary/v1/acme/all/command"]
    with gate:
        assert run("revoke", "E1")[0] == 0 and run("revoke", "E1", "--gate", "all")[0] == 0
    assert gate.heard_on == gate.topics


@pytest.mark.broker
def test_an_older_gate_gets_its_commands_also_if_others_listen_to_the_narrow_topic(
    broker: int, run: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "AGAIN_S", 0.3)
    gate, observer = FakeGate(broker), FakeGate(broker, "observer")
    gate.topics, observer.topics, observer.silent = [f"{HERE}/command"], ["ostiary/v1/#"], True
    observer.client.on_message = None
    with gate, observer:
        assert run("revoke", "E1")[0] == 0
    assert gate.heard_on == [f"{HERE}/command"]


@pytest.mark.broker
def test_over_mqtt_3_a_broker_that_allows_one_topic_is_enough_too(
    old_acl: Mosquitto, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It acknowledges what its ACL forbids, and drops it."""
    monkeypatch.setattr(asking, "AGAIN_S", 0.3)
    with FakeGate(old_acl.port) as gate:
        code = ctl.main(["--port", str(old_acl.port), "--site", "acme", "--gate", "north", "--protocol", "3.1.1", "revoke", "E1"])
        assert code == 0, capsys.readouterr()
        assert gate.heard_on == [f"{HERE}/command"]


@pytest.mark.broker
def test_a_gate_that_is_slow_is_asked_the_same_again_and_answers_as_before(
    gate: FakeGate, run: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "AGAIN_S", 0.3)
    gate.answer_after_s = 0.8
    code, out, _ = run("revoke", "E1")
    assert code == 0 and out.count("✓") == 1
    one, two = gate.commands
    assert one == two and gate.heard_on == [f"{HERE}/command/revoke", f"{HERE}/command"]


# ---- what the gate signed

GATE = signing.private_key(bytes(range(32)))
IMPOSTOR = signing.private_key(bytes(32))
GATE_KEY = signing.public_text(GATE)


@pytest.mark.broker
@pytest.mark.parametrize("key", [None, IMPOSTOR])
def test_an_answer_that_the_gate_did_not_sign_is_none(gate: FakeGate, run: Ctl, key: Ed25519PrivateKey | None) -> None:
    """Who can write to the topic of results must not be able to say that a revocation was carried out."""
    gate.key = key
    assert run("revoke", "E1")[0] == 0
    code, _, err = run("revoke", "E1", "--gate-key", GATE_KEY, "--timeout", "0.5")
    assert code == 3 and "E1 may still be accepted" in err and "that is signed with --gate-key" in err
    gate.key = GATE
    assert run("revoke", "E1", "--gate-key", GATE_KEY)[0] == 0
    assert run("revoke", "E1", "--gate-key", signing.public_text(IMPOSTOR), "--gate-key", GATE_KEY)[0] == 0


@pytest.mark.broker
def test_a_status_that_the_gate_did_not_sign_is_shown_as_such(gate: FakeGate, run: Ctl) -> None:
    gate.key = IMPOSTOR
    gate.status(public_key=GATE_KEY, commands="signed")
    code, out, _ = run("status", "--gate", "+")
    assert code == 0 and "commands signed" in out and f"signs with {GATE_KEY}" in out
    code, out, _ = run("status", "--gate-key", GATE_KEY)
    assert (code, out) == (1, "✗ north: its status is not signed with --gate-key\n")
    assert json.loads(run("status", "--json", "--gate-key", GATE_KEY)[1])["gate"] == "north"
    gate.key = GATE
    gate.status(public_key=GATE_KEY)
    assert run("status", "--gate-key", GATE_KEY)[0] == 0


@pytest.mark.broker
def test_decisions_that_the_gate_did_not_sign_are_not_shown(gate: FakeGate, run: Ctl, later: Later) -> None:
    def speak() -> None:
        for key, person in ((None, "E1"), (IMPOSTOR, "E2"), (GATE, "E3")):
            gate.key = key
            gate.decide([decision(person=person)])

    later(0.5, speak)
    code, out, _ = run("watch", "--count", "1", "--seconds", "10", "--gate-key", GATE_KEY)
    assert code == 0 and "E3" in out and "E1 " not in out and "E2" not in out
    assert out.count(f"a message on {HERE}/decision is not signed with --gate-key") == 2


def test_a_key_of_a_gate_that_is_none_is_one_line_and_a_hint(run: Ctl) -> None:
    for text in ("x", "", "AAAA", "A" * 43 + "="):
        code, _, err = run("status", "--gate-key", text)
        assert code == 2 and "--gate-key is not a public key" in err and "hint: " in err


# ---- who is to be shut out may not be

NEXT = "Send it again until it is answered"


@pytest.mark.broker
@pytest.mark.parametrize("op", ["revoke", "suspend"])
def test_a_shutting_out_that_nobody_answers_says_so_first_and_says_what_to_do(gate: FakeGate, run: Ctl, op: str) -> None:
    gate.silent = True
    code, out, err = run(op, "E1042", "--timeout", "0.5")
    assert (code, out) == (3, "") and err.startswith("ostiaryctl: E1042 may still be accepted: no answer in 0.5 s") and NEXT in err


def test_a_revocation_without_a_broker_says_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["--port", "1", "--site", "acme", "--gate", "north", "revoke", "E1042"]) == 3
    err = capsys.readouterr().err
    assert "E1042 may still be accepted: cannot reach the broker" in err and NEXT in err


@pytest.mark.broker
def test_a_gate_that_is_offline_has_not_shut_anybody_out(gate: FakeGate, run: Ctl, broker: int) -> None:
    gate.status()
    with FakeGate(broker, "south") as south:
        south.status(online=False, state="offline")
    assert run("ping", "--gate", "all")[0] == 0
    code, _, err = run("revoke", "E1042", "--gate", "all")
    assert code == 3 and "E1042 may still be accepted: no answer from south" in err


@pytest.mark.broker
def test_another_command_without_an_answer_says_nothing_of_that(gate: FakeGate, run: Ctl) -> None:
    gate.silent = True
    code, _, err = run("resume", "E1042", "--timeout", "0.5")
    assert code == 3 and "may still be accepted" not in err


# ---- the key for pictures of unknown people


def test_a_key_for_visitors_is_one_that_the_configuration_takes_and_no_key_for_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key_file: Path
) -> None:
    path = tmp_path / "desk.key"
    assert ctl.main(["keygen", "--visitors", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    config = parse({"site": "acme", "gates": {"north": {"source": "x"}}, **tomllib.loads(out)})
    key = read_visitor_key(path)
    assert config.decision.share_unknown == 15 and config.decision.share_unknown_to == sealed_box.public_text(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text().split()[1] not in out
    with pytest.raises(ClientError, match="does not hold a key for commands"):
        read_signer(path)
    with pytest.raises(ClientError, match="does not hold a key for pictures"):
        read_visitor_key(key_file)
    path.chmod(0o644)
    with pytest.raises(ClientError, match="others may read the key"):
        read_visitor_key(path)
    with pytest.raises(ClientError, match="No such file"):
        read_visitor_key(tmp_path / "absent.key")
    assert ctl.main(["--json", "keygen", "--visitors", "--out", str(tmp_path / "second.key")]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["public"] == sealed_box.public_text(read_visitor_key(tmp_path / "second.key"))
