"""A real Home Assistant with the gate's discovery messages, and with the blueprint that opens a lock."""

import json
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.core.home_assistant import Options, discovery
from daemon.core.messages import (
    DecisionMessage,
    Enroll,
    MessageError,
    StatusMessage,
    encode,
    offline_status,
    parse_command,
    topic,
    utc,
)
from tests.fixtures.deployed import Visitor, deployed
from tests.fixtures.home_assistant import FILES, HomeAssistant
from tests.fixtures.running import configure, daemon_running

pytestmark = pytest.mark.broker

EVERYTHING = Options(prefix="homeassistant", version="1.2.3", names=True, capture=True)
GATES = {"north": "north", "b.2": "b_2", "c-c_c": "c_c_c", "x" * 64: "x" * 64}
"""Gates, and what Home Assistant makes of their names."""
NAMES = ['O\'Brien "Bob"', "{{ states('lock.door') }}{% set x = 1 %}", '","event_type":"accept', "none", "\\n\u2028<b>ÄÖ", "n" * 200]
MEMORY = "input_text/ostiary_north"


def decided(sequence: int, decision: str = "accept", *, at: float | None = None, **more: Any) -> DecisionMessage:
    at = time.time() if at is None else at
    known = {
        "event_id": str(uuid.uuid4()), "sequence": sequence, "previous": sequence - 1, "boot_id": "b", "gate": "north", "passage": "p",
        "supersedes": None, "decision": decision, "reason": "matched", "person": "E1042", "captured_at": utc(at), "decided_at": utc(at),
        "valid_until": utc(at + 9), "live": True, "liveness": "not_evaluated", "faces_in_view": 1, "model": "m", "gallery_revision": 1,
        "policy": "p",
    }  # fmt: skip
    return DecisionMessage(**{**known, **more})


def online(state: str = "serving", *reasons: str, **more: Any) -> StatusMessage:
    known = {"online": True, "state": state, "reasons": list(reasons), "camera": "up", "people": 3, "at": utc(time.time())}
    return msgspec.structs.replace(offline_status("1"), **{**known, **more})


# ---- what it finds


def tell(ha: HomeAssistant, gate: str) -> Callable[[str, msgspec.Struct], None]:
    """Home Assistant finds a gate. Returns what says something as that gate."""
    for place, config in discovery("acme", gate, EVERYTHING).items():
        ha.say(place, msgspec.json.encode(config), retain=True)

    def say(leaf: str, message: msgspec.Struct) -> None:
        ha.say(topic("acme", gate, leaf), encode(message), retain=leaf == "status")

    return say


def test_gates_with_any_name_and_people_with_any_name(home_assistant: Callable[..., HomeAssistant], broker: int) -> None:
    ha = home_assistant(broker)
    ha.start()
    gates = {made: tell(ha, gate) for gate, made in GATES.items()}
    for made, say in gates.items():
        gate = f"ostiary_gate_{made}"
        ha.shows(f"sensor/{gate}_people", "unavailable")
        say("status", online())
        ha.shows(f"sensor/{gate}_state", "serving")
        ha.shows(f"sensor/{gate}_people", "3")
        ha.shows(f"sensor/{gate}_outbox", "0")
        ha.shows(f"binary_sensor/{gate}_camera", "on")
        ha.shows(f"binary_sensor/{gate}_problem", "off")
        for name in ("capture", "employee_number", "decision", "last_person", "last_enrolment"):
            domain = {"capture": "button", "employee_number": "text", "decision": "event"}.get(name, "sensor")
            ha.shows(f"{domain}/{gate}_{name}", "unknown")
    say, gate = gates["north"], "ostiary_gate_north"

    say("status", online("degraded", "uncalibrated: nobody has measured this gate"))
    ha.shows(f"sensor/{gate}_state", "degraded")
    ha.settle()
    ha.shows(f"binary_sensor/{gate}_problem", "off")
    say("status", online("degraded", "uncalibrated: x", "camera_down: no picture comes", camera="down", outbox_depth=-1))
    ha.shows(f"binary_sensor/{gate}_problem", "on")
    ha.shows(f"binary_sensor/{gate}_camera", "off")
    ha.shows(f"sensor/{gate}_outbox", "unknown")
    ha.shows(f"sensor/{gate}_state", '["uncalibrated: x", "camera_down: no picture comes"]', "reasons")

    for sequence, name in enumerate(NAMES, 10):
        said = decided(sequence, name=name)
        say("decision", said)
        ha.shows(f"sensor/{gate}_last_person", name)
        ha.shows(f"event/{gate}_decision", '"accept"', "event_type")
        ha.shows(f"event/{gate}_decision", str(sequence), "sequence")
        ha.shows(f"event/{gate}_decision", json.dumps(name), "name")
        ha.shows(f"event/{gate}_decision", json.dumps(said.event_id), "event_id")
    say("decision", decided(20, name=None))
    ha.shows(f"sensor/{gate}_last_person", "E1042")  # nobody's name is known: the number
    say("decision", decided(21, "unknown", person=None, reason="no_match", name=None))
    ha.shows(f"event/{gate}_decision", '"unknown"', "event_type")
    say("decision", decided(22, live=False, name="too late"))
    ha.shows(f"event/{gate}_decision", "false", "live")
    ha.settle()
    ha.shows(f"sensor/{gate}_last_person", "E1042")
    last = decided(23, name="Eve")
    say("decision", last)
    ha.shows(f"sensor/{gate}_last_person", "Eve")
    say("decision", decided(24, "reject", reason="ambiguous", supersedes=last.event_id, name=None))
    ha.shows(f"sensor/{gate}_last_person", "unknown")

    say("status", offline_status("1"))
    ha.shows(f"sensor/{gate}_state", "offline")
    for entity in ("event/X_decision", "sensor/X_last_person", "sensor/X_people", "binary_sensor/X_camera", "button/X_capture"):
        ha.shows(entity.replace("X", gate), "unavailable")
    assert ha.complaints() == []


