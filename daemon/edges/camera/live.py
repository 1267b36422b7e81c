"""A live camera: an RTSP or HTTP URL, or a V4L2 device. Only the newest frame is handed out, and a lost camera is tried again and again.

Each connection has a process of its own (`reader.py`), which opens the source and decodes. A stream that breaks the decoder, or makes it
hang, ends that process and nothing else. The process gets the address over a socket, and has no secrets beside it.
"""

import fcntl
import logging
import mmap
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from daemon.core.values import OPENING, CameraTrouble, Frame
from daemon.edges.camera import causes, wire
from daemon.edges.camera.source import State
from daemon.edges.camera.wire import Cause, Kind, Message, Settings, Way
from daemon.edges.confinement import Lacks

log = logging.getLogger("ostiary")

OPEN_S = 10.0
BACKOFF_S = (1.0, 30.0)
LOGIN_BACKOFF_S = (60.0, 900.0)
"""Cameras lock an account after a few refused logins, some for half an hour."""
SETTLED_S = 10.0
"""A camera that fails after it delivered for this long is tried again at once; after a sooner failure the pause grows each time."""
FROZEN_REOPEN_S = 10.0
QUIET_REOPEN_S = (60.0, 3600.0)
"""A source in which nothing moves is kept open so much longer, and longer each time: it may be well, and somebody may walk up."""
HANG_S = 10.0
"""A process that says nothing for so long hangs. It says something several times a second, except while it opens the source."""
START_S = 30.0
"""A process starts within so many seconds, also where everything starts at once."""
AHEAD_S = 2.0
"""A process is started so long before it is needed: it loads its libraries meanwhile."""
CLOSE_S = 1.0
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""What the process may know of the daemon's environment."""
BEGIN = "import sys; sys.path.insert(0, sys.argv[1]); from daemon.edges.camera.reader import main; main()"


_LACKING = {
    Lacks.FILE_RULES: "the kernel does not limit which files the processes of cameras read (Landlock: Linux 5.13, and the unit's "
    "SystemCallFilter must allow it); their other limits hold",
    Lacks.CALL_FILTER: "the processes of cameras have no filter of system calls; their other limits hold",
}
_said: set[Lacks] = set()


def _say(lacks: Lacks) -> None:
    """Say what the kernel does not do, once."""
    for lack, words in _LACKING.items():
        if lack in lacks and lack not in _said:
            _said.add(lack)
            log.warning(words)


class Process:
    """One process, for one connection."""

    def __init__(self, begin: str = BEGIN) -> None:
        """Start it. Raises OSError."""
        self._file = os.memfd_create("camera", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._file, wire.MEMORY_BYTES)
            # Memory that the other side could cut off would end the daemon.
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(self._file, wire.MEMORY_BYTES, prot=mmap.PROT_READ)
            self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            os.close(self._file)
            raise
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", begin, str(Path(__file__).parents[3]), str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**environment, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError:
            self.line.close()
            os.close(self._file)
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.begun = False
        self.heard_s = time.monotonic()
        self.limit_s = START_S

    def begin(self, settings: Settings) -> None:
        """Have it open the source."""
        self.begun = True
        with suppress(OSError):  # its end is found out by who listens
            socket.send_fds(self.line, [settings.encode()], [self._file])

    def want(self) -> None:
        """Have it send its newest picture."""
        with suppress(OSError):
            self.line.send(wire.WANT, socket.MSG_DONTWAIT)

    def image(self, message: Message) -> np.ndarray:
        """A copy of the picture that lies in the memory."""
        size = 3 * message.width * message.height
        return np.frombuffer(self._memory, np.uint8, size).reshape(message.height, message.width, 3).copy()

    def ask_to_end(self) -> None:
        """Any thread may: who listens sees the end of the line."""
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def end(self, patience_s: float = 0.0) -> int:
        """End it, and give its memory back. Its status, or minus its signal if it ended by one of its own."""
        status = self._process.poll()
        if status is None and patience_s > 0:
            self.ask_to_end()
            with suppress(subprocess.TimeoutExpired):
                status = self._process.wait(patience_s)
        if status is None:
            self._process.kill()
            self._process.wait()
        self.line.close()
        os.close(self._file)
        with suppress(BufferError):
            self._memory.close()
        return status if status is not None else 0


