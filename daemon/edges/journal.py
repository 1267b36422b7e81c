"""The daemon's log: lines for people with a tail of `key=value` for programs. systemd's journal gets the priority of each line."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from daemon.core.buckets import Bucket

RATE_S, BURST = 1.0, 30
"""A line of one kind may be said so often at once, and so often a second in the long run."""
MOST_KINDS = 1_000

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@/+-")


def fields(**named: object) -> dict[str, dict[str, object]]:
    """For `extra` of a log call: what the line's tail says. None is left out."""
    return {"fields": {key: value for key, value in named.items() if value is not None}}


def tail(named: Mapping[str, object]) -> str:
    """` | key=value key="two words"`; empty without fields. One line, whatever the values hold."""
    return " | " + " ".join(f"{key}={_value(value)}" for key, value in named.items()) if named else ""


def priority(level: int) -> int:
    """syslog's number for a level of `logging`: 3 is an error, 4 a warning, 6 usual, 7 for whoever looks for a fault."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def is_journal(stream: TextIO) -> bool:
    """Whether systemd reads this stream and takes priorities from it: it names the stream's device and inode in JOURNAL_STREAM."""
    try:
        device, inode = map(int, os.environ.get("JOURNAL_STREAM", "").split(":"))
        seen = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (seen.st_dev, seen.st_ino) == (device, inode)


def nameless(error: BaseException) -> BaseException:
    """Where an error was raised and of which type it is, without its text, which may name people."""
    return RuntimeError(f"{type(error).__name__}; its text may name people, and log.people is off").with_traceback(error.__traceback__)


def prefixed(text: str, level: int) -> str:
    """The text with systemd's prefix on each of its lines."""
    return "\n".join(f"<{priority(level)}>{line}" for line in text.split("\n"))


class Line(logging.Formatter):
    """One record as text. `journal`: with systemd's prefixes; otherwise the level stands before it in letters."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(levelname)s %(message)s")
        self._journal = journal

    def formatMessage(self, record: logging.LogRecord) -> str:
        return " ".join(super().formatMessage(record).splitlines()) + tail(getattr(record, "fields", {}))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return prefixed(text, record.levelno) if self._journal else text


@dataclass(slots=True)
class _Kind:
    bucket: Bucket
    level: int
    left_out: int = 0


class Journal(logging.StreamHandler[TextIO]):
    """Writes to a stream. Lines of one kind (the same words about the same gate, for the same reason) that come too often are left out and
    counted."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._kinds: dict[tuple[str, str, str], _Kind] = {}
        self.setFormatter(Line(journal=is_journal(stream)))

    def emit(self, record: logging.LogRecord) -> None:
        now_s = self._clock()
        kind = self._kind(record)
        if not kind.bucket.allows(now_s):
            kind.left_out += 1
            return
        if kind.left_out:
            self._say(record, kind)
        super().emit(record)

    def close(self) -> None:
        """What was left out last is said too."""
        for (gate, _, words), kind in self._kinds.items():
            if kind.left_out:
                record = logging.LogRecord("ostiary", kind.level, "", 0, words, None, None)
                record.fields = {"gate": gate} if gate else {}
                self._say(record, kind)
        self._kinds.clear()
        super().close()

    def _say(self, record: logging.LogRecord, kind: _Kind) -> None:
        said = fields(gate=getattr(record, "fields", {}).get("gate"), left_out=kind.left_out)
        text = f"{kind.left_out} lines like the following were left out: {str(record.msg)[:200]}"
        about = logging.LogRecord(record.name, record.levelno, "", 0, text, None, None)
        about.__dict__.update(said)
        kind.left_out = 0
        super().emit(about)

    def _kind(self, record: logging.LogRecord) -> _Kind:
        named: Mapping[str, Any] = getattr(record, "fields", {})
        key = str(named.get("gate", "")), str(named.get("reason", "")), str(record.msg)
        if key not in self._kinds and len(self._kinds) >= MOST_KINDS:
            self._kinds = {each: kind for each, kind in self._kinds.items() if kind.left_out}
        return self._kinds.setdefault(key, _Kind(Bucket(RATE_S, BURST), record.levelno))


def install(stream: TextIO | None = None) -> Journal:
    """Send all log lines of this process to a stream (standard error)."""
    handler = Journal(stream if stream is not None else sys.stderr)
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, Journal)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return handler


def _value(value: object) -> str:
    text = str(value)
    if text and set(text) <= _PLAIN:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
