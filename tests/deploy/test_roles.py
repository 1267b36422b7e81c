"""Who may do what at the broker: measured with the files of deploy/, and the same as the table in deploy/README.md."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.commands.deferred import Deferred
from daemon.commands.desk import Desk
from daemon.core import contract
from daemon.core.messages import LANES
from daemon.edges.store import open_store
from tests.fixtures.deployed import DEPLOY, GATES, ROLES, TEST, Visitor, deployed, logins_of, run
from tests.fixtures.desk import NOW, command, desk, painted
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.signers import GRANTS, key, signed

SAYS = tuple(contract.SAYS)
LOGINS = (*ROLES, "stranger")
PLACES = {"acme/north": "north", "acme/south": "south", "acme/all": "all", "beta/north": "beta"}


@pytest.fixture
def broker_with_roles(tmp_path: Path, mosquitto_installed: None) -> Iterator[Mosquitto]:
    with deployed(tmp_path) as running:
        yield running


def topics() -> dict[tuple[str, str], str]:
    """The topics of the contract by place and leaf, also those of another site."""
    return {(name, leaf): f"ostiary/v1/{place}/{leaf}" for place, name in PLACES.items() for leaf in (*SAYS, *LANES)}


def measured(port: int) -> dict[str, tuple[set[tuple[str, str]], set[tuple[str, str]]]]:
    """For each login: where it may publish, and what it hears when everything is published."""
    said: dict[str, set[tuple[str, str]]] = {}
    listeners = {}
    for login in LOGINS:
        visitor = Visitor(port, login)
        said[login] = {where for where, topic in topics().items() if visitor.may_say(topic)}
        visitor.leave()
        listeners[login] = Visitor(port, login)
        listeners[login].listen("#", "$SYS/#", *topics().values())
        listeners[login].heard.clear()
    speaker = Visitor(port, TEST)
    for topic in topics().values():
        assert speaker.may_say(topic)
    speaker.leave()
    heard = {}
    for login, listener in listeners.items():
        listener.loop_until(lambda: False, 0.5)
        heard[login] = {where for where, topic in topics().items() if topic in listener.heard}
        assert any(topic.startswith("$SYS/") for topic in listener.heard) is (login == "admin"), login
        listener.leave()
    return {login: (said[login], heard[login]) for login in LOGINS}


def cell(leaf: str, said: set[tuple[str, str]], heard: set[tuple[str, str]]) -> str:
    """What a login may do with a kind of message, in words."""
    words = {frozenset(): "", frozenset({"north"}): "", frozenset({"north", "all"}): "", frozenset({"north", "south"}): " everywhere"}
    words[frozenset({"north", "south", "all"})] = " everywhere"
    parts = []
    for verb, done in (("publishes", said), ("reads", heard)):
        places = frozenset(place for place, kind in done if kind == leaf)
        assert places in words, f"{leaf} {verb} {sorted(places)}"
        if places:
            parts.append(verb + words[places])
    return ", ".join(parts) or "–"


def table(rights: dict[str, tuple[set[tuple[str, str]], set[tuple[str, str]]]]) -> list[str]:
    """The table of deploy/README.md."""
    rows = [f"| topic | {' | '.join(f'`{login}`' for login in ROLES)} |", "|---" * (len(ROLES) + 1) + "|"]
    for leaf in (*SAYS, *LANES):
        rows.append(f"| `{leaf}` | {' | '.join(cell(leaf, *rights[login]) for login in ROLES)} |")
    return rows


@pytest.mark.broker
def test_the_table_of_the_roles_is_what_the_broker_does(broker_with_roles: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    rights = measured(broker_with_roles.port)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(table(rights)) + "\n")
    said, heard = rights["stranger"]
    assert not said and not heard, "a login without a section may do nothing"
    assert not [where for login in LOGINS for done in rights[login] for where in done if where[0] == "beta"], "nor may anybody elsewhere"
    text = (DEPLOY / "README.md").read_text("utf-8")
    shown = text.split("| topic |", 1)[1].split("\n\n", 1)[0]
    assert ("| topic |" + shown).splitlines() == table(rights)


@pytest.mark.broker
def test_nobody_comes_in_without_the_password_of_the_login(broker_with_roles: Mosquitto) -> None:
    for user, password, refused in (
        (None, None, True), ("gate-north", "secret of gate-south", True), ("mallory", "x", True), ("gate-+", "x", True),
        ("gate-north", None, False), ("admin", None, False),
    ):  # fmt: skip
        visitor = Visitor(broker_with_roles.port, user, password)
        assert visitor.refused[0] is refused, user
        visitor.leave()


@pytest.mark.broker
def test_a_last_will_does_not_speak_for_another_gate(broker_with_roles: Mosquitto) -> None:
    listener = Visitor(broker_with_roles.port, TEST)
    listener.listen("ostiary/#")
    for gate in ("north", "south"):
        Visitor(broker_with_roles.port, "gate-north", will=f"ostiary/v1/acme/{gate}/status").leave(rudely=True)
    listener.loop_until(lambda: bool(listener.heard))
    listener.loop_until(lambda: False, 0.5)
    assert listener.heard == ["ostiary/v1/acme/north/status"]
    listener.leave()


@pytest.mark.broker
def test_nobody_fills_the_broker_with_retained_messages_of_gates_that_do_not_exist(broker_with_roles: Mosquitto) -> None:
    for login in LOGINS:
        visitor = Visitor(broker_with_roles.port, login)
        for place in ("acme/attic", "acme/+", "acme", "beta/all"):
            for leaf in (*SAYS, *LANES, "command/other"):
                if "+" not in place:
                    assert not visitor.may_say(f"ostiary/v1/{place}/{leaf}"), (login, place, leaf)
        visitor.leave()


def test_a_gate_may_publish_what_the_contract_says_and_no_more() -> None:
    section = (DEPLOY / "mosquitto.acl").read_text("utf-8").split("user gate-north", 1)[1].split("\n\n", 1)[0]
    allowed = re.findall(r"^topic write ostiary/v1/acme/north/(\S+)$", section, re.M)
    assert allowed == [leaf.replace("{id}", "+") for leaf in SAYS]


def test_the_access_list_is_the_output_of_its_script() -> None:
    assert (DEPLOY / "mosquitto.acl").read_text("utf-8") == run("make-acl.sh", "acme", "north")
    assert set(logins_of(run("make-acl.sh", "acme", *GATES))) == {*ROLES, "gate-south", "badge-south", "door-south"}


@pytest.mark.parametrize(
    "arguments", [(), ("acme",), ("acme", "all"), ("acme", "a/b"), ("acme", "north\nuser x"), ("ac+me", "north"), ("acme", "")]
)
def test_the_script_of_the_access_list_refuses_what_is_no_name(arguments: tuple[str, ...]) -> None:
    refused = subprocess.run(["bash", str(DEPLOY / "make-acl.sh"), *arguments], capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stdout == "" and refused.stderr.count("make-acl.sh") == 1


# ---- what the gate does with it

KEYS = {
    "hr-1": key("hr-1"),
    "north-desk": key("north-desk", ops=LANES["command/enrolment"] | LANES["command/revoke"]),
    "badge": key("badge", ops=frozenset({"verify"}), gates=("north",), grants=frozenset({"verify"})),
}
HOLDERS = {"admin": "hr-1", "hr": "north-desk", "console": "north-desk", "badge-north": "badge"}
"""What the gate's configuration says of keys, and which login has which."""

