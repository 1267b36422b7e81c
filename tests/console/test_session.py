"""Login, cookie, CSRF, and how sessions end."""

import httpx
import pytest

from daemon.console import users
from tests.console.conftest import PASSWORD, Rig

pytestmark = pytest.mark.broker


def test_a_login_sets_a_strict_cookie_and_a_change_needs_its_csrf_token(rig: Rig) -> None:
    client = rig.browser()
    answer = client.post("/api/session", json={"user": "desk", "password": PASSWORD})
    said = answer.json()
    assert answer.status_code == 200 and said["role"] == "desk" and said["token"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie and "Secure" not in cookie
    assert client.get("/api/session").json()["site"] == "acme"
    assert client.post("/api/people/E1/resume").json()["code"] == "csrf"
    assert client.post("/api/people/E1/resume", headers={"X-CSRF-Token": "no"}).status_code == 403
    assert client.post("/api/people/E1/resume", headers={"X-CSRF-Token": said["csrf"]}).status_code == 200
    assert client.get("/api/gates").json()["gates"][0]["gate"] == "north"


def test_a_token_needs_no_csrf_token_and_a_browser_gets_none(rig: Rig) -> None:
    client = rig.browser()
    assert client.post("/api/people/E1/resume", headers=rig.token("desk")).status_code == 200
    said = client.post(
        "/api/session", json={"user": "desk", "password": PASSWORD}, headers={"Sec-Fetch-Site": "same-origin", "Origin": rig.served.address}
    )
    assert said.json()["token"] is None
    assert client.get("/api/session", headers={"Authorization": "Bearer forged"}).status_code == 401


def test_requests_from_other_pages_are_refused_whatever_they_carry(rig: Rig) -> None:
    client = rig.logged_in("desk")
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": f"{rig.served.address}.evil.example"},
    ):
        answer = client.post("/api/people/E1/suspend", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "source"), headers
        login = {"user": "desk", "password": PASSWORD}
        assert rig.browser().post("/api/session", json=login, headers=headers).status_code == 403
    assert client.post("/api/people/E1/suspend", headers={"Origin": rig.served.address}).status_code == 200


def test_a_name_that_is_not_the_consoles_is_refused(rig: Rig) -> None:
    client = rig.browser()
    for host, status in (("evil.example", 421), ("localhost:80", 401), ("127.0.0.1", 401), ("[::1]:8480", 401), ("evil.example:8480", 421)):
        assert client.get("/api/gates", headers={"Host": host}).status_code == status, host
        assert (client.get("/login", headers={"Host": host}).status_code == 421) == (status == 421)


def test_a_logout_ends_the_session_for_a_copied_cookie_too(rig: Rig) -> None:
    client = rig.logged_in("viewer")
    copied = {"Cookie": f"ostiary={client.cookies['ostiary']}"}
    assert rig.browser().get("/api/session", headers=copied).status_code == 200
    assert client.delete("/api/session").status_code == 204
    assert rig.browser().get("/api/session", headers=copied).status_code == 401


def test_a_login_gives_a_new_session_and_ends_the_old_one(rig: Rig) -> None:
    client = rig.logged_in("viewer")
    first = client.cookies["ostiary"]
    client.post("/api/session", json={"user": "viewer", "password": PASSWORD})
    assert client.cookies["ostiary"] != first
    assert rig.browser().get("/api/session", headers={"Cookie": f"ostiary={first}"}).status_code == 401


@pytest.mark.parametrize("forged", ["", "x", "a.b", "ü", "x" * 5000, "null.null"])
def test_a_forged_cookie_is_nobody(rig: Rig, forged: str) -> None:
    answer = rig.browser().get("/api/session", headers=[(b"Cookie", f"ostiary={forged}".encode())])
    assert answer.status_code == 401


def test_sessions_end_with_the_password_the_role_and_the_user(rig: Rig) -> None:
    def session() -> httpx.Client:
        client = rig.logged_in("viewer")
        assert client.get("/api/session").status_code == 200
        return client

    client = session()
    users.change(rig.users, "viewer", word="guard")
    assert client.get("/api/session").status_code == 401
    client = session()
    users.change(rig.users, "viewer", password=PASSWORD)  # the same one, with another salt
    assert client.get("/api/session").status_code == 401
    client = session()
    users.remove(rig.users, "viewer")
    assert client.get("/api/session").status_code == 401


def test_a_users_file_that_cannot_be_read_lets_nobody_in_and_says_why(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    client = rig.logged_in("viewer")
    rig.users.chmod(0o644)
    assert client.get("/api/session").status_code == 401
    answer = rig.browser().post("/api/session", json={"user": "viewer", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (503, "users") and "chmod 600" in caplog.text
    rig.users.chmod(0o600)
    assert rig.logged_in("viewer").get("/api/session").status_code == 200


def test_wrong_logins_say_nothing_about_who_exists_and_are_slowed_down(rig: Rig) -> None:
    client = rig.browser()
    said = {client.post("/api/session", json={"user": user, "password": "wrong"}).text for user in ("admin", "nobody", "\u0000", "Ä" * 90)}
    assert len(said) == 1
    answers = [client.post("/api/session", json={"user": "admin", "password": "wrong"}) for _ in range(12)]
    assert answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) > 0
    assert client.post("/api/session", json={"user": "admin", "password": PASSWORD}).status_code == 429


def test_headers_stand_on_every_answer(rig: Rig) -> None:
    client = rig.logged_in("admin")
    for path in ("/api/gates", "/api/none", "/none", "/static/none", "/api/people/%00", "/people"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
