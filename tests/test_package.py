"""The package as it is installed: the wheel has every module and data file of the repository and no other, and works by itself."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

DOCUMENTS = (".md",)
"""Files of the packages' folders that are read in the repository and are not installed."""
RENDER = """
from dataclasses import fields
import daemon, trainer
from daemon.core.faces.quality import Limits
from daemon.core.passages.passage import Rules
from daemon.drawing.page import About, render
from daemon.drawing.trace import Tracer
from daemon.pages import template

rules, limits = (kind(**{field.name: 0.5 for field in fields(kind)}) for kind in (Rules, Limits))
print(daemon.__file__, trainer.__file__, sep="\\n")
print(render(Tracer(), About("gate.mkv", "north", "faces", "haar", 0, 0, rules, "", limits, 1.0)))
print(template.render("trainer.reports", "side_by_side.html", legend="", drawings=(), tables=()))
"""


def tracked() -> list[str]:
    """The files of the repository, as paths from its root."""
    found = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in found.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a clean copy of the repository's files."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if name.startswith(("daemon/", "trainer/", "pyproject.toml", "README.md")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    # Without isolation pip needs no network, but then the setuptools that is installed must be new enough.
    here = int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    isolation = ["--no-build-isolation"] if here else []
    pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(out), str(copy))
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """What Python prints in an empty folder, with the installed packages before all others."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_module_and_data_file_and_no_other(wheel: Path) -> None:
    wanted = {name for name in tracked() if name.startswith(("daemon/", "trainer/")) and not name.endswith(DOCUMENTS)}
    with ZipFile(wheel) as content:
        found = {name for name in content.namelist() if ".dist-info/" not in name}
        metadata = {name.split("/")[-1] for name in content.namelist() if ".dist-info/" in name}
    assert found == wanted
    assert {Path(name).suffix for name in found} == {".py", ".onnx", ".toml", ".json", ".html", ".css", ".js", ".svg"}
    assert {"METADATA", "entry_points.txt", "RECORD"} <= metadata


def test_every_command_has_its_entry_point(installed: Path) -> None:
    entries = ConfigParser()
    (file,) = installed.glob("*.dist-info/entry_points.txt")
    entries.read(file)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert dict(entries["console_scripts"]) == scripts
    assert set(scripts) <= {path.name for path in (installed / "bin").iterdir()} and {
        "ostiaryd",
        "ostiaryctl",
        "ostiary-console",
        "ostiary-train",
    } == set(scripts)


def test_the_installed_daemon_says_its_version(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert version in run(installed, tmp_path, "-m", "daemon", "--version")


def test_the_installed_packages_make_pages_from_their_own_files(installed: Path, tmp_path: Path) -> None:
    daemon, trainer, *page = run(installed, tmp_path, "-c", RENDER).splitlines()
    assert Path(daemon).is_relative_to(installed) and Path(trainer).is_relative_to(installed)
    text = "\n".join(page)
    assert text.count("<!doctype html>") == text.count("</html>") == 2
    assert "Replay of gate.mkv" in text and "Runs side by side" in text and text.count("--page:") == 2 * 2 and "<script>" in text


def test_an_upgrade_installs_no_module_that_an_earlier_build_left_behind() -> None:
    """It builds from a copy without `build`. tests/system looks into what was installed."""
    done = subprocess.run(
        ["bash", str(ROOT / "deploy/install.sh"), "--python", sys.executable, "--dry-run"], capture_output=True, text=True, check=True
    )
    (installed,) = [line for line in done.stdout.splitlines() if line.startswith("+ ") and " -m pip install " in line]
    assert str(ROOT) not in installed and installed.endswith("/source[cpu]")
