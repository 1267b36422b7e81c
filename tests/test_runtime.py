"""ONNX Runtime is missing, or installed twice: what is said, and with which exit status."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest

from daemon import runtime
from tests.conftest import ROOT

WITHOUT = "import sys; sys.modules['onnxruntime'] = None"
"""Python as it is where ONNX Runtime is not installed."""


def python(code: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(("module", "arguments", "status"), [("daemon", "run --config x", 78), ("trainer", "prepare a b", 2)])
def test_without_a_runtime_both_programs_say_what_to_install(module: str, arguments: str, status: int) -> None:
    code = f"{WITHOUT}\nfrom {module}.__main__ import main\nsys.exit(main({arguments.split()!r}))"
    done = python(code)
    assert done.returncode == status, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].endswith(": ONNX Runtime is not installed, so no model can run") and "pip install '.[cpu]'" in lines[1], lines
    assert len(lines) == 2


def test_a_gate_that_starts_imports_no_other_command_and_nothing_that_draws() -> None:
    code = "import sys\nfrom daemon.__main__ import _parser\n_parser('run')\nprint(*sys.modules)"
    loaded = python(code).stdout.split()
    assert "daemon.cli.run" in loaded and "onnxruntime" in loaded
    others = ("daemon.cli.replay", "daemon.cli.calibrate", "daemon.cli.check", "daemon.drawing", "daemon.pages", "jinja2", "onnx")
    assert not [name for name in loaded if name in others or name.startswith("daemon.drawing.")]


def named(*installed: str) -> Callable[[str], str]:
    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return "1.31.1"

    return version


@pytest.mark.parametrize("installed", [("onnxruntime",), ("onnxruntime-gpu",)])
def test_one_package_is_right(monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...]) -> None:
    monkeypatch.setattr(runtime, "version", named(*installed))
    assert runtime.clash() is None and runtime.packages() == [f"{installed[0]} 1.31.1"]


def test_two_packages_are_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "version", named("onnxruntime", "onnxruntime-gpu"))
    wrong = runtime.clash()
    assert wrong is not None and "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1 are both installed" in wrong.message
    assert "uninstall both" in wrong.hint
