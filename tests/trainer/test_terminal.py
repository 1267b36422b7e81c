"""Names on the terminal: brackets are brackets, and nothing moves the cursor."""

import re
from pathlib import Path

import pytest

from daemon.core.bundle import Figure
from tests.conftest import ROOT
from trainer import terminal
from trainer.__main__ import main
from trainer.reports import tables

EVIL = ["[bold]x[/bold]", "[/]", "a[1].jpg", ":dog:", "two\nlines", "\x1b[31mred\x1b]0;title\x07", "\u202eright to left"]
MOVES = set("\x1b\x07\u202e")


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_letters(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(name)
    table = terminal.table(name, title=name)
    table.add_row(terminal.safe(name, "bold"))
    terminal.console().print(table)
    terminal.console().print(tables.figures([Figure(name, 0.5, None, None, name)], name))
    printed = capsys.readouterr().out
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    assert not set(printed) & MOVES
    assert printed.splitlines()[0] == shown and " ".join(printed.split()).count(shown) == 6


def test_a_complaint_is_two_lines_whatever_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in EVIL:
        assert main(["evaluate", str(tmp_path / f"{name}.onnx"), "--data", "x"]) == 2
        told = capsys.readouterr().err
        assert len(told.splitlines()) == 2 and not set(told) & MOVES
        assert all(part in told for part in name.split("\n") if part.isprintable())


def test_every_console_is_made_in_one_place() -> None:
    """Rich reads brackets as markup unless it is told not to."""
    makers = {path for path in (ROOT / "trainer").rglob("*.py") if re.search(r"(?<![\w.])Console\(", path.read_text(encoding="utf-8"))}
    assert [path.relative_to(ROOT / "trainer").as_posix() for path in makers] == ["terminal.py"]