def test_a_real_gate_its_button_and_its_end(home_assistant: Callable[..., HomeAssistant], broker: int, tmp_path: Path) -> None:
    ha = home_assistant(broker)
    ha.start()
    source = Path("/dev/video77")
    south = f'[gates.south]\nsource = "{source}"\n'
    asked = f'{south}[commands]\ngrants = ["capture"]\n[home_assistant]\nenabled = true\ncapture_button = true\n'
    with daemon_running(configure(tmp_path, broker, source, extra=asked)) as gate:
        for name in ("north", "south"):
            ha.shows(f"sensor/ostiary_gate_{name}_state", "degraded")
            ha.shows(f"binary_sensor/ostiary_gate_{name}_problem", "on")
            ha.shows(f"binary_sensor/ostiary_gate_{name}_camera", "off")
            ha.shows(f"sensor/ostiary_gate_{name}_people", "0")
            ha.shows(f"button/ostiary_gate_{name}_capture", "unknown")
            ha.shows(f"text/ostiary_gate_{name}_employee_number", "unknown")

        def pressed(gate: str) -> Enroll:
            to = topic("test", gate, "command/enrolment")
            before = sum(place == to for place, _ in ha.heard)
            ha.call("button.press", entity_id=f"button.ostiary_gate_{gate}_capture")
            ha.wait(lambda: sum(place == to for place, _ in ha.heard) > before)
            command = parse_command([payload for place, payload in ha.heard if place == to][-1])
            assert isinstance(command, Enroll)
            return command

        with pytest.raises(MessageError, match="malformed"):  # the field is empty, and nobody is called `unknown`
            pressed("north")
        ha.shows("sensor/ostiary_gate_north_last_enrolment", '"malformed"', "reason")
        ha.call("text.set_value", entity_id="text.ostiary_gate_north_employee_number", value="E1042")
        ha.call("text.set_value", entity_id="text.ostiary_gate_south_employee_number", value="0007")
        ha.shows("text/ostiary_gate_north_employee_number", "E1042")
        ha.shows("text/ostiary_gate_south_employee_number", "0007")
        commands = [pressed("north"), pressed("north"), pressed("south")]
        assert [command.person for command in commands] == ["E1042", "E1042", "0007"]
        assert len({command.command_id for command in commands}) == 3
        for command in commands:
            assert command.capture is not None and command.images is None and not command.force
            assert abs(command.issued_at.timestamp() - time.time()) < 60 and (command.expires_at - command.issued_at).total_seconds() < 61
        for name in ("north", "south"):
            ha.shows(f"sensor/ostiary_gate_{name}_last_enrolment", "refused")
            ha.shows(f"sensor/ostiary_gate_{name}_last_enrolment", '"no_camera"', "reason")
        gate.kill()
        for name in ("north", "south"):
            ha.shows(f"sensor/ostiary_gate_{name}_state", "offline")
            ha.shows(f"button/ostiary_gate_{name}_capture", "unavailable")
    with daemon_running(configure(tmp_path, broker, source, extra=south)):
        ha.wait(lambda: not any("ostiary" in entity for entity in ha.entities() or ["ostiary"]), 0.3)
    assert ha.complaints() == []


