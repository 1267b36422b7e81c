"""A gate at a broker, and ostiaryctl asking it. Whatever a test starts here ends with the test."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from daemon.ctl import __main__ as ctl
from tests.fixtures.fake_gate import FakeGate

JPEG = b"\xff\xd8\xff\xe0 not really a picture"


class Ctl(Protocol):
    """Runs ostiaryctl against the test's broker and gate north; returns exit code, stdout and stderr."""

    def __call__(self, *args: str) -> tuple[int, str, str]: ...


Later = Callable[[float, Callable[[], object]], None]
"""Calls a function in a thread after some seconds."""


@pytest.fixture
def gate(broker: int) -> Iterator[FakeGate]:
    """Gate north."""
    with FakeGate(broker) as made:
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file that begins as a JPEG does."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)
    return path


@pytest.fixture
def run(broker: int, capsys: pytest.CaptureFixture[str]) -> Ctl:
    def call(*args: str) -> tuple[int, str, str]:
        code = ctl.main(["--port", str(broker), "--site", "acme", "--gate", "north", *args])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


@pytest.fixture
def later() -> Iterator[Later]:
    """For what happens while ostiaryctl runs. The test fails at its end if it did not."""
    timers: list[threading.Timer] = []
    done: list[object] = []

    def start(after_s: float, call: Callable[[], object]) -> None:
        timers.append(threading.Timer(after_s, lambda: done.append(call())))
        timers[-1].daemon = True
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join(20)
    assert len(done) == len(timers)
