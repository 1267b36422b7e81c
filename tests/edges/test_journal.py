"""What the log looks like: in a terminal, and in systemd's journal."""

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.edges import journal
from daemon.edges.journal import Journal, fields, is_journal, tail


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("ostiary.test_journal")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_the_tail_is_for_programs() -> None:
    assert tail({"gate": "north", "why": 'a "b"\nc', "empty": "", "count": 3}) == ' | gate=north why="a \\"b\\"\\nc" empty="" count=3'
    assert tail({}) == "" and fields(a=1, b=None) == {"fields": {"a": 1}}


def test_a_terminal_gets_letters(log: logging.Logger) -> None:
    out = io.StringIO()
    log.addHandler(Journal(out))
    log.warning("gate %s: no picture\nat all", "north", extra=fields(gate="north"))
    assert lines(out) == ["WARNING gate north: no picture at all | gate=north"], "one line, whatever the words hold"


def test_the_journal_gets_priorities_on_every_line(tmp_path: Path, log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "stream").open("w+") as stream:
        assert not is_journal(stream)
        seen = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{seen.st_dev}:{seen.st_ino}")
        assert is_journal(stream) and not is_journal(io.StringIO())
        log.addHandler(Journal(stream))
        for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
            log.log(level, "said")
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            log.exception("failed", extra=fields(gate="north"))
        stream.seek(0)
        said = stream.read().splitlines()
    assert said[:5] == ["<2>said", "<3>said", "<4>said", "<6>said", "<7>said"]
    assert said[5] == "<3>failed | gate=north" and len(said) > 8 and all(line.startswith("<3>") for line in said[5:])
    for odd in ("", "1", "a:b", "1:2"):
        monkeypatch.setenv("JOURNAL_STREAM", odd)
        with (tmp_path / "other").open("w") as other:
            assert not is_journal(other)


def test_lines_that_come_too_often_are_left_out_and_counted(log: logging.Logger) -> None:
    out, clock = io.StringIO(), Clock()
    handler = Journal(out, clock)
    log.addHandler(handler)
    for number in range(journal.BURST + 500):
        log.warning("gate %s: refused %d%%", "north", number, extra=fields(gate="north"))
    log.warning("gate %s: refused %d%%", "south", 1, extra=fields(gate="south"))
    log.info("something else")
    assert len(lines(out)) == journal.BURST + 2, "another gate and other words have room of their own"
    clock.now_s = 10.0
    log.warning("gate %s: refused %d%%", "north", 9, extra=fields(gate="north"))
    about, again = lines(out)[-2:]
    assert again == "WARNING gate north: refused 9% | gate=north"
    assert about == "WARNING 500 lines like the following were left out: gate %s: refused %d%% | gate=north left_out=500"
    for number in range(journal.BURST + 5):
        log.warning("gate %s: refused %d%%", "north", number, extra=fields(gate="north"))
    handler.close()
    assert "left_out=" in lines(out)[-1], "and at the end too"


def test_one_reason_that_comes_and_goes_hides_no_other(log: logging.Logger) -> None:
    out = io.StringIO()
    log.addHandler(Journal(out, Clock()))
    for _ in range(2 * journal.BURST):
        log.warning("gate %s: %s", "north", "camera_down", extra=fields(gate="north", reason="camera_down"))
    log.error("gate %s: %s", "north", "disk", extra=fields(gate="north", reason="disk"))
    assert len(lines(out)) == journal.BURST + 1 and lines(out)[-1].startswith("ERROR gate north: disk")


def test_kinds_are_bounded(log: logging.Logger) -> None:
    out = io.StringIO()
    handler = Journal(out, Clock())
    log.addHandler(handler)
    for number in range(3 * journal.MOST_KINDS):
        log.info(f"line {number}")
    assert len(handler._kinds) <= journal.MOST_KINDS and len(lines(out)) == 3 * journal.MOST_KINDS
