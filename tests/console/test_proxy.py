"""TLS, and users who log in at a reverse proxy."""

import ssl
from pathlib import Path

import pytest

from daemon.console.config import read_settings
from tests.console.conftest import PASSWORD, Rig, Rigs
from tests.fixtures.fake_gate import FakeGate
from tests.fixtures.mosquitto import make_certificates

pytestmark = pytest.mark.broker

PROXY = 'trusted_proxies = ["127.0.0.1"]\nuser_header = "X-User"\n'


def test_a_trusted_proxy_names_the_user_and_csrf_is_needed_all_the_same(rigs: Rigs, gate: FakeGate) -> None:
    rig = rigs(PROXY + 'role_header = "X-Role"')
    client = rig.browser(headers={"X-User": "anna", "X-Role": "desk"})
    said = client.get("/api/session").json()
    assert (said["user"], said["role"]) == ("anna", "desk")
    assert client.post("/api/people/E1/resume").json()["code"] == "csrf"
    assert client.post("/api/people/E1/resume", headers={"X-CSRF-Token": said["csrf"]}).status_code in (200, 503)
    client.headers["X-Role"] = "viewer"
    assert client.get("/api/people").status_code == 403, "the role that the proxy says now counts"
    del client.headers["X-User"]
    assert client.get("/api/session").status_code == 401, "logged out at the proxy"
    for headers in ({"X-User": "anna", "X-Role": "boss"}, {"X-User": "an na", "X-Role": "desk"}):
        assert rig.browser(headers=headers).get("/api/session").status_code in (400, 403)
    twice = rig.browser(headers=[("X-User", "anna"), ("X-User", "admin"), ("X-Role", "desk")])
    assert twice.get("/api/session").status_code == 400


def test_a_table_says_the_roles(rigs: Rigs, gate: FakeGate) -> None:
    rig = rigs(PROXY + '[console.proxy_roles]\nanna = "guard"')
    assert rig.browser(headers={"X-User": "anna"}).get("/api/session").json()["role"] == "guard"
    assert rig.browser(headers={"X-User": "bert"}).get("/api/session").json()["code"] == "role"


@pytest.mark.parametrize("more", ["", 'trusted_proxies = ["10.1.2.3"]\nuser_header = "X-User"\nrole_header = "X-Role"'])
def test_nobody_else_is_believed(rigs: Rigs, gate: FakeGate, more: str) -> None:
    rig = rigs(more)
    headers = {"X-User": "admin", "X-Role": "admin", "X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https"}
    assert rig.browser(headers=headers).get("/api/session").status_code == 401


def test_the_cookie_is_secure_behind_a_proxy_with_tls_and_guessing_is_counted_by_its_clients(rigs: Rigs, gate: FakeGate) -> None:
    rig = rigs('trusted_proxies = ["127.0.0.1"]')
    login = {"user": "viewer", "password": PASSWORD}
    answer = rig.browser().post("/api/session", json=login, headers={"X-Forwarded-Proto": "https"})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-ostiary=") and "Secure" in cookie and "strict-transport-security" in answer.headers
    client = rig.browser()
    for _ in range(12):
        last = client.post("/api/session", json={"user": "x", "password": "y"}, headers={"X-Forwarded-For": "1.1.1.1, 10.0.0.9"})
    assert last.status_code == 429
    assert client.post("/api/session", json=login, headers={"X-Forwarded-For": "10.0.0.9, 10.0.0.8"}).status_code == 200


def test_tls_by_certificate_files(tmp_path: Path, broker: int) -> None:
    made = make_certificates(tmp_path)
    made.server_key.chmod(0o600)
    with Rig(tmp_path, broker, 'certificate = "server.pem"\nprivate_key = "server-key.pem"') as rig:
        client = rig.browser(verify=ssl.create_default_context(cafile=str(made.ca)))
        answer = client.post("/api/session", json={"user": "viewer", "password": PASSWORD})
        assert answer.status_code == 200 and answer.headers["set-cookie"].startswith("__Host-ostiary=")
        assert client.get("/api/session").status_code == 200
    made.server_key.chmod(0o644)
    with pytest.raises(Exception, match="everybody on this machine may read"):
        read_settings(rig.settings)