# ---- the broker's access list


def lines_of_the_readme() -> str:
    """What deploy/home-assistant/README.md adds to the broker's access list."""
    text = (FILES / "README.md").read_text("utf-8")
    return "\n".join(line.strip() for line in re.findall(r"^    (?:user|topic) .+$", text, re.M)) + "\n"


def test_the_lines_of_the_readme_let_it_in_and_no_other_gate_under_its_name(mosquitto_installed: None, tmp_path: Path) -> None:
    with deployed(tmp_path, ("gate-north", "gate-south", "display", "home-assistant")) as broker:
        (tmp_path / "ostiary.acl").write_text((tmp_path / "ostiary.acl").read_text() + lines_of_the_readme())
        broker.stop()
        broker.start()
        mine, others = (next(iter(discovery("acme", gate, EVERYTHING))) for gate in ("north", "north-2"))
        may = {
            "gate-north": ([*discovery("acme", "north", EVERYTHING)], [others]),
            "gate-south": ([], [mine]),
            "display": ([], [mine, "homeassistant/status"]),
            "home-assistant": (
                ["homeassistant/status", "ostiary/v1/acme/north/command/enrolment", "homeassistant/text/ostiary-acme-north/person/set"],
                [mine, "ostiary/v1/acme/north/decision", "ostiary/v1/acme/north/command/revoke", "ostiary/v1/acme/north/command"],
            ),
        }
        for login, (allowed, forbidden) in may.items():
            visitor = Visitor(broker.port, login)
            assert (
                [topic for topic in allowed if not visitor.may_say(topic)] == [] == [topic for topic in forbidden if visitor.may_say(topic)]
            )
            visitor.leave()
        ear, gate = Visitor(broker.port, "home-assistant"), Visitor(broker.port, "gate-north")
        ear.listen("homeassistant/#", "ostiary/v1/acme/+/decision", "ostiary/v1/acme/+/status", "ostiary/v1/acme/+/result")
        said = [mine, *(f"ostiary/v1/acme/north/{leaf}" for leaf in ("decision", "status", "result"))]
        for topic in said:
            gate.say(topic)
        ear.loop_until(lambda: len(ear.heard) == len(said))
        assert ear.heard == said
        for visitor in (ear, gate):
            visitor.leave()


# ---- the blueprint that opens a lock


def package(gate: str, *, blueprint: bool = True, persons: str = "[]", room: int = 100, memory: str | None = None) -> str:
    """deploy/'s package for a gate with a lock of its own. Without `blueprint` its automation is the blueprint's text, as its head says."""
    text = (FILES / "package.yaml").read_text("utf-8").replace("max: 100", f"max: {room}").replace("north", gate)
    text = text.replace("lock.door", f"lock.{gate}") + f"        persons: {persons}\n"
    if memory is not None:
        text = text.replace(f"memory: input_text.ostiary_{gate}", f"memory: {memory}")
    if not blueprint:
        values = {"site": "acme", "gate": gate, "lock": f"lock.{gate}", "memory": f"input_text.ostiary_{gate}", "persons": persons}
        own = re.sub(r"!input (\w+)", lambda found: values[found[1]], (FILES / "open-lock.yaml").read_text("utf-8").split("\nmode:", 1)[1])
        head = text.split("    use_blueprint:", 1)[0]
        text = head + "".join(f"    {line}\n" for line in f"mode:{own}".splitlines())
    return f"{text}\nmqtt:\n  lock:\n    - name: {gate}\n      command_topic: lock/{gate}\n      optimistic: true\n"


CHECKED = {"gate", "sequence", "event_id", "decision", "live", "clock_trusted", "person", "decided_at", "valid_until"}


