"""The arrows of ARCHITECTURE.md: who may import whom, and what the core may not touch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = sorted(p for package in ("daemon", "trainer") for p in (ROOT / package).rglob("*.py"))
CORE_MAY = {
    "dataclasses",
    "enum",
    "math",
    "fractions",
    "codecs",
    "difflib",
    "unicodedata",
    "collections",
    "typing",
    "datetime",
    "json",
    "re",
    "struct",
    "uuid",
    "base64",
    "hashlib",
    "numpy",
    "cv2",
    "msgspec",
    "zoneinfo",
    "html",
    "cryptography",
    "binascii",
    "urllib",
    "functools",
    "hmac",
    "tomllib",
}
SHARED = ("daemon.core", "daemon.pages", "daemon.runtime", "daemon.edges.detector", "daemon.edges.files", "daemon.edges.visibility")
CONSOLES = ("fastapi", "starlette", "uvicorn", "argon2", "itsdangerous", "python_multipart", "pydantic")
CV2_TOUCHES_THE_WORLD = {
    "VideoCapture",
    "VideoWriter",
    "imread",
    "imwrite",
    "imshow",
    "dnn",
    "FaceDetectorYN",
    "CascadeClassifier",
    "waitKey",
}


ROOMS: dict[str, set[str]] = {
    "daemon.core": set(),
    "daemon.pages": set(),
    "daemon.version": set(),
    "daemon.runtime": {"daemon.core"},
    "daemon.config": {"daemon.core"},
    "daemon.edges": {"daemon.core", "daemon.config"},
    "daemon.pipeline": {"daemon.core", "daemon.config", "daemon.edges"},
    "daemon.commands": {"daemon.core", "daemon.edges", "daemon.pipeline"},
    "daemon.serving": {"daemon.core", "daemon.config", "daemon.edges", "daemon.pipeline", "daemon.commands", "daemon.version"},
    "daemon.drawing": {"daemon.core", "daemon.config", "daemon.edges", "daemon.pages"},
    "daemon.cli": {
        "daemon.runtime",
        "daemon.core",
        "daemon.config",
        "daemon.edges",
        "daemon.pipeline",
        "daemon.serving",
        "daemon.drawing",
    },
    "daemon.client": {"daemon.core", "daemon.config"},
    "daemon.ctl": {"daemon.core", "daemon.config", "daemon.client"},
    "daemon.console": {"daemon.core", "daemon.pages", "daemon.config", "daemon.client"},
    "daemon.demo": {"daemon.core", "daemon.config", "daemon.edges", "daemon.client", "daemon.ctl", "daemon.console"},
    "daemon.__main__": {"daemon.core", "daemon.cli", "daemon.serving", "daemon.runtime", "daemon.version"},
    "trainer.terminal": {"daemon.core"},
    "trainer.recipes": {"daemon.core"},
    "trainer.people": {"daemon.core", "daemon.edges", "trainer.recipes", "trainer.terminal"},
    "trainer.models": {"daemon.core", "trainer.people", "trainer.recipes"},
    "trainer.runs": {"daemon.core", "daemon.edges", "trainer.recipes"},
    "trainer.clean": {"daemon.core", "daemon.edges", "daemon.pages", "trainer.models", "trainer.people", "trainer.terminal"},
    "trainer.measure": {"daemon.core", "trainer.clean", "trainer.models", "trainer.people", "trainer.recipes", "trainer.terminal"},
    "trainer.learn": {
        "daemon.core",
        "trainer.measure",
        "trainer.models",
        "trainer.people",
        "trainer.recipes",
        "trainer.runs",
        "trainer.terminal",
    },
    "trainer.bundle": {
        "daemon.core",
        "daemon.edges",
        "trainer.measure",
        "trainer.models",
        "trainer.people",
        "trainer.recipes",
        "trainer.terminal",
    },
    "trainer.reports": {"daemon.core", "daemon.edges", "daemon.pages", "trainer.measure", "trainer.people", "trainer.terminal"},
    "trainer.commands": {
        "daemon.core",
        "daemon.edges",
        "trainer.bundle",
        "trainer.clean",
        "trainer.learn",
        "trainer.measure",
        "trainer.models",
        "trainer.people",
        "trainer.recipes",
        "trainer.reports",
        "trainer.runs",
        "trainer.terminal",
    },
    "trainer.processor": {"daemon.core"},
    "trainer.__main__": {"daemon.core", "daemon.runtime", "trainer.processor", "trainer.terminal"},
}
"""Every room, and the rooms it imports: from the ground up, so that no arrow runs up. Both `__main__` load their commands by name."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def test_the_arrows_between_rooms_are_these_and_none_runs_up() -> None:
    found: dict[str, set[str]] = {name: set() for name in ROOMS}
    for path in MODULES:
        here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        there = {room(name) for name in imports(path) if name.split(".")[0] in ("daemon", "trainer") and "." in name}
        found.setdefault(here, set()).update(there - {here})
    del found["daemon.__init__"], found["trainer.__init__"]
    assert found == ROOMS
    floors = list(ROOMS)
    up = [f"{a} -> {b}" for a, others in ROOMS.items() for b in others if floors.index(b) > floors.index(a)]
    assert not up
    print(f"\n{len(ROOMS)} rooms, {sum(map(len, ROOMS.values()))} arrows")  # noqa: T201


