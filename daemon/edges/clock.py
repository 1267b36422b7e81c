"""Whether the system's clock is synchronised. The kernel knows: chrony, ntpd and systemd-timesyncd tell it when they set the clock."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

UNSYNCHRONISED = 0x0040  # STA_UNSYNC of <sys/timex.h>
TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex up to `status`, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@functools.cache
def _ntp_adjtime() -> Callable[..., Any] | None:
    """The C library's function, which this process has already loaded; None where there is none."""
    try:
        return ctypes.CDLL(None).ntp_adjtime
    except (OSError, AttributeError):
        return None


def synchronised() -> bool:
    """Whether the kernel says that a time service sets its clock. False where the kernel cannot be asked."""
    ask = _ntp_adjtime()
    if ask is None:
        return False
    answer = _Timex()
    state = ask(ctypes.byref(answer))  # modes = 0 only asks
    return 0 <= state < TIME_ERROR and not answer.status & UNSYNCHRONISED
