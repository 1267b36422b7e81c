"""What the console's README says must be so: settings, routes, files, the unit."""

import re
import shutil
import subprocess
from dataclasses import MISSING
from pathlib import Path

import pytest

from daemon.console.config import ConsoleConfig, read_settings
from daemon.core.settings import keys, shown
from tests.conftest import ROOT
from tests.console.conftest import NEEDS, OPEN

README = (ROOT / "daemon/console/README.md").read_text("utf-8")
UNIT = ROOT / "deploy/console/ostiary-console.service"


def rows() -> list[str]:
    made = ["| key | type | default | range | meaning |", "|---|---|---|---|---|"]
    for key in keys(ConsoleConfig):
        assert key.default is not MISSING
        default = "empty" if key.default == {} else f"`{shown(key.default)}`"
        made.append(f"| `{key.name}` | {key.type} | {default} | {key.range or '–'} | {key.description} |")
    return made


def test_the_table_of_settings_is_the_settings() -> None:
    assert "\n".join(rows()) in README


def test_the_routes_and_their_roles_are_the_apis() -> None:
    said = {
        (method, path): need.strip()
        for names, need in re.findall(r"^\| (`[A-Z]+ /api.+?`) \| (\S+) \|", README, re.M)
        for method, path in re.findall(r"`([A-Z]+) (\S+)`", names)
    }
    assert said == {key: need.word for key, need in NEEDS.items()} | dict.fromkeys(OPEN, "–")


def test_files_that_are_named_exist() -> None:
    for path in re.findall(r"`((?:daemon|deploy|tests)/[\w/.-]*)`", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+\.py|browser/)`", README):
        assert (ROOT / "tests/console" / name).exists(), name


def test_tests_that_are_named_exist() -> None:
    named = re.findall(r"`((?:tests/|browser/)?[\w/]*test_\w+\.py)(?:::(test_\w+))?`", README)
    assert len(named) > 40
    for name, test in named:
        path = ROOT / name if name.startswith("tests/") else ROOT / "tests/console" / name
        assert path.exists() and f"def {test}" in path.read_text("utf-8"), (name, test)


def test_the_example_is_read(tmp_path: Path) -> None:
    shutil.copy(ROOT / "deploy/console/console.toml", tmp_path)
    settings = read_settings(tmp_path / "console.toml")
    assert settings.client["site"] == "acme" and settings.console.host == "127.0.0.1"


def test_the_unit_is_understood_and_may_do_little(tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8")
    assert "RestartPreventExitStatus=78" in text and "ExecStart=/opt/ostiary-console/bin/ostiary-console --settings " in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.M))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert verified.returncode == 0 and f"{UNIT.name}:" not in verified.stderr, verified.stderr
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", str(UNIT)]
    rated = subprocess.run(command, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]
