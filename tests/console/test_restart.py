"""The console's program ends, is killed, or loses the broker: nobody stays logged in, and gates and people are as they were."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.console.conftest import until
from tests.fixtures.console_program import Program, quick_users
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.peopled_gate import PeopledGate

pytestmark = pytest.mark.broker


@pytest.fixture
def broker(mosquitto_installed: None, tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, persistent=True) as made:
        yield made


@pytest.fixture
def program(broker: Mosquitto, tmp_path: Path) -> Iterator[Program]:
    quick_users(tmp_path / "users.json")
    with Program(tmp_path, broker.port) as made:
        yield made


@pytest.fixture
def gate(broker: Mosquitto) -> Iterator[PeopledGate]:
    with PeopledGate(broker.port) as made:
        made.add("E1", "Ada")
        made.tell()
        yield made


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_ends_every_session(program: Program, gate: PeopledGate, how: signal.Signals) -> None:
    """The key that signs them, and the sessions, are in memory alone."""
    cookie = {"Cookie": f"ostiary={program.logged_in('admin').cookies['ostiary']}"}
    token = program.browser().post("/api/session", json={"user": "admin", "password": "correct horse battery"}).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert program.browser().get("/api/session", headers=cookie).status_code == 200
    program.end(how)
    program.start()
    assert [program.browser().get("/api/session", headers=one).status_code for one in (cookie, bearer)] == [401, 401]
    assert program.browser().get("/people", headers=cookie).headers["location"] == "/login?next=/people"


def test_a_console_that_is_killed_amid_a_change_leaves_the_gate_as_the_command_made_it(program: Program, gate: PeopledGate) -> None:
    client = program.logged_in("desk")
    until(lambda: client.get("/api/people").json().get("people"))
    gate.answer_after_s = 2.0
    failed: list[BaseException] = []

    def suspend() -> None:
        try:
            client.post("/api/people/E1/suspend")
        except httpx.TransportError as error:
            failed.append(error)

    asking = threading.Thread(target=suspend)
    commands = len(gate.commands)
    asking.start()
    until(lambda: len(gate.commands) > commands)
    assert program.end(signal.SIGKILL) == -signal.SIGKILL
    asking.join(30)
    assert len(failed) == 1
    gate.answer_after_s = 0.0
    until(lambda: gate.people["E1"].state == "suspended")
    program.start()
    again = program.logged_in("desk")
    until(lambda: again.get("/api/people").json().get("people"))
    assert again.get("/api/people/E1").json()["state"] == "suspended"
    assert again.post("/api/people/E1/resume").json()["answers"][0]["status"] == "done"


def test_without_a_broker_the_console_says_so_and_comes_back(program: Program, broker: Mosquitto) -> None:
    client = program.logged_in("desk")
    with PeopledGate(broker.port) as gate:
        gate.add("E1", "Ada")
        gate.tell()
        until(lambda: client.get("/api/people").json().get("people"))
    broker.stop()
    until(lambda: client.get("/api/gates").json()["link"]["connected"] is False)
    told = client.post("/api/people/E1/suspend")
    assert told.status_code == 503 and told.json()["error"].startswith("E1 may still be accepted")
    assert client.get("/api/people").json()["code"] == "link_down" and client.get("/api/session").status_code == 200
    broker.start()
    with PeopledGate(broker.port) as gate:
        gate.add("E1", "Ada")
        gate.tell()
        until(lambda: client.get("/api/gates").json()["link"]["connected"], 60)
        until(lambda: client.post("/api/people/E1/suspend").status_code == 200, 60)
        assert gate.people["E1"].state == "suspended"
