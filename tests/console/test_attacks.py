"""What nobody friendly would do: connections that bring nothing, methods and paths that are none, headers and bodies without end."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.console import guard, server
from tests.console.conftest import Rig, until
from tests.fixtures.fake_gate import FakeGate
from tests.fixtures.mosquitto import Mosquitto

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def served(mosquitto_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("console")
    with Mosquitto(folder) as broker, FakeGate(broker.port) as gate, pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "LOOK_S", 0.3)
        with Rig(folder, broker.port) as rig:
            gate.status()
            until(lambda: rig.console.state.statuses)
            yield rig


def raw(rig: Rig, request: bytes, timeout_s: float = 10.0) -> bytes:
    """What the console says to these bytes, until it closes the connection or has said a whole head."""
    port = int(rig.served.address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(request)
        said = b""
        try:
            while part := connection.recv(65536):
                said += part
        except ConnectionResetError:
            pass
        return said


HEAD = b"Host: 127.0.0.1\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /static/../app.py HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /static/%2e%2e/app.py HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /static/..%2f..%2fusers.py HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /static//etc/passwd HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /static/%00 HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /static/ HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /login%0d%0aX-Evil:%20yes HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /api/people/a%2fb HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"POST /login HTTP/1.1\r\nContent-Length: 0\r\n" + HEAD + b"\r\n", 405),
        (b"TRACE /api/gates HTTP/1.1\r\n" + HEAD + b"\r\n", 405),
        (b"PUT /api/session HTTP/1.1\r\nContent-Length: 0\r\n" + HEAD + b"\r\n", 405),
        (b"GET /api/gates HTTP/1.1\r\nX-HTTP-Method-Override: DELETE\r\n" + HEAD + b"\r\n", 401),
        (b"GET /api/gates HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 400),
        (b"GET /api/gates HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://evil.example/api/gates HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
        (b"GET /api/gates HTTP/1.1\r\nCookie: ostiary=" + b"x" * 100_000 + b"\r\n" + HEAD + b"\r\n", 431),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"POST /api/session HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" + HEAD + b"\r\n", 413),
        (b"POST /api/session HTTP/1.1\r\nContent-Length: -1\r\n" + HEAD + b"\r\n", 400),
        (b"POST /api/people/E1/pictures HTTP/1.1\r\nContent-Length: 1000\r\n" + HEAD + b"\r\n", 401),
        (b"POST /api/session HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n" + HEAD + b"\r\n0\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_none_has_its_answer(served: Rig, request_: bytes, status: int) -> None:
    said = raw(served, request_)
    assert said.startswith(b"HTTP/1.1 %d " % status), said[:200]
    assert b"X-Evil" not in said and b"root:" not in said and b"Traceback" not in said


def test_json_bombs_are_refused(served: Rig) -> None:
    client = served.browser()
    json_ = {"Content-Type": "application/json"}
    for body, status in (
        (b"[" * 60_000, 400),
        (b'{"user":' * 6000, 400),
        (b'{"user": "a", "password": "b", "user": ' + b"1" * 50_000 + b"}", 400),
        (b"\xff\xfe\x00", 400),
        (b"null", 422),
        (b"", 422),
        (b"x" * 70_000, 413),
        (json.dumps({"user": "a" * 5000, "password": "b"}).encode(), 422),
    ):
        answer = client.post("/api/session", content=body, headers=json_)
        assert answer.status_code == status, (body[:40], answer.text)
        assert (answer.json()["hint"] and body[:40].decode("latin-1") not in answer.text) or not body
    form = client.post("/api/session", content=b"user=admin&password=x", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status_code in (415, 422)
    text = client.post("/api/session", content=b'{"user": "admin", "password": "x"}', headers={"Content-Type": "text/plain"})
    assert text.status_code in (415, 422), "a form of another page could send this"


def test_a_body_without_a_length_ends_at_the_limit(served: Rig) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    answer = served.browser().post("/api/session", content=body(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_body_that_does_not_come_ends_the_request(served: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.3)
    said = raw(served, b"POST /api/session HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n" + HEAD + b'\r\n{"user":')
    assert said.startswith(b"HTTP/1.1 408 ") and b'"code":"slow"' in said


def test_connections_that_bring_nothing_are_closed_and_others_are_served(served: Rig) -> None:
    port = int(served.served.address.rsplit(":", 1)[1])
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(300)]
        for number, connection in enumerate(slow):
            connection.sendall((b"", b"GET / HTTP/1.1\r\n", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")[number % 3])
        assert served.browser().get("/login").status_code == 200
        end_s = time.monotonic() + 30
        while slow and time.monotonic() < end_s:  # a byte now and then keeps none of them open
            for connection in [*slow]:
                try:
                    connection.setblocking(False)
                    if connection.recv(1000) == b"":
                        slow.remove(connection)
                        continue
                except BlockingIOError:
                    pass
                except OSError:
                    slow.remove(connection)
                    continue
                try:
                    connection.send(b"y")
                except OSError:
                    slow.remove(connection)
            time.sleep(0.1)
        assert not slow, f"{len(slow)} are open"
    assert served.logged_in("viewer").get("/api/gates").status_code == 200


def test_more_connections_than_the_console_takes_are_closed_at_once(served: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)
    port = int(served.served.address.rsplit(":", 1)[1])
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(60)]
        closed = 0
        for connection in opened[30:]:
            try:
                closed += connection.recv(1) == b""
            except ConnectionResetError:
                closed += 1
        assert closed == 30
    until(lambda: len(served.served.server.server_state.connections) < 20)
    assert served.browser().get("/login").status_code == 200


def test_a_flood_of_logins_leaves_the_console_answering(served: Rig) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def guess(number: int) -> int:
        return served.browser().post("/api/session", json={"user": f"user{number}", "password": "x"}).status_code

    client = served.logged_in("viewer")
    with ThreadPoolExecutor(16) as pool:
        told = [*pool.map(guess, range(60))]
    assert set(told) <= {401, 429, 503} and told.count(429) > 30
    assert client.get("/api/gates").status_code == 200
