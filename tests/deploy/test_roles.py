"""Who may do what at the broker: measured with the files of deploy/, and the same as the table in deploy/README.md."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core.messages import LANES
from tests.fixtures.deployed import DEPLOY, GATES, ROLES, TEST, Visitor, deployed, logins_of, run
from tests.fixtures.mosquitto import Mosquitto

SAYS = ("decision", "status", "result", "passage", "similarity")
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


def test_the_access_list_is_the_output_of_its_script() -> None:
    assert (DEPLOY / "mosquitto.acl").read_text("utf-8") == run("make-acl.sh", "acme", "north")
    assert set(logins_of(run("make-acl.sh", "acme", *GATES))) == {*ROLES, "gate-south", "badge-south", "door-south"}


@pytest.mark.parametrize(
    "arguments", [(), ("acme",), ("acme", "all"), ("acme", "a/b"), ("acme", "north\nuser x"), ("ac+me", "north"), ("acme", "")]
)
def test_the_script_of_the_access_list_refuses_what_is_no_name(arguments: tuple[str, ...]) -> None:
    refused = subprocess.run(["bash", str(DEPLOY / "make-acl.sh"), *arguments], capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stdout == "" and refused.stderr.count("make-acl.sh") == 1
