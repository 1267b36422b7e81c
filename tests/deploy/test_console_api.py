"""The guide's program for the console's JSON API, called as the guide shows it, at a real console and a real gate."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.rig import ALICE, STRANGER
from tests.fixtures.deployed import ROLES, deployed
from tests.fixtures.desk import painted
from tests.fixtures.integrators import GUIDE, Site, gate_running, shown
from tests.fixtures.mosquitto import free_port

pytest.importorskip("daemon.console.server", reason="the console's libraries are not installed (pip install 'ostiary[console]')")
CONSOLE = [sys.executable, "-m", "daemon.console"]
PROGRAM = "console_api.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None) -> Iterator[Site]:
    """A site with a gate, and a console whose address the value's `port` is."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "broker").mkdir()
    with deployed(folder / "broker") as broker:
        made = Site(folder, broker.port)
        login = "console" if "console" in ROLES else "admin"
        (folder / "broker-password").write_text(f"secret of {login}\n")
        made.port = free_port()
        (folder / "console.toml").write_text(
            f'site = "acme"\nport = {broker.port}\nusername = "{login}"\npassword_file = "broker-password"\n'
            f'[console]\nport = {made.port}\nusers = "users.json"\n'
        )
        for user in ("desk", "viewer"):
            add = [*CONSOLE, "user", "add", user, "--role", user, "--settings", str(folder / "console.toml")]
            subprocess.run(add, cwd=ROOT, input="correct horse battery\n", text=True, check=True, capture_output=True, timeout=60)
        (folder / "console-password").write_text("correct horse battery\n")
        with gate_running(folder, broker.port), (folder / "console.log").open("wb") as log:
            served = subprocess.Popen([*CONSOLE, "--settings", str(folder / "console.toml")], cwd=ROOT, stderr=log)
            try:
                wait(lambda: "north" in call(made, "people").stderr or call(made, "people").returncode == 0, folder / "console.log")
                yield made
            finally:
                served.terminate()
                served.wait(20)


def wait(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def call(site: Site, what: str, *more: str, user: str = "desk") -> "subprocess.CompletedProcess[str]":
    """Call the program as the guide shows it for this, at the test's console; with `more` in place of what follows."""
    lines = [re.split(r" +", line) for line in re.findall(rf"^    python3 {PROGRAM} (.+)$", GUIDE, re.M)]
    url, login, password, *rest = next(line for line in lines if line[3] == what)
    assert (url, login, password) == ("http://127.0.0.1:8480", "desk", "console-password") == tuple(shown(PROGRAM)[:3])
    return site.run(PROGRAM, f"http://127.0.0.1:{site.port}", user, password, *((what, *more) if more else rest))


@pytest.mark.broker
def test_enrol_list_follow_and_revoke_over_http(site: Site) -> None:
    done = call(site, "enrol")
    assert (done.returncode, done.stdout) == (0, "north: done\n"), done
    people = call(site, "people")
    assert (people.returncode, people.stdout) == (0, "E1042\t\tactive\tnorth\n"), people
    with site.listening(PROGRAM, f"http://127.0.0.1:{site.port}", "viewer", "console-password", "follow") as until:
        until("north accept E1042 matched")
        until("north unknown None no_match")
    gone = call(site, "revoke")
    assert (gone.returncode, gone.stdout) == (0, "north: done\n"), gone
    assert call(site, "people").stdout == ""


@pytest.mark.broker
def test_refusals_are_said_in_the_consoles_words(site: Site) -> None:
    (site.folder / "nobody.jpg").write_bytes(painted())
    (site.folder / "letter.jpg").write_text("Dear Sir or Madam")
    (site.folder / "stranger.jpg").write_bytes(painted(STRANGER))
    (site.folder / "alice.jpg").write_bytes(painted(ALICE))
    refused = call(site, "enrol", "E7", "nobody.jpg")
    assert refused.returncode == 1 and refused.stdout.startswith("north: refused: "), refused
    letter = call(site, "enrol", "E7", "letter.jpg")
    assert letter.returncode == 1 and "Traceback" not in letter.stderr and letter.stderr, letter
    assert call(site, "enrol", "E8", "stranger.jpg").returncode == 0
    other = call(site, "enrol", "E9", "stranger.jpg")
    assert other.returncode == 1 and "E8" in other.stdout, other
    forbidden = call(site, "enrol", "E9", "alice.jpg", user="viewer")
    assert forbidden.returncode == 1 and forbidden.stderr.startswith("the console refused it: 403 "), forbidden
    assert call(site, "revoke", "E8").returncode == 0


@pytest.mark.broker
def test_what_is_wrong_is_said(site: Site) -> None:
    wrong = call(site, "people", "people", user="nobody")
    assert wrong.returncode == 1 and wrong.stderr.startswith("the console refused it: 401 "), wrong
    nowhere = site.run(PROGRAM, f"http://127.0.0.1:{free_port()}", *shown(PROGRAM)[1:])
    assert nowhere.returncode == 3 and nowhere.stderr.startswith("no console there: "), nowhere
    for arguments in (
        ("file:///etc", "desk", "console-password", "people"),
        ("http://127.0.0.1", "desk", "no-such-file", "people"),
        ("x",),
    ):
        bad = site.run(PROGRAM, *arguments)
        assert bad.returncode == 2 and "Traceback" not in bad.stderr, bad