def inside(path: Path, package: str) -> bool:
    return path.is_relative_to(ROOT / package)


@pytest.mark.parametrize("path", [p for p in MODULES if inside(p, "daemon")], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_daemon_never_imports_the_trainer_nor_tensorflow(path: Path) -> None:
    allowed = {"onnx"} if path == ROOT / "daemon/edges/detector/yunet.py" else set()
    foreign = {"trainer", "tensorflow", "keras", "tf2onnx", "onnx", "jax"} - allowed
    assert not [name for name in imports(path) if name.split(".")[0] in foreign]


def test_only_the_console_uses_the_libraries_for_the_web() -> None:
    users = {room(".".join(p.relative_to(ROOT).parts)) for p in MODULES if {name.split(".")[0] for name in imports(p)} & {*CONSOLES}}
    assert users == {"daemon.console"}


@pytest.mark.parametrize("path", [p for p in MODULES if inside(p, "daemon/core")], ids=lambda p: p.name)
def test_the_core_is_pure(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        assert name.startswith("daemon.core.") if top == "daemon" else top in CORE_MAY, f"{path.name} imports {name}"
    tree = ast.parse(path.read_text("utf-8"))
    touched = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & CV2_TOUCHES_THE_WORLD
    assert not touched, f"{path.name} uses cv2.{touched}"
    clocks = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {
        "now",
        "utcnow",
        "today",
        "monotonic",
        "perf_counter",
    }
    assert not clocks, f"{path.name} reads a clock: {clocks}"


@pytest.mark.parametrize("path", [p for p in MODULES if inside(p, "daemon/edges")], ids=lambda p: p.name)
def test_an_edge_imports_only_the_core_and_the_configuration(path: Path) -> None:
    for name in imports(path):
        if name.split(".")[0] == "daemon":
            own = f"daemon.edges.{path.relative_to(ROOT / 'daemon/edges').parts[0].removesuffix('.py')}."
            shared = ("daemon.edges.files.", "daemon.edges.sealing.", "daemon.edges.confinement.")
            assert name.startswith(("daemon.core.", "daemon.config.", *shared, own)), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if inside(p, "trainer")], ids=lambda p: p.name)
def test_the_trainer_shares_the_core_pages_detector_and_files_with_the_daemon_and_nothing_else(path: Path) -> None:
    for name in imports(path):
        if name.split(".")[0] == "daemon":
            assert name == "daemon" or name.startswith(SHARED), f"{path.name} imports {name}"


def test_the_daemon_starts_without_the_libraries_of_trainer_and_console() -> None:
    others = ("tensorflow", "keras", "tf2onnx", "onnx", "jax", "sklearn", *CONSOLES)
    blocked = f"import sys\nfor m in {others}: sys.modules[m] = None\nimport daemon.__main__, daemon.ctl.__main__"
    subprocess.run([sys.executable, "-c", blocked], check=True, cwd=ROOT)


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    code = "import daemon, os, sys; assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    out = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert out.strip() == "1"