NOT_TAKEN = {"unsigned", "unknown_key", "bad_signature", "wrong_topic", "not_authorised", "wrong_gate", "not_granted"}


class Gate:
    """The gate north behind the broker: its login, and a desk that answers."""

    def __init__(self, port: int, the_desk: Desk) -> None:
        self._desk = the_desk
        self._visitor = Visitor(port, "gate-north")
        self._visitor.listen(*(f"ostiary/v1/acme/{place}/{lane}" for place in ("north", "all") for lane in LANES))

    def takes(self) -> bool:
        """Whether it carries out the next command that comes."""
        self._visitor.heard.clear()
        self._visitor.payloads.clear()
        self._visitor.loop_until(lambda: bool(self._visitor.heard))
        ((topic, payload),) = zip(self._visitor.heard, self._visitor.payloads, strict=True)
        answer = self._desk.handle("north", "ostiary/v1/acme/north/result", payload, False, NOW + 1, topic)
        return isinstance(answer, Deferred) or answer.result.reason not in NOT_TAKEN

    def leave(self) -> None:
        self._visitor.leave()


def taken(port: int, the_desk: Desk, login: str, *, signs: bool) -> set[str]:
    """The commands that a login brings about at gate north, whichever topic it tries."""
    gate, visitor, found = Gate(port, the_desk), Visitor(port, login), set()
    for lane in LANES:
        for op in sorted(LANES["command"]):
            topic = f"ostiary/v1/acme/north/{lane}"
            about: dict[str, Any] = {} if op in ("list", "ping", "reembed", "resync") else {"person": "E1"}
            about |= {"name": "Ada"} if op == "update" else {}
            payload = command(op, images=[painted(100)] if op == "enroll" else None, **about)
            if signs and login in HOLDERS:
                payload = signed(HOLDERS[login], payload, topic)
            if visitor.say(topic, payload) != "Not authorized" and gate.takes():
                found.add(op)
    gate.leave()
    visitor.leave()
    return found


@pytest.mark.broker
def test_the_table_of_commands_is_what_the_gate_does(broker_with_roles: Mosquitto, tmp_path: Path) -> None:
    words = {frozenset(): "nothing", LANES["command"]: "everything"}
    rows = ["| login | gate without keys | gate with keys, not signed | gate with keys, signed with its own |", "|---|---|---|---|"]
    for login in LOGINS:
        cells = []
        for number, (keys, signs) in enumerate((({}, False), (KEYS, False), (KEYS, True))):
            store = open_store(tmp_path / f"{login}-{number}")
            ops = taken(broker_with_roles.port, desk(store, GRANTS, keys=keys), login, signs=signs)
            cells.append(words.get(frozenset(ops)) or ", ".join(f"`{op}`" for op in sorted(ops)))
            store.close()
        rows.append(f"| {'another' if login == 'stranger' else f'`{login}`'} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(rows) + "\n")
    text = (DEPLOY / "README.md").read_text("utf-8")
    assert "\n".join(rows) in text
