"""A console with a broker and a gate, asked through HTTP. Whatever a test starts here ends with the test."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from daemon.console import users
from daemon.console.config import read_settings
from daemon.console.roles import Role
from daemon.console.server import Served
from tests.fixtures.fake_gate import FakeGate

PASSWORD = "correct horse battery"
ROLES = ("viewer", "guard", "desk", "admin")

NEEDS = {
    ("GET", "/api/session"): Role.VIEWER,
    ("DELETE", "/api/session"): Role.VIEWER,
    ("GET", "/api/gates"): Role.VIEWER,
    ("GET", "/api/decisions"): Role.VIEWER,
    ("GET", "/api/events"): Role.VIEWER,
    ("GET", "/api/openapi.json"): Role.VIEWER,
    ("GET", "/api/people"): Role.GUARD,
    ("GET", "/api/people/{person}"): Role.GUARD,
    ("POST", "/api/people/{person}/suspend"): Role.GUARD,
    ("POST", "/api/people/{person}/resume"): Role.DESK,
    ("PATCH", "/api/people/{person}"): Role.DESK,
    ("DELETE", "/api/people/{person}"): Role.DESK,
    ("POST", "/api/people/{person}/pictures"): Role.DESK,
    ("POST", "/api/people/{person}/capture"): Role.DESK,
    ("GET", "/api/visitors"): Role.DESK,
    ("GET", "/api/visitors/{id}/picture"): Role.DESK,
    ("POST", "/api/visitors/{id}/dismiss"): Role.DESK,
    ("POST", "/api/visitors/{id}/assign"): Role.DESK,
}
OPEN = {("POST", "/api/session")}
"""What needs no session."""


@pytest.fixture(autouse=True, scope="session")
def quick_hashes() -> Iterator[None]:
    """Hashes of little work: the tests log in often."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_hasher", quick)
        patch.setattr(users, "_NOBODY", quick.hash("nobody"))
        yield


@pytest.fixture
def gate(broker: int) -> Iterator[FakeGate]:
    """Gate north, which is online."""
    with FakeGate(broker) as made:
        made.status()
        yield made


class Rig:
    """A console whose users are the roles, each with the same password."""

    def __init__(self, folder: Path, broker: int, more: str = "") -> None:
        self.settings = folder / "console.toml"
        self.settings.write_text(f'site = "acme"\nport = {broker}\ntimeout = 3\n[console]\nport = 0\nusers = "users.json"\n{more}')
        for name in ROLES:
            users.add(folder / "users.json", name, name, PASSWORD)
        self.users = folder / "users.json"
        self.served = Served(read_settings(self.settings))
        self._thread = threading.Thread(target=self.served.run)
        self._clients: list[httpx.Client] = []

    def __enter__(self) -> "Rig":
        self._thread.start()
        until(lambda: self.served.server.started)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.served.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def browser(self, **more: Any) -> httpx.Client:
        """A client with no session."""
        self._clients.append(
            httpx.Client(base_url=self.served.address, timeout=30, trust_env=False, **{"verify": False, **more})
        )  # reading authorities takes long
        return self._clients[-1]

    def logged_in(self, user: str) -> httpx.Client:
        """A client that has this user's cookie and CSRF token."""
        client = self.browser()
        answer = client.post("/api/session", json={"user": user, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client

    def token(self, user: str) -> dict[str, str]:
        """The header of somebody who has logged in."""
        answer = self.browser().post("/api/session", json={"user": user, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    @property
    def console(self) -> Any:
        """What runs."""
        return self.served.api.state.console


Rigs = Callable[..., Rig]


@pytest.fixture
def rigs(tmp_path: Path, broker: int) -> Iterator[Rigs]:
    """Starts a console with these lines more in [console]."""
    with ExitStack() as stack:

        def make(more: str = "") -> Rig:
            rig = stack.enter_context(Rig(tmp_path, broker, more))
            until(lambda: rig.console.line.state.connected)
            return rig

        yield make


@pytest.fixture
def rig(rigs: Rigs, gate: FakeGate) -> Rig:
    """A console that knows gate north."""
    made = rigs()
    until(lambda: made.console.state.statuses)
    return made


def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    """Wait until it holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)
