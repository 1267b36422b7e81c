"""Ctrl-C and SIGTERM while training: the first asks for a checkpoint, the second ends at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAID = b"\nstopping: a checkpoint is written first; once more to end at once\n"


class Stopped(KeyboardInterrupt):
    """Training was stopped and can go on from where it is: (a line for the user, exit status)."""


class Stop:
    """Within the block, the first of SIGNALS only sets `heard`, and whatever handled them before handles the next. It does nothing outside
    the main thread, and does not listen to a signal that is ignored (`nohup`)."""

    def __init__(self) -> None:
        self.heard: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._give_back()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = number
        self._give_back()
        os.write(2, SAID)  # a handler must not use a stream: it may interrupt a write

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
