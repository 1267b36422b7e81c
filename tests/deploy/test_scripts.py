"""The scripts of deploy/ beside install.sh, and that deploy/README.md names every file."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.deployed import DEPLOY


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(DEPLOY / script), *arguments], capture_output=True, text=True, timeout=60)


def test_every_file_is_in_the_table() -> None:
    table = (DEPLOY / "README.md").read_text("utf-8").split("## 1.")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([\w./@-]+)`", row)}
    named |= {"README.md", "lock-controller.md", "get-mosquitto.sh", "mend-opencv.sh"}  # linked there, or called by other scripts
    named |= {f"{name.removesuffix('.service')}.timer" for name in named if name.endswith(".service") and ".timer" in named}
    assert [path.name for path in DEPLOY.iterdir() if path.is_file() and path.name not in named] == []


@pytest.mark.parametrize("script", sorted(path.name for path in DEPLOY.glob("*.sh")))
def test_the_scripts_can_be_run(script: str) -> None:
    assert subprocess.run(["bash", "-n", str(DEPLOY / script)], capture_output=True).returncode == 0
    assert (DEPLOY / script).stat().st_mode & 0o111
    if shutil.which("shellcheck") is not None:
        checked = subprocess.run(["shellcheck", "--severity=warning", str(DEPLOY / script)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout


def test_uninstall_lists_before_it_removes() -> None:
    shown = run("uninstall.sh", "--dry-run", "--purge")
    assert shown.returncode == 0 and "FOR EVER" in shown.stdout and "the program:" in shown.stdout
    assert run("uninstall.sh", "--frobnicate").returncode == 2


@pytest.mark.parametrize("arguments", [(), ("a:b",), ("north/x",), ("--to",), ("--to", "somewhere")])
def test_odd_logins_are_refused(arguments: tuple[str, ...]) -> None:
    refused = run("make-logins.sh", *arguments)
    assert refused.returncode != 0 and refused.stderr.count("\n") == 1


@pytest.mark.broker
def test_logins_are_made_once(tmp_path: Path, mosquitto_installed: None) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files to the broker's user needs root")
    assert run("make-logins.sh", "--to", str(tmp_path), "gate-north", "hr").returncode == 0
    passwords = (tmp_path / "ostiary.passwd").read_text()
    secrets = {name: (tmp_path / name).read_text().strip() for name in ("mqtt-password-north", "logins/hr")}
    assert [line.split(":")[0] for line in passwords.splitlines()] == ["gate-north", "hr"]
    assert not any(secret in passwords for secret in secrets.values()) and len(set(secrets.values())) == 2
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("ostiary.passwd", *secrets)] == [0o640, 0o640, 0o600]
    again = run("make-logins.sh", "--to", str(tmp_path), "hr", "admin")
    assert "hr has a password already" in again.stdout
    assert (tmp_path / "ostiary.passwd").read_text().startswith(passwords)
    assert (tmp_path / "logins" / "hr").read_text().strip() == secrets["logins/hr"]


def test_the_wheelhouse_says_how_it_is_used() -> None:
    assert run("make-wheelhouse.sh", "--help").returncode == 0
    for arguments in ((), ("--frobnicate",)):
        assert run("make-wheelhouse.sh", *arguments).returncode == 2
