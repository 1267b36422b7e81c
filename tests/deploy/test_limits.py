"""The limits of the shipped broker: what is meant seriously is kept, also over a restart, and what floods it is not."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.deployed import Visitor, deployed
from tests.fixtures.mosquitto import Mosquitto

COMMANDS = 5_000
HERE = "ostiary/v1/acme/north/command"


@pytest.fixture
def shipped(tmp_path: Path, mosquitto_installed: None) -> Iterator[Mosquitto]:
    with deployed(tmp_path) as running:
        yield running


def gate(port: int) -> Visitor:
    visitor = Visitor(port, "gate-north", ident="the gate", session=True)
    visitor.listen(HERE, f"{HERE}/enrolment", f"{HERE}/revoke")
    return visitor


@pytest.mark.broker
@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL])
def test_five_thousand_commands_wait_for_a_gate_that_is_off(shipped: Mosquitto, end: signal.Signals | None) -> None:
    gate(shipped.port).leave()
    desk = Visitor(shipped.port, "hr")
    sizes = [400] * 96 + [40_000] * 3 + [300_000]
    for number in range(COMMANDS):
        body = json.dumps({"number": number}).encode()
        desk._client.publish(f"{HERE}/enrolment", body.ljust(sizes[number % 100]), qos=1)
        if number % 200 == 199:
            desk.loop_until(lambda done=number + 1: len(desk.said) >= done, 20)  # type: ignore[misc]
    desk.loop_until(lambda: len(desk.said) >= COMMANDS, 30)
    assert desk.said.count("Success") == COMMANDS
    assert desk.say(f"{HERE}/revoke", b'{"number": 5000}') == "Success"
    desk.leave()
    if end is not None:
        time.sleep(3.0 if end is signal.SIGKILL else 0.0)  # what it acknowledged is on its disk within a second or two (autosave_interval)
        shipped.signal(end)
        time.sleep(0.5)
        shipped.stop()
        shipped.start()
    back = gate(shipped.port)
    back.loop_until(lambda: len(back.heard) > COMMANDS, 60)
    assert [json.loads(payload)["number"] for payload in back.payloads] == list(range(COMMANDS + 1))
    back.leave()


@pytest.mark.broker
def test_a_command_somewhat_too_large_reaches_the_gate_and_one_far_too_large_ends_the_connection(shipped: Mosquitto) -> None:
    here = gate(shipped.port)
    admin = Visitor(shipped.port, "admin")
    assert admin.say(HERE, bytes(2_500_000)) == "Success"
    here.loop_until(lambda: bool(here.heard))
    assert len(here.payloads[0]) == 2_500_000
    assert admin.say(HERE, bytes(5_000_000)) not in ("Success", "No matching subscribers")
    admin.leave()
    assert Visitor(shipped.port, "admin").refused == [False]
    here.leave()


@pytest.mark.broker
def test_connections_end_at_a_number_and_others_go_on(shipped: Mosquitto) -> None:
    here = gate(shipped.port)
    idle = [socket.create_connection(("127.0.0.1", shipped.port)) for _ in range(250)]
    admin_is_in = True
    try:
        admin_is_in = Visitor(shipped.port, "admin").refused == [False]
    except OSError:
        admin_is_in = False
    assert not admin_is_in
    assert here.may_say("ostiary/v1/acme/north/decision"), "whoever is connected stays so"
    for sock in idle:
        sock.close()
    time.sleep(0.5)
    admin = Visitor(shipped.port, "admin")
    assert admin.refused == [False]
    for visitor in (here, admin):
        visitor.leave()