class LiveCamera:
    """A camera that is read by a process of its own. Whoever reads also looks after the process: there is no further thread."""

    live = True

    def __init__(
        self,
        gate: str,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        *,
        backoff_s: tuple[float, float] = BACKOFF_S,
        login_backoff_s: tuple[float, float] = LOGIN_BACKOFF_S,
        quiet_reopen_s: tuple[float, float] = QUIET_REOPEN_S,
        hang_s: float = HANG_S,
        start: Callable[[], Process] = Process,
    ) -> None:
        self.gate, self._settings, self._clock, self._wall = gate, settings, clock, wall
        self._backoff_s, self._login_backoff_s, self._hang_s, self._start = backoff_s, login_backoff_s, hang_s, start
        self._lock = threading.RLock()
        self._process: Process | None = None
        self._due_s = clock()
        self._pause_s, self._login_pause_s = backoff_s[0], login_backoff_s[0]
        self._wanted = False
        self._message: Message | None = None
        self._picture: Message | None = None
        self._numbered = -1
        self._base = 0
        self._good_since_s: float | None = None
        self._seen_s: float | None = None
        self._why: str | None = None
        self._dropped: Counter[str] = Counter()
        self._current: Counter[str] = Counter()
        self._closed = self._frozen = self._quiet = self._late = False
        self._format = settings.format
        self._quiet_bounds_s, self._quiet_reopen_s = quiet_reopen_s, quiet_reopen_s[0]

    def start(self) -> None:
        """Start the first process, so that it opens the source while the daemon gets ready."""
        with self._lock:
            self._look_after()

    # ---- what it is like

    @property
    def state(self) -> State:
        with self._lock:
            return "ended" if self._closed else "up" if self._is_up() else "down"

    @property
    def trouble(self) -> CameraTrouble | None:
        with self._lock:
            if self._closed:
                return None
            if self._frozen:
                return "frozen"
            if self._way in (Way.LATE_NETWORK, Way.LATE_DECODING) or (self._late and not self._is_up()):
                return "behind"
            return None if self._is_up() else "down"

    @property
    def detail(self) -> str | None:
        with self._lock:
            if self._closed:
                return "closed"
            if self._why is not None and self._process_is_over():
                return self._why
            message = self._message
            if message is not None and (said := causes.going(message.way, message.amount)) is not None:
                return said
            if self._is_up():
                return None
            if message is not None:
                return f"nothing new for more than {self._settings.stale_s:g} s"
            return self._why or OPENING

    @property
    def dropped(self) -> Mapping[str, int]:
        with self._lock:
            return {reason: count for reason, count in (self._dropped + self._current).items() if count}

    @property
    def pid(self) -> int | None:
        """The number of its process, None while there is none."""
        process = self._process
        return process.pid if process is not None else None

    # ---- reading

    def read(self, timeout_s: float) -> Frame | None:
        deadline = self._clock() + timeout_s
        while True:
            with self._lock:
                if self._closed:
                    return None
                self._look_after()
                if (frame := self._frame()) is not None:
                    return frame
                process = self._process
                if process is not None and process.begun and not self._wanted:
                    process.want()
                    self._wanted = True
            left_s = deadline - self._clock()
            if left_s <= 0:
                return None
            self._wait(process, min(left_s, max(0.01, self._due_s - self._clock())) if process is None else min(left_s, 0.25))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            if process is not None:
                process.ask_to_end()
                process.end(CLOSE_S)

    def _wait(self, process: Process | None, seconds: float) -> None:
        if process is None:
            time.sleep(min(seconds, 0.1))
            return
        with suppress(OSError, ValueError):  # closed meanwhile
            select.select([process.line], [], [], seconds)

    def _frame(self) -> Frame | None:
        message, self._picture = self._picture, None
        if message is None or self._process is None:
            return None
        now_s = self._clock()
        age_s = time.monotonic() - min(message.at_s, time.monotonic())
        if age_s > self._settings.stale_s:
            self._dropped["stale"] += 1
            return None
        image = self._process.image(message)
        number = self._base + message.number
        if number <= self._numbered:
            return None
        self._numbered = number
        return Frame(self.gate, number, now_s - age_s, self._wall() - age_s, image)

    # ---- the process

    def _look_after(self) -> None:
        """Hear what the process says, and start, begin, end or replace it, as it is time."""
        now_s = self._clock()
        process = self._process
        if process is None:
            if now_s < self._due_s - AHEAD_S:
                return
            try:
                process = self._process = self._start()
            except OSError as error:
                self._failed(Cause.NOT_STARTED, float(error.errno or 0))
                return
        if not process.begun:
            if now_s < self._due_s:
                return
            process.begin(
                replace(
                    self._settings,
                    format=self._format,
                    frozen=self._frozen and not self._quiet,
                    quiet=self._quiet,
                    quiet_reopen_s=self._quiet_reopen_s,
                )
            )
            process.heard_s, process.limit_s = time.monotonic(), START_S + self._settings.open_s
            self._wanted = False
        self._listen(process)
        if self._process is process and time.monotonic() - process.heard_s > process.limit_s:
            self._over(Cause.HANGS, 0.0)

    def _listen(self, process: Process) -> None:
        while self._process is process:
            try:
                data = process.line.recv(wire.MESSAGE_BYTES + 1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                status = process.end(CLOSE_S)
                self._process = None
                self._failed(Cause.CRASHED, float(status))
                return
            message = wire.read_message(data)
            if message is None:
                self._over(Cause.NONSENSE, 0.0)
                return
            process.heard_s = time.monotonic()
            self._heard(process, message)

    def _heard(self, process: Process, message: Message) -> None:
        # The first word comes before the source is opened.
        process.limit_s = self._hang_s if self._message is not None else self._settings.open_s + self._hang_s
        self._message = message
        self._current = Counter(dict(zip(wire.DROPS, message.dropped, strict=True)))
        _say(message.lacks)
        if message.kind is Kind.END:
            assert message.cause is not None
            self._over(message.cause, message.amount)
            return
        if message.seen_s == message.seen_s:  # not NaN
            seen_s = min(message.seen_s, time.monotonic())
            self._seen_s = self._clock() - (time.monotonic() - seen_s)
            self._good_since_s = self._good_since_s if self._good_since_s is not None else self._clock()
            self._why, self._late = None, False
            self._quiet_reopen_s = self._quiet_bounds_s[0]
        if message.way is not Way.WAITING:
            self._frozen, self._quiet = message.way in (Way.FROZEN, Way.QUIET), message.way is Way.QUIET
        if message.kind is Kind.PICTURE:
            self._wanted, self._picture = False, message

    def _over(self, cause: Cause, amount: float) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(CLOSE_S if cause not in (Cause.HANGS, Cause.NONSENSE) else 0.0)
        self._failed(cause, amount)

    def _failed(self, cause: Cause, amount: float) -> None:
        """The connection is over: say why, and when the next one is tried."""
        now_s, self._late = self._clock(), cause is Cause.LATE
        if cause in (Cause.FROZEN, Cause.QUIET):
            self._frozen, self._quiet = True, cause is Cause.QUIET
        else:
            self._frozen = self._quiet = False
        if self._good_since_s is not None:
            self._login_pause_s = self._login_backoff_s[0]
            if now_s - self._good_since_s > SETTLED_S:
                self._pause_s = self._backoff_s[0]
        if self._good_since_s is None:
            self._format = self._settings.format
        if cause in causes.LOGIN_CAUSES:
            pause_s, self._login_pause_s = self._login_pause_s, min(2 * self._login_pause_s, self._login_backoff_s[1])
        elif cause is Cause.PARTS:
            pause_s, self._format = self._backoff_s[0], wire.WHOLE
        elif cause is Cause.QUIET:
            pause_s, self._quiet_reopen_s = self._backoff_s[0], min(2 * self._quiet_reopen_s, self._quiet_bounds_s[1])
        else:
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, self._backoff_s[1])
        self._due_s = now_s + pause_s
        self._why = f"{causes.said(cause, amount)} (next try in {self._in_words(pause_s)})"
        self._dropped += self._current
        self._current.clear()
        self._base = self._numbered + 1
        self._message = self._picture = self._good_since_s = None
        self._wanted = False

    def _in_words(self, pause_s: float) -> str:
        if pause_s < 60:
            return f"{pause_s:.0f} s"
        return f"{pause_s / 60:.0f} min, at {time.strftime('%H:%M:%S', time.localtime(self._wall() + pause_s))}"

    # ---- its state

    @property
    def _way(self) -> Way:
        return self._message.way if self._message is not None else Way.WELL

    def _is_up(self) -> bool:
        return self._seen_s is not None and not self._frozen and self._clock() - self._seen_s <= self._settings.stale_s

    def _process_is_over(self) -> bool:
        return self._process is None or not self._process.begun or self._message is None
