"""Login, cookie, CSRF, and how sessions end."""

import pytest

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