def test_the_lock_opens_by_the_rules_of_the_contract_and_by_nothing_else(
    home_assistant: Callable[..., HomeAssistant], broker: int
) -> None:  # fmt: skip
    """Gate north has the blueprint, south the same without blueprints, east some people only; the memories of the others keep nothing."""
    gates = ("north", "south", "east", "west", "none")
    ha = home_assistant(
        broker, north=package("north"), south=package("south", blueprint=False), east=package("east", persons='["007", E1042]'),
        west=package("west", room=10), none=package("none", memory="input_text.nobody"),
    )  # fmt: skip
    ha.start()

    def hear(*messages: DecisionMessage | bytes, to: tuple[str, ...] = ("north", "south")) -> list[str]:
        """What the locks of these gates are told to do after all of them have heard this; the same for all."""
        before = len(ha.heard)
        for gate in to:
            for one in messages:
                message = encode(msgspec.structs.replace(one, gate=gate)) if isinstance(one, DecisionMessage) else one
                ha.say(topic("acme", gate, "decision"), message.replace(b"HERE", gate.encode()))
        for _ in range(4):  # an automation runs aside, in several steps
            ha.settle()
        told = {gate: [said.decode() for place, said in ha.heard[before:] if place == f"lock/{gate}"] for gate in gates}
        assert not any(told[gate] for gate in gates if gate not in to)
        (same,) = {tuple(told[gate]) for gate in to}
        return list(same)

    now, first = time.time, decided(5)
    assert hear(first) == ["UNLOCK"]
    assert hear(first) == [], "it came again"
    assert hear(decided(5), decided(4)) == [], "it is old"
    wrong = (
        decided(10, "reject"), decided(11, "unknown", person=None), decided(12, live=False), decided(13, clock_trusted=False),
        decided(14, at=now() - 10), decided(15, at=now() + 30), decided(16, valid_until=utc(now() + 3600)), decided(17, person=None),
        decided(18, valid_until="never"), decided(19, valid_until="2026-99-99T99:99:99.000Z"), decided(20, event_id="x y z"),
    )  # fmt: skip
    assert hear(*wrong) == []
    assert hear(encode(decided(40, gate="elsewhere"))) == []
    whole = json.loads(encode(decided(50, gate="HERE")))
    values: tuple[object, ...] = (None, True, [], {}, "{{ 1 }}", 5000.5)
    changed = [json.dumps({**whole, key: value}).encode() for key in CHECKED for value in values if (key, value) != ("live", True)]
    lacking = [json.dumps({name: whole[name] for name in whole if name != key}).encode() for key in CHECKED]
    hostile = [b"", b"null", b"[]", b"\xff\xfe", b"{{ states }}", b"9" * 5000, *changed, *lacking]
    for some in range(0, len(hostile), 10):  # a few at a time: more would find the queue full
        assert hear(*hostile[some : some + 10]) == []
    assert hear(decided(60, "reject"), decided(59)) == [], "an older one opens nothing after a newer one"
    opened = decided(70)
    assert hear(opened) == ["UNLOCK"]
    assert hear(decided(71, "reject", supersedes=opened.event_id, live=False, at=now() - 60)) == ["LOCK"], "a relock is never late"
    assert hear(decided(72, "reject", supersedes=first.event_id)) == []

    assert hear(decided(1, person="007"), to=("east",)) == hear(decided(2), to=("east",)) == ["UNLOCK"]
    assert hear(decided(3, person="7"), decided(4, person="E104"), decided(5, person="007 "), to=("east",)) == []
    assert hear(decided(1), to=("west", "none")) == [], "where it cannot be kept that an accept was used, it opens nothing"

    # After a restart the same opens nothing, nor does what the broker retained: one was used, the time of the other is up.
    last = decided(80, valid_until=utc(now() + 9))
    assert hear(last) == ["UNLOCK"]
    ha.stop()
    before = len(ha.heard)
    for gate, one in (("north", decided(81, valid_until=utc(now() + 1))), ("south", last)):
        ha.say(topic("acme", gate, "decision"), encode(msgspec.structs.replace(one, gate=gate)), retain=True)
    ha.start()
    assert hear(last, decided(79)) == []
    assert not [place for place, _ in ha.heard[before:] if place.startswith("lock/")]
    assert ha.seen["input_text/ostiary_north/state"].startswith("8"), "it knows what it saw"
    assert hear(decided(90)) == ["UNLOCK"]
