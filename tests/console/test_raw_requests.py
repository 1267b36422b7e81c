"""The real program, with TLS and without, and what somebody sends to it by hand."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.console.conftest import until
from tests.fixtures import bombs
from tests.fixtures.console_program import PASSWORD, Program, quick_users
from tests.fixtures.fake_gate import FakeGate
from tests.fixtures.mosquitto import Mosquitto, make_certificates

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module", params=["plain", "tls"])
def program(request: pytest.FixtureRequest, mosquitto_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder: Path = tmp_path_factory.mktemp("program")
    quick_users(folder / "users.json")
    certificates = make_certificates(folder) if request.param == "tls" else None
    with Mosquitto(folder) as broker, FakeGate(broker.port) as gate, Program(folder, broker.port, certificates=certificates) as made:
        gate.status()
        yield made


HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /api/session HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
SECOND = b"GET /api/smuggled HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def statuses(said: bytes) -> list[int]:
    """The statuses of all answers in these bytes."""
    return [int(number) for number in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 400\r\n\r\n0\r\n\r\n" + SECOND,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SECOND,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
        POST + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SECOND,
        POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SECOND,
        POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SECOND,
        POST + b"Content-Length: +2\r\n\r\n{}" + SECOND,
        POST + b"Content-Length: 0x2\r\n\r\n{}" + SECOND,
        POST + b"X: a\rContent-Length: 2\r\n\r\n{}" + SECOND,
        POST + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}" + SECOND,
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}" + SECOND,
    ],
)
def test_no_second_request_is_smuggled_in_the_first(program: Program, request_: bytes) -> None:
    assert statuses(program.raw(request_)) == [400]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost.", "0", "2130706433", "0x7f.1", "", "xn--a",
        "127.0.0.1:80@evil.example", "[::1%25evil]", "[::1].evil.example", "127.0.0.1:1:2", "evil.example:443",
    ],
)  # fmt: skip
def test_no_name_of_somebody_else_leads_here(program: Program, host: str) -> None:
    """DNS rebinding: a page whose name is made to point at this address."""
    said = program.raw(b"GET /login HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
    assert statuses(said) == [421] and b"<form" not in said


def test_headers_cookie_and_token_are_as_they_should_be(program: Program) -> None:
    client = program.browser()
    answer = client.post("/api/session", json={"user": "desk", "password": PASSWORD})
    tls = program.certificates is not None
    cookie = answer.headers["set-cookie"]
    assert ("Secure" in cookie, cookie.startswith("__Host-ostiary="), "strict-transport-security" in answer.headers) == (tls, tls, tls)
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Domain" not in cookie and "Max-Age" not in cookie
    for path in ("/login", "/", "/people", "/static/api.js", "/api/gates", "/nowhere", "/api/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy and "unsafe" not in policy, path
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff", path
        assert headers["cross-origin-resource-policy"] == "same-origin" and "access-control-allow-origin" not in headers, path
        assert "server" not in headers and "x-powered-by" not in headers, path


@pytest.mark.parametrize(
    "where",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/people%0d%0aX-Evil: 1", "%2f%2fevil.example"],
)
def test_no_redirect_leads_elsewhere(program: Program, where: str) -> None:
    """The page of the login itself goes only to one of the console's pages (login.js; tests/console/browser)."""
    for client in (program.browser(), program.logged_in("viewer")):
        answer = client.get(f"/login?next={where}")
        assert "x-evil" not in answer.headers and answer.headers.get("location", "/") == "/", where
    for path in ("/people", "/enrol", "/visitors", "/"):
        assert program.browser().get(path + "?next=//evil.example").headers["location"] == f"/login?next={path}"
    for path in ("//evil.example/people", "/people/", "/%2f%2fevil.example", "/people//evil.example"):
        said = program.raw(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert statuses(said) == [404] and b"\r\nlocation:" not in said.lower()


def test_fields_and_gates_that_are_not_ones_own_are_refused(program: Program) -> None:
    client = program.logged_in("desk")
    login = {"user": "desk", "password": PASSWORD}
    for more in ({"role": "admin"}, {"stamp": "x"}, {"until_s": 1e9}):
        assert program.browser().post("/api/session", json=login | more).status_code == 422
    for body in ({"name": "A", "state": "active"}, {"person": "E2"}, {"templates": 9}, {"force": True}, {"__class__": "x"}):
        assert client.patch("/api/people/E1", json=body).status_code == 422, body
    for at in ("south", "../north", "north/command/enrolment", "+", "#", "north\x00", "north\n"):
        answer = client.post("/api/people/E1/pictures", files=[("pictures", ("a.jpg", b"x"))], data={"at": at})
        assert answer.status_code in (404, 422), at
        assert client.post("/api/people/E1/capture", json={"gate": at}).status_code in (404, 422), at
    for person in ("..%2f..%2fx", "a%2fb", "%2b", "%23", "a%0a", "%00", "a" * 65):
        assert client.get(f"/api/people/{person}").status_code in (404, 422), person
        assert client.post(f"/api/people/{person}/suspend").status_code in (404, 422), person
    for path in ("/api/visitors/..%2f..%2fx/picture", "/api/visitors/%2b/picture"):
        assert client.get(path).status_code in (404, 422), path
    assert client.post("/api/people/E1/capture", json={"gate": "north", "force": True}).json()["code"] == "role"


def test_nothing_secret_is_logged_and_no_line_is_forged(program: Program) -> None:
    secrets = ["Tr0ub4dor-secret", "Ada Lovelace-Secret", "consent-secret"]
    client = program.logged_in("desk")
    secrets += [client.headers["X-CSRF-Token"], *client.cookies.values()]
    forged = "x\nINFO login user=admin role=admin from 10.9.9.9"
    for user in ("admin", forged, "\u202eadmin", "\x1b[31madmin"):
        program.browser().post("/api/session", json={"user": user, "password": secrets[0]})
    client.patch("/api/people/E1", json={"name": secrets[1], "consent": secrets[2]})
    client.patch("/api/people/E1", json={"name": secrets[1] * 100})
    client.post("/api/people/E1/pictures", files=[("pictures", (forged, secrets[1].encode()))], data={"name": secrets[1], "at": forged})
    client.get("/api/people", params={"search": secrets[1], "after": forged})
    client.get("/api/nowhere", headers={"X-Forwarded-For": "10.9.9.9", "Authorization": f"Bearer {secrets[0]}"})
    program.raw(b"GET /\r\nINFO login user=admin HTTP/1.1\r\n\r\n")
    said = program.log.read_text()
    assert not [secret for secret in secrets if secret in said]
    assert all(line.split(" ", 1)[0] in ("INFO", "WARNING", "ERROR") and line.isprintable() for line in said.splitlines()), said
    assert "10.9.9.9" not in said and "user=admin" not in said


def test_errors_repeat_nothing_and_show_no_insides(program: Program) -> None:
    client, token = program.logged_in("desk"), "<script>secret-word</script>"
    answers: list[Any] = [
        client.get(f"/{token}"), client.get("/api/people", params={"limit": token}),
        client.patch("/api/people/E1", json={"schedule": [token]}),
        client.post("/api/session", content=json.dumps(token), headers={"Content-Type": "application/json"}),
        client.post("/api/people/E1/pictures", files=[("pictures", ("a.jpg", b"x"))], data={"schedule": token * 9}),
        client.get(f"/api/visitors/{token}"),
    ]  # fmt: skip
    for answer in answers:
        assert 400 <= answer.status_code < 500 and "<script>secret" not in answer.text
        assert not re.search(r"Traceback|site-packages|\.py\b|/tmp/|/home/|pydantic", answer.text), answer.text


def test_connections_that_begin_tls_and_go_no_further_are_closed(program: Program) -> None:
    """They are none of the connections that the server counts."""
    if program.certificates is None:
        pytest.skip("without TLS")
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", program.port), timeout=60)) for _ in range(200)]
        for number, connection in enumerate(slow):
            connection.sendall((b"", b"\x16\x03\x01\x02\x00\x01\x00")[number % 2])
        assert program.browser().get("/login").status_code == 200
        begun_s = time.monotonic()
        assert all(connection.recv(1) == b"" for connection in slow)
        assert time.monotonic() - begun_s < 40, "usually a minute"
    until(lambda: program.logged_in("viewer").get("/api/gates").status_code == 200)


def test_a_change_needs_its_token_its_page_and_its_role(program: Program) -> None:
    for name in ("viewer", "guard", "desk"):
        client = program.logged_in(name)
        token = client.headers.pop("X-CSRF-Token")
        for headers in (
            {},
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": token[:-1]},
            {"X-CSRF-Token": program.logged_in(name).headers["X-CSRF-Token"]},
        ):
            assert client.post("/api/people/E1/suspend", headers=headers).json()["code"] == "csrf"
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            answer = client.post("/api/people/E1/suspend", headers={"X-CSRF-Token": token} | headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "source")
        client.headers["X-CSRF-Token"] = token
        assert client.post("/api/people/E1/suspend").status_code == (403 if name == "viewer" else 200)
        assert client.delete("/api/people/E1").status_code == (200 if name == "desk" else 403)
        for path, need in (("/people", "guard"), ("/enrol", "desk"), ("/api/people", "guard"), ("/api/visitors", "desk")):
            may = ("viewer", "guard", "desk").index(name) >= ("viewer", "guard", "desk").index(need)
            assert (client.get(path).status_code != 403) == may, (name, path)


def test_bombs_in_an_upload_are_refused_with_words(program: Program) -> None:
    client = program.logged_in("desk")
    files = {
        "scans.jpg": bombs.scan_bomb(5_000),
        "pixels.png": bombs.png_bomb(),
        "claims.jpg": bombs.claiming(bombs.jpeg(), width=65_535, height=65_535),
    }
    begun_s = time.monotonic()
    answer = client.post("/api/people/E1/pictures", files=[("pictures", one) for one in files.items()])
    assert answer.status_code == 422 and [one["taken"] for one in answer.json()["pictures"]] == [False] * 3
    assert all(one["words"] for one in answer.json()["pictures"]) and time.monotonic() - begun_s < 60


def test_guessing_is_slowed_down(program: Program) -> None:
    """From an address of its own, so that the other tests can log in."""
    transport = httpx.HTTPTransport(local_address="127.0.0.77", verify=program.trust)
    with httpx.Client(base_url=program.address, transport=transport, trust_env=False) as client:
        told = [client.post("/api/session", json={"user": "admin", "password": f"guess {number}"}) for number in range(14)]
    assert {answer.status_code for answer in told} == {401, 429} and told[-1].status_code == 429
    assert int(told[-1].headers["Retry-After"]) > 0 and len({answer.text for answer in told if answer.status_code == 401}) == 1


def test_the_console_asks_no_web_server_and_unpacks_nothing_that_can_run() -> None:
    """No address that somebody sends is ever fetched, and no text becomes an object of a class."""
    harmful = re.compile(
        r"^\s*(?:import|from) (urllib\.request|http\.client|httpx|requests|aiohttp|ftplib|pickle|marshal|shelve|dill|yaml)\b", re.M
    )
    for room in ("console", "client"):
        for path in (ROOT / "daemon" / room).rglob("*.py"):
            text = path.read_text("utf-8")
            assert harmful.search(text) is None and not re.search(r"\b(eval|exec|__import__)\(", text), path
