"""Every route and every role: who may, and who may not."""

import pytest

from tests.console.conftest import NEEDS, OPEN, ROLES, Rig

pytestmark = pytest.mark.broker


def test_every_route_of_the_api_is_in_the_table(rig: Rig) -> None:
    document = rig.logged_in("viewer").get("/api/openapi.json").json()
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert described | {("GET", "/api/openapi.json")} == NEEDS.keys() | OPEN


def test_every_route_refuses_whoever_has_too_little_and_nobody_else(rig: Rig) -> None:
    for user in (None, *ROLES):
        for (method, path), need in NEEDS.items():
            if path == "/api/events" and user is not None:
                continue  # it does not end; test_events.py has it
            client = rig.browser() if user is None else rig.logged_in(user)
            answer = client.request(method, path.replace("{person}", "E1").replace("{id}", "v1"))
            if user is None:
                assert (answer.status_code, answer.json()["code"]) == (401, "login"), (method, path)
            elif ROLES.index(user) < need:
                assert (answer.status_code, answer.json()["need"]) == (403, need.word), (user, method, path)
            else:
                assert answer.status_code not in (401, 403, 500), (user, method, path, answer.text)


def test_force_and_replace_are_for_administrators(rig: Rig) -> None:
    for user, status in (("desk", 403), ("admin", 200)):
        for wish in ("force", "replace"):
            answer = rig.logged_in(user).post("/api/people/E1/capture", json={"gate": "north", "seconds": 1, wish: True})
            assert answer.status_code == status, answer.text
        answer = rig.logged_in(user).post("/api/people/E1/pictures", files={"pictures": ("a.jpg", b"x")}, data={"force": "true"})
        assert answer.status_code == (403 if user == "desk" else 422)


@pytest.mark.parametrize("page", ["/", "/people", "/enrol", "/health", "/visitors"])
def test_a_page_without_a_session_sends_to_the_login(rig: Rig, page: str) -> None:
    answer = rig.browser().get(page)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={page}")
