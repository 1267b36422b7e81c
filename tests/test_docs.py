"""What the README of each room says must be so: metrics, topics, reasons, commands, options and files."""

import re
import subprocess
import sys

import pytest

from daemon.core.messages import Command
from daemon.core.people.enrol import PHOTO_REASONS
from daemon.core.status import TABLE
from daemon.core.values import Reason
from daemon.edges.metrics import METRICS
from tests.conftest import ROOT
from tests.test_architecture import ROOMS

DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "deploy/README.md",
    "deploy/fleet.md",
    "deploy/home-assistant/README.md",
    "deploy/integrations/README.md",
    "daemon/README.md",
    "trainer/README.md",
    "bench/README.md",
)
TEXTS = {document: (ROOT / document).read_text("utf-8") for document in DOCUMENTS}
GATE = TEXTS["daemon/README.md"]


def test_the_metrics_table_is_the_metrics() -> None:
    rows = {f"| `{m.name}` | {m.kind} | {', '.join(m.labels) or '–'} | {m.help} |" for m in METRICS}
    assert {line for line in GATE.splitlines() if line.startswith("| `ostiary_")} == rows


def test_the_table_of_the_states_words_is_the_table() -> None:
    rows = [f"| `{word}` | {row.severity} | {row.text.replace('{}', '…')} | {row.step} |" for word, row in TABLE.items()]
    found = GATE.split("| word | severity | what is so | what to do |\n|---|---|---|---|\n", 1)[1].split("\n\n", 1)[0]
    assert found.splitlines() == rows


def test_every_reason_and_every_command_is_named() -> None:
    (decision,) = [line for line in GATE.splitlines() if line.startswith("| `decision`")]
    assert {r.value for r in Reason} <= set(re.findall(r"`(\w+)`", decision))
    (command,) = [line for line in GATE.splitlines() if line.startswith("| `command`")]
    assert {c.__struct_config__.tag for c in Command.__args__} <= set(re.findall(r"`(\w+)`", command))


def test_every_reason_for_a_refusal_has_its_row_and_no_row_is_of_nothing() -> None:
    code = [path for room in ("commands", "core", "serving/roster") for path in (ROOT / "daemon" / room).rglob("*.py")]
    names = "Refusal|EnrolError|MessageError|_refuse|refused|_unkept|unkept|replace"
    raised = rf"""(?:{names})\(\s*(?:\w+, )?(?:reason=)?"(\w+)\"|Done\(.*reason="(\w+)\""""
    reasons = {one or other for path in code for one, other in re.findall(raised, path.read_text("utf-8"))} | {*PHOTO_REASONS}
    rows = GATE.split("| reason | why |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])} == reasons


def test_every_file_that_is_linked_exists() -> None:
    for document, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), f"{document} links {target}"


def test_every_path_and_module_that_is_named_exists() -> None:
    for document, text in TEXTS.items():
        for path in re.findall(r"`((?:daemon|trainer|bench|deploy|tests)/[\w/.-]*)", text):
            assert (ROOT / path).exists(), f"{document} names {path}"
        for module in re.findall(r"python -m (bench\.\w+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), f"{document} names {module}"


def test_the_table_of_rooms_is_the_arrows_that_are_tested() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| .+ \| (.+) \|$", TEXTS["ARCHITECTURE.md"], re.M)
    assert {room: set(re.findall(r"`(.+?)`", imports)) for room, imports in rows} == ROOMS
    assert [room for room, _ in rows] == list(ROOMS)


@pytest.mark.parametrize(("program", "module"), [("ostiaryd", "daemon"), ("ostiaryctl", "daemon.ctl"), ("ostiary-train", "trainer")])
def test_every_command_and_option_that_is_shown_exists(program: str, module: str) -> None:
    shown: dict[tuple[str, ...], set[str]] = {}
    for text in TEXTS.values():
        for line in re.findall(rf"^ +{program} (.+?)(?: +#.*)?$", text, re.M):
            words = line.split()
            plain = (word for i, word in enumerate(words) if not (i and words[i - 1].startswith("--")))
            named = [word for word in plain if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)]
            step = named[: 2 if named[0] == "roster" else 1]
            shown.setdefault(tuple(step), set()).update(re.findall(r"--[a-z-]+", line))
    for command, options in shown.items():
        told = subprocess.run(
            [sys.executable, "-m", module, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert options <= set(re.findall(r"--[a-z-]+", told)), f"{program} {' '.join(command)}"
