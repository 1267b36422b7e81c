"""ostiaryctl against a real broker and a small gate that answers as a gate would."""

import base64
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.core import messages as m
from daemon.core.messages import DecisionMessage, PersonEntry, Result, StatusMessage
from daemon.ctl import __main__ as ctl
from daemon.ctl.arguments import parser
from daemon.ctl.commands import build
from tests.fixtures.mosquitto import Mosquitto, free_port, make_certificates

JPEG = b"\xff\xd8\xff\xe0 not really a picture"


class Gate:
    """A gate without a camera: remembers commands, answers them with what `answer` makes of them."""

    def __init__(self, port: int, name: str = "north") -> None:
        self.name = name
        self.commands: list[Any] = []
        self.answer: Callable[[m.Command], dict[str, Any]] = lambda command: {}
        self.silent = False
        self.answer_after_s = 0.0
        ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"gate-{name}", protocol=paho.MQTTv5)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *args: ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe([(t, 1) for t in m.command_topics("acme", name)])
        assert ready.wait(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_message = self.client.on_subscribe = None

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        command = m.parse_command(bytes(message.payload))
        self.commands.append(command)
        if self.silent:
            return
        stranger = Result(
            command_id="6b1f6f0e-0000-4000-8000-000000000000",
            op="ping",
            status="failed",
            reason=None,
            detail="somebody else's",
            person=None,
            gallery_revision=1,
            took_ms=1.0,
        )
        self.say("result", m.encode(stranger))
        time.sleep(self.answer_after_s)
        fields: dict[str, Any] = {
            "command_id": str(command.command_id),
            "op": "x",
            "status": "done",
            "reason": None,
            "detail": None,
            "person": getattr(command, "person", None),
            "gallery_revision": 94,
            "took_ms": 12.5,
        }
        self.say("result", m.encode(Result(**fields | self.answer(command))))

    def say(self, leaf: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(m.topic("acme", self.name, leaf), payload, qos=1, retain=retain)

    def status(self, **fields: Any) -> None:
        good: dict[str, Any] = {
            "online": True,
            "state": "serving",
            "reasons": [],
            "at": m.utc(time.time()),
            "boot_id": "b",
            "camera": "up",
            "model": "faces",
            "provider": "cpu",
            "people": 3,
            "templates": 7,
            "gallery_revision": 94,
            "threshold": 0.42,
            "outbox_depth": 0,
            "version": "0.1.0",
        }
        self.client.publish(m.topic("acme", self.name, "status"), m.encode(StatusMessage(**good | fields)), 1, True).wait_for_publish(5)


@pytest.fixture
def gate(broker: int) -> Iterator[Gate]:
    made = Gate(broker)
    yield made
    made.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)
    return path


@pytest.fixture
def run(broker: int, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*args: str) -> tuple[int, str, str]:
        code = ctl.main(["--port", str(broker), "--site", "acme", "--gate", "north", *args])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def decision(**fields: Any) -> bytes:
    now = m.utc(time.time())
    usual: dict[str, Any] = {
        "event_id": "e",
        "sequence": 1,
        "previous": 0,
        "boot_id": "b",
        "gate": "north",
        "passage": "p",
        "supersedes": None,
        "decision": "accept",
        "reason": "matched",
        "person": "E1042",
        "captured_at": now,
        "decided_at": now,
        "valid_until": now,
        "live": True,
        "liveness": "not_evaluated",
        "faces_in_view": 1,
        "model": "faces",
        "gallery_revision": 93,
        "policy": "d",
    }
    return m.encode(DecisionMessage(**usual | fields))


# ---- commands


@pytest.mark.broker
def test_enrol_sends_everything_and_waits_for_its_own_answer(gate: Gate, run: Callable[..., tuple[int, str, str]], photo: Path) -> None:
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
def test_person_commands(gate: Gate, run: Callable[..., tuple[int, str, str]], op: str) -> None:
    assert run(op, "E1042")[0] == 0
    assert type(gate.commands[0]).__name__.lower() == op
    assert gate.commands[0].person == "E1042"


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_ping_as_json_with_options_behind_the_command(gate: Gate, run: Callable[..., tuple[int, str, str]], protocol: str) -> None:
    code, out, _ = run("ping", "--json", "--protocol", protocol, "--timeout", "5")
    assert code == 0
    assert json.loads(out)["command_id"] == str(gate.commands[0].command_id)


@pytest.mark.broker
def test_a_refusal_is_exit_code_1_with_its_reason(gate: Gate, run: Callable[..., tuple[int, str, str]], photo: Path) -> None:
    gate.answer = lambda command: {"status": "refused", "reason": "no_face", "detail": "image 1 shows no face\x1b[2J"}
    code, out, _ = run("enroll", "E1042", "--image", str(photo))
    assert code == 1
    assert "✗ north enroll E1042 refused  no_face: image 1 shows no face" in out
    assert "\x1b" not in out


@pytest.mark.broker
def test_a_capture_is_short_lived_and_gets_its_seconds_on_top_of_the_waiting(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    gate.answer_after_s = 1.3
    code, out, _ = run("enroll", "E1042", "--capture", "1.5", "--force", "--replace", "--name", "Ada", "--timeout", "1")
    assert code == 0
    assert "enroll E1042 done" in out
    (command,) = gate.commands
    assert isinstance(command, m.Enroll)
    assert command.images is None
    assert command.capture == m.Capture(seconds=1.5)
    assert (command.force, command.replace, command.name) == (True, True, "Ada")
    assert (command.expires_at - command.issued_at).total_seconds() == 15


@pytest.mark.broker
def test_update_sends_what_is_given_and_clears_what_is_to_be_cleared(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("update", "E1042", "--gate-allowed", "north", "--clear", "valid-until", "--clear", "name")[0] == 0
    (command,) = gate.commands
    assert isinstance(command, m.Update)
    assert (command.gates, command.valid_until, command.name) == (["north"], None, None)
    assert command.valid_from is msgspec.UNSET
    assert command.consent is msgspec.UNSET


@pytest.mark.broker
def test_get_shows_one_record(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    ada = PersonEntry(
        person="E2", name="Ada\x1b[31m", state="suspended", templates=3, enrolled_at="2026-11-21T22:55:00.123Z",
        valid_until="2026-12-31T12:00:00.000Z", gates=["north", "south"], consent="file 7",
    )  # fmt: skip
    gate.answer = lambda command: {"people": [ada]}
    code, out, _ = run("get", "E2")
    assert code == 0
    for word in ("E2", "Ada", "suspended", "3", "until 2026-12-31", "north, south", "file 7"):
        assert word in out
    assert "\x1b" not in out
    assert json.loads(run("get", "E2", "--json")[1])["people"][0]["consent"] == "file 7"
    gate.answer = lambda command: {"status": "refused", "reason": "unknown_person", "detail": "nobody is enrolled under this id"}
    code, out, _ = run("get", "E3")
    assert code == 1
    assert "unknown_person" in out


@pytest.mark.broker
def test_a_limited_list_says_how_to_go_on(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    people = [PersonEntry(person=f"E{n}", name=None, state="active", templates=1, enrolled_at="2026-11-21T22:55:00.123Z") for n in range(3)]
    gate.answer = lambda command: {"people": people[: command.limit], "next_after": "E1"}  # type: ignore[union-attr]
    code, out, _ = run("list", "--after", "E", "--limit", "2")
    assert code == 0
    assert "2 people" in out
    assert "--after E1" in out
    assert [(c.after, c.limit) for c in gate.commands] == [("E", 2)]
    assert json.loads(run("list", "--limit", "2", "--json")[1])["next_after"] == "E1"


@pytest.mark.broker
def test_list_pages_through_all(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    people = [PersonEntry(person=f"E{n}", name=None, state="active", templates=2, enrolled_at="2026-11-21T22:55:00.123Z") for n in range(3)]
    people[2] = PersonEntry(
        person="E2",
        name="Ada",
        state="suspended",
        templates=1,
        enrolled_at="2026-11-21T22:55:00.123Z",
        valid_until="2026-12-31T22:59:59.999Z",
        gates=["north"],
    )

    def page(command: m.Command) -> dict[str, Any]:
        assert isinstance(command, m.List)
        return {"people": people[:2], "next_after": "E1"} if command.after is None else {"people": people[2:]}

    gate.answer = page
    code, out, _ = run("list")
    assert code == 0
    assert "3 people, 5 templates" in out
    assert "suspended" in out
    assert "until 2026-12-31" in out
    assert [c.after for c in gate.commands] == [None, "E1"]
    listed = json.loads(run("list", "--json")[1])
    assert [p["person"] for p in listed["people"]] == ["E0", "E1", "E2"]


@pytest.mark.broker
def test_a_command_to_all_gates_waits_for_those_that_are_online(broker: int, gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    south = Gate(broker, "south")
    try:
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
    finally:
        south.close()


@pytest.mark.broker
def test_silence_is_exit_code_3_and_says_what_is_known(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    gate.silent = True
    code, _, err = run("ping", "--timeout", "0.3")
    assert code == 3
    assert "nothing was ever heard of gate north" in err
    gate.status(online=False, state="offline")
    assert "gate north is offline" in run("ping", "--timeout", "0.3")[2]
    gate.status()
    code, out, _ = run("ping", "--timeout", "0.3", "--json")
    assert code == 3
    assert "busy" in json.loads(out)["hint"]


@pytest.mark.broker
def test_a_change_of_model_shows_how_far_it_has_come_and_is_waited_for(gate: Gate, run: Callable[..., tuple[int, str, str]]) -> None:
    def work() -> None:
        while not gate.commands:
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
    worker = threading.Thread(target=work)
    worker.start()
    code, out, err = run("reembed", "--model", "faces-2", "--timeout", "1.4")
    worker.join()
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


# ---- bad input, bad brokers


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["enroll", "E1042", "--image", "nowhere.jpg"], "nowhere.jpg: No such file"),
        (["enroll", "E1042", "--image", "."], "Is a directory"),
        (["enroll", "E1042", "--image", "picture.png"], "not a JPEG"),
        (["enroll", "E1042", "--image", "large.jpg"], "3.0 MB"),
        (["enroll", "E1042", "--image", "half.jpg", "--image", "half.jpg"], "send fewer or smaller images"),
        (["enroll", "E1042", *(["--image", "small.jpg"] * 11)], "11 images are too many"),
        (["enroll", "Ada Lovelace", "--image", "small.jpg"], "no employee number"),
        (["enroll", "E1042", "--image", "small.jpg", "--valid-from", "soon"], "no time like"),
        (["enroll", "E1042"], "--image"),
        (["enroll", "E1042", "--image", "small.jpg", "--capture", "5"], "not allowed with"),
        (["enroll", "E1042", "--capture", "31"], "no time for a capture"),
        (["enroll", "E1042", "--capture", "0"], "above 0"),
        (["update", "E1042"], "nothing is to be changed"),
        (["update", "E1042", "--name", "Ada", "--clear", "name"], "both given and cleared"),
        (["update", "E1042", "--clear", "templates"], "templates"),
        (["list", "--limit", "0"], "no number above 0"),
        (["suspend"], "PERSON"),
        (["open", "sesame"], "open"),
        ([], "COMMAND"),
        (["ping", "--site", "a/b"], "is no site"),
        (["ping", "--gate", "+"], "is no gate"),
        (["ping", "--gate", "a#"], "is no gate"),
        (["ping", "--port", "0"], "no port"),
        (["ping", "--timeout", "-1"], "above 0"),
        (["ping", "--timeout", "soon"], "above 0"),
        (["ping", "--password-file", "nowhere"], "cannot be read"),
        (["ping", "--ca-file", "nowhere.pem"], "TLS cannot be set up"),
        (["ping", "--config", "nowhere.toml"], "no such file"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(
    args: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("picture.png").write_bytes(b"\x89PNG\r\n")
    Path("small.jpg").write_bytes(JPEG)
    Path("half.jpg").write_bytes(JPEG + bytes(1_000_000))
    Path("large.jpg").write_bytes(JPEG + bytes(3_000_000))
    code = ctl.main(["--site", "acme", "--gate", "north", "--host", "127.0.0.1", "--port", str(free_port()), *args])
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 2
    assert err.splitlines()[1].startswith("  hint: ")


def test_no_broker_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["ping"], ["list"], ["status"], ["watch"]):
        assert ctl.main(["--site", "acme", "--gate", "north", "--port", str(free_port()), *command]) == 3
        assert "no broker at 127.0.0.1" in capsys.readouterr().err


def test_something_that_is_no_broker_is_not_waited_for_for_ever(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.ctl.broker.CONNECT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ctl.main(["--site", "acme", "--gate", "north", "--port", str(server.getsockname()[1]), "ping"]) == 3
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.broker
def test_refused_logins_and_commands_name_the_file_to_look_at(tmp_path: Path, broker: int, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passwords").write_text("")
    (tmp_path / "acl").write_text("topic read ostiary/#\n")
    locked = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {tmp_path / 'passwords'}\n").start()
    guarded = Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {tmp_path / 'acl'}\n").start()
    try:
        common = ["--site", "acme", "--gate", "north"]
        assert ctl.main([*common, "--port", str(locked.port), "ping"]) == 3
        assert "--password-file" in capsys.readouterr().err
        assert ctl.main([*common, "--port", str(guarded.port), "ping"]) == 1
        assert "ACL" in capsys.readouterr().err
    finally:
        locked.stop()
        guarded.stop()


@pytest.mark.broker
def test_the_daemons_configuration_tells_site_gate_and_broker(
    broker: int, gate: Gate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    gates = '[gates.north]\nsource = "/dev/video0"\n[gates.south]\nsource = "/dev/video1"\n'
    config.write_text(f'site = "acme"\n{gates}[mqtt]\nport = {broker}\n')
    assert ctl.main(["--config", str(config), "ping"]) == 0
    assert len(gate.commands) == 1
    assert ctl.main(["ping", "--config", str(config), "--gate", "south", "--timeout", "0.3"]) == 3
    # The daemon's password is not shown to the broker as somebody else's.
    config.write_text(f'site = "acme"\n{gates}[mqtt]\nport = {broker}\nusername = "ostiary"\npassword_file = "nowhere"\n')
    assert ctl.main(["--config", str(config), "--username", "somebody", "ping"]) == 0
    assert ctl.main(["--config", str(config), "ping"]) == 2
    capsys.readouterr()
    config.write_text("sitte = 1\n")
    assert ctl.main(["--config", str(config), "ping"]) == 2
    assert "did you mean `site`" in capsys.readouterr().err


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho leaves a socket to the collector when the handshake fails
def test_over_tls_with_a_certificate_of_ones_own(tmp_path: Path, broker: int, capsys: pytest.CaptureFixture[str]) -> None:
    files = make_certificates(tmp_path)
    options = f"allow_anonymous true\ncafile {files.ca}\ncertfile {files.server}\nkeyfile {files.server_key}\nrequire_certificate true\n"
    server = Mosquitto(tmp_path, options).start()
    try:
        common = ["--site", "acme", "--port", str(server.port), "status", "--timeout", "0.2", "--ca-file", str(files.ca)]
        assert ctl.main([*common, "--cert-file", str(files.client), "--key-file", str(files.client_key)]) == 3
        assert "no gate has said anything" in capsys.readouterr().err
        assert ctl.main([*common[:-1], str(files.other_ca)]) == 3
        assert "certificate verify failed" in capsys.readouterr().err
    finally:
        server.stop()


# ---- status and watch


@pytest.mark.broker
def test_status_shows_every_gate_and_tells_by_its_code(broker: int, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--site", "acme", "--port", str(broker), "status"]
    assert ctl.main([*common, "--timeout", "0.3"]) == 3
    assert "no gate has said anything" in capsys.readouterr().err
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


def watching(broker: int, gate: Gate, payloads: list[bytes], *args: str) -> int:
    """Run `watch` while the gate decides."""
    late = threading.Timer(0.7, lambda: [gate.client.publish(m.topic("acme", "north", "decision"), p, 1) for p in payloads])
    late.start()
    try:
        return ctl.main(["--site", "acme", "--port", str(broker), "watch", *args])
    finally:
        late.join()


@pytest.mark.broker
def test_watch_shows_decisions_gaps_and_changes_of_mind(broker: int, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    payloads = [
        decision(sequence=1),
        b"{}",
        decision(sequence=5, previous=4, decision="reject", reason="suspended", supersedes="e", name="Ada\x1b[31m"),
        decision(sequence=6, decision="unknown", reason="no_match", person=None, live=False, captured_at=m.utc(time.time() - 600)),
    ]
    assert watching(broker, gate, payloads, "--count", "3", "--seconds", "10") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "✓ accept" in lines[1]
    assert "E1042" in lines[1]
    assert "matched" in lines[1]
    assert "live" in lines[1]
    assert "is no decision" in lines[2]
    assert "decisions after 1 and before 5 were missed" in lines[3]
    assert "✗ reject" in lines[4]
    assert "↻" in lines[4]
    assert "\x1b" not in lines[4]
    assert "? unknown" in lines[5]
    assert "late" in lines[5]
    assert "10 min" in lines[5]


@pytest.mark.broker
def test_watch_outlives_a_restart_of_the_broker(broker: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Mosquitto(tmp_path).start()
    gates: list[Gate] = []

    def restart() -> None:
        own.stop()
        own.start()
        time.sleep(1.5)  # the watcher tries again after a second
        gates.append(Gate(own.port))
        gates[0].say("decision", decision())

    thread = threading.Timer(0.5, restart)
    thread.start()
    try:
        assert ctl.main(["--site", "acme", "--port", str(own.port), "watch", "--count", "1", "--seconds", "20"]) == 0
    finally:
        thread.join()
        for gate in gates:
            gate.close()
        own.stop()
    out = capsys.readouterr().out
    assert "trying again" in out
    assert "E1042" in out


@pytest.mark.broker
def test_watch_as_json_and_its_limits(broker: int, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert watching(broker, gate, [decision(), decision(sequence=2)], "--count", "2", "--seconds", "10", "--json") == 0
    assert [json.loads(line)["sequence"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    assert ctl.main(["--site", "acme", "--port", str(broker), "watch", "--seconds", "0.2"]) == 0
    capsys.readouterr()
    assert ctl.main(["--site", "acme", "--port", str(broker), "watch", "--seconds", "0.2", "--count", "1"]) == 3
    assert "0 of 1 decisions" in capsys.readouterr().err


@pytest.mark.broker
def test_ctrl_c_ends_it_without_a_word(broker: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.ctl.__main__", "--site", "acme", "--port", str(broker), "watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    process.stdout.readline()  # the heading: it is connected
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == ""


def test_images_travel_as_base64(photo: Path) -> None:
    args = parser(ctl._RUNS).parse_args(["enroll", "E1", "--image", str(photo)])
    assert base64.b64encode(JPEG) in m.encode(build(args))
