"""`ostiary-console` from the command line: settings, users, and how it ends."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import httpx
import pytest
from argon2 import PasswordHasher, extract_parameters

from daemon.config import ConfigError
from daemon.console import users
from daemon.console.__main__ import main
from daemon.console.config import read_settings
from tests.conftest import ROOT

PASSWORD = "correct horse battery"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "console.toml"
    path.write_text('site = "acme"\nport = 1\n[console]\nport = 0\nusers = "users.json"\n')
    return path


def run(monkeypatch: pytest.MonkeyPatch, settings: Path, *words: str, typed: str = "") -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    return main([*words, "--settings", str(settings)])


def test_users_are_added_changed_listed_and_removed(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings.with_name("users.json")
    assert run(monkeypatch, settings, "user", "add", "anna", "--role", "desk", typed=f"{PASSWORD}\n") == 0
    assert path.stat().st_mode & 0o777 == 0o600 and "$argon2id$" in path.read_text() and PASSWORD not in path.read_text()
    assert run(monkeypatch, settings, "user", "add", "anna", "--role", "desk", typed=f"{PASSWORD}\n") == 78
    assert run(monkeypatch, settings, "user", "role", "anna", "admin") == 0
    assert run(monkeypatch, settings, "user", "password", "anna", typed="another long one\n") == 0
    assert users.Users(path).checked("anna", "another long one") is not None and users.Users(path).checked("anna", PASSWORD) is None
    capsys.readouterr()
    assert run(monkeypatch, settings, "user", "list") == 0 and capsys.readouterr().out.split() == ["anna", "admin"]
    assert run(monkeypatch, settings, "user", "remove", "anna") == 0
    assert run(monkeypatch, settings, "user", "remove", "anna") == 78 and "no user anna" in capsys.readouterr().err
    assert not list(path.parent.glob("*.new"))


@pytest.mark.parametrize(
    ("name", "typed"), [("an na", PASSWORD), ("ü", PASSWORD), ("a" * 65, PASSWORD), ("anna", "short"), ("anna", ""), ("anna", "x" * 2000)]
)
def test_names_and_passwords_that_cannot_be_used_are_refused(
    settings: Path, name: str, typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, settings, "user", "add", name, "--role", "desk", typed=typed) == 78
    assert "hint: " in capsys.readouterr().err and not settings.with_name("users.json").exists()


def test_many_who_change_the_file_at_once_lose_nothing(settings: Path) -> None:
    path = settings.with_name("users.json")
    threads = [threading.Thread(target=users.add, args=(path, f"user{n}", "viewer", PASSWORD)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(users.read_users(path)) == 12


@pytest.mark.parametrize("name", ["anna", "nobody", "", "\x00", "ü" * 200])
def test_a_password_is_looked_at_also_for_names_that_nobody_has(settings: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody can tell from the time of an answer who has a login."""
    users.add(settings.with_name("users.json"), "anna", "viewer", PASSWORD)
    looked = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            looked.append(extract_parameters(hash.decode() if isinstance(hash, bytes) else hash))
            return super().verify(hash, password)

    monkeypatch.setattr(users, "_hasher", Watched())
    assert users.Users(settings.with_name("users.json")).checked(name, "wrong") is None
    own = users.read_users(settings.with_name("users.json"))["anna"].password
    assert looked == [extract_parameters(own)], "once, with the same work"


def test_new_hashes_are_argon2id_with_the_usual_work() -> None:
    kind = PasswordHasher()
    assert (kind.type.name, kind.memory_cost >= 19 * 1024, kind.time_cost >= 2) == ("ID", True, True)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('host = "0.0.0.0"', "in the clear"),
        ('certificate = "a.pem"', "belong together"),
        ('user_header = "X-User"', "believed from nobody"),
        ('trusted_proxies = ["10.0.0.0/99"]', "trusted_proxies"),
        ('trusted_proxies = ["127.0.0.1"]\nuser_header = "X User"', "header"),
        ('trusted_proxies = ["127.0.0.1"]\nrole_header = "X-Role"', "user_header"),
        ("session_minutes = 0", "out of range"),
        ('proxy_roles = {anna = "boss"}', "proxy_roles"),
        ('usres = "x"', "unknown key"),
    ],
)
def test_settings_that_cannot_be_used_are_said_with_a_hint(
    settings: Path, more: str, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_text(settings.read_text() + more + "\n")
    assert run(monkeypatch, settings) == 78
    said = capsys.readouterr().err
    assert what in said and "hint: " in said and "Traceback" not in said


@pytest.mark.parametrize("words", [(), ("user", "list")])
def test_without_its_extra_it_says_what_to_install(settings: Path, words: tuple[str, ...]) -> None:
    lacks = "import sys; sys.modules['argon2'] = None; from daemon.console.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", lacks, *words, "--settings", str(settings)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        "ostiary-console: argon2 is not installed", "  hint: run `pip install '.[console]'` in the folder of Ostiary's source",
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, "", "{", '{"users": {}}', '{"users": {"a": {"role": "boss", "password": "x"}}}'])
def test_without_a_user_the_console_says_how_to_make_the_first_one(
    settings: Path, content: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        settings.with_name("users.json").write_text(content)
        settings.with_name("users.json").chmod(0o600)
    assert run(monkeypatch, settings) == 78
    assert ("user add" in capsys.readouterr().err) or content not in (None, '{"users": {}}')


def test_a_users_file_that_others_may_read_is_refused(settings: Path) -> None:
    users.add(settings.with_name("users.json"), "anna", "viewer", PASSWORD)
    settings.with_name("users.json").chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        users.need_somebody(settings.with_name("users.json"))


@pytest.mark.parametrize("line", ['key = "none.key"', 'gate_key = ["AAAA"]', 'password_file = "none"', 'ca_file = "none.pem"'])
def test_what_the_client_needs_and_has_not_is_said(
    settings: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users.add(settings.with_name("users.json"), "anna", "viewer", PASSWORD)
    settings.write_text(line + "\n" + settings.read_text())
    assert run(monkeypatch, settings) == 78
    assert "hint: " in capsys.readouterr().err


def test_relative_paths_start_at_the_settings(settings: Path) -> None:
    assert read_settings(settings).console.users == str(settings.with_name("users.json"))


def test_the_program_serves_without_a_broker_says_so_and_ends_at_a_signal(settings: Path) -> None:
    users.add(settings.with_name("users.json"), "anna", "viewer", PASSWORD)
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.console", "--settings", str(settings)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = line.strip().rsplit(" ", 1)[1]
        with httpx.Client(base_url=address, trust_env=False) as client:
            end_s = time.monotonic() + 30
            while True:
                try:
                    token = client.post("/api/session", json={"user": "anna", "password": PASSWORD}).json()["token"]
                    break
                except httpx.TransportError:
                    assert time.monotonic() < end_s
                    time.sleep(0.05)
            link = client.get("/api/gates", headers={"Authorization": f"Bearer {token}"}).json()["link"]
            assert link["connected"] is False and link["trouble"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM) and "Traceback" not in rest and PASSWORD not in line + rest
