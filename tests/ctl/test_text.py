"""Other people's text on the screen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.core.plain import printable
from tests.conftest import ROOT
from tests.fixtures.fake_gate import FakeGate

NAMES = {
    "plain": "A. Turing",
    "Persian": "\u0645\u0647\u200c\u0631\u062e",
    "Sinhala": "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
    "scientist": "\U0001f469\u200d\U0001f52c",
    "no-break space": "Anne\u00a0Marie",
    "heart": "\u2764\ufe0f",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_shown_as_it_is_spelled(name: str) -> None:
    assert printable(name) == name


@pytest.mark.parametrize("sign", ["\x1b", "\n", "\r", "\x07", "\u202e", "\u2066", "\u200f", "\u2028", "\x9b", "\udc80", "\U000e0041"])
def test_what_could_move_the_screen_is_not_shown(sign: str) -> None:
    assert printable(f"a{sign}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.broker
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_console_of_another_encoding_sees_what_was_done(gate: FakeGate, broker: int, options: list[str], tmp_path: Path) -> None:
    gate.answer = lambda command: {"detail": "✓ 王"}
    where = ["--port", str(broker), "--site", "acme", "--gate", "north"]
    for encoding in ("latin-1", "ascii", "cp437"):
        done = subprocess.run(
            [sys.executable, "-m", "daemon.ctl", "revoke", "E1", *where, *options], cwd=ROOT, capture_output=True, timeout=60,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == b"" and b"done" in done.stdout, (encoding, done)
        assert len(done.stdout.splitlines()) == 1
