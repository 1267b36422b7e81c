"""Whether the clock is in step: the kernel's own word, read right, and never guessed."""

import ctypes
from collections.abc import Callable

import pytest

from daemon.edges import clock


def says(state: int, status: int) -> Callable[..., int]:
    """A kernel with this answer."""

    def ask(answer: object) -> int:
        answer._obj.status = status  # type: ignore[attr-defined]
        return state

    return ask


@pytest.mark.parametrize(
    ("state", "status", "in_step"),
    [(0, 0, True), (0, 0x2001, True), (1, 0, True), (5, 0, False), (0, clock.UNSYNCHRONISED, False), (5, 0x40, False), (-1, 0, False)],
)
def test_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch, state: int, status: int, in_step: bool) -> None:
    monkeypatch.setattr(clock, "_ntp_adjtime", lambda: says(state, status))
    assert clock.synchronised() is in_step


def test_a_kernel_that_cannot_be_asked_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ntp_adjtime", lambda: None)
    assert not clock.synchronised()


def test_the_real_one_is_asked_and_agrees_with_itself() -> None:
    ask = clock._ntp_adjtime()
    assert ask is not None, "this C library has no ntp_adjtime"
    answer = clock._Timex()
    state = ask(ctypes.byref(answer))
    assert clock.synchronised() is (state != clock.TIME_ERROR and not answer.status & clock.UNSYNCHRONISED)
    assert clock._ntp_adjtime() is ask, "the library is looked up once: it is asked with every answer"
