"""The sandbox: one process beside the daemon that decodes photos from outside, finds the face and cuts it out.

A JPEG file that takes too long, asks for too much memory or breaks the decoder ends that process and not the gate. It gets the bytes of one
photo after the other over a socket. It has no files, no environment, no key and no way to get one, and what it can answer is a crop of
fixed size or one of a few known reasons.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from daemon.core.faces.photo import PhotoError, check_jpeg
from daemon.core.faults import Fault
from daemon.core.people import photo_wire as wire
from daemon.core.people.enrol import EnrolError
from daemon.core.people.photo_wire import PhotoSettings
from daemon.core.values import Image

log = logging.getLogger("ostiary")

PHOTO_S = 20.0
"""A photo has its answer after this many seconds, or never. The process gives way to the gates, so it may wait for its own few seconds."""
COMMAND_S = 60.0
"""All photos of one command."""
START_S = 60.0
ATTEMPTS = 2
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""What the process may know of the daemon's environment."""
BEGIN = "import sys; sys.path.insert(0, sys.argv[1]); from daemon.pipeline.sandbox import main; main()"


class SandboxError(Fault):
    """The sandbox itself does not work: no photo can be looked at."""


class _Ended(Exception):
    """The process ended before it answered."""


class Sandbox:
    """Made and closed by one thread, and used by one other at a time."""

    def __init__(self, settings: PhotoSettings, photo_s: float = PHOTO_S) -> None:
        self._settings, self._photo_s = settings, photo_s
        self._lock, self._in_use = threading.Lock(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._ready = self._closed = False

    @property
    def pid(self) -> int | None:
        """The number of the process, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process, if there is none; it gets ready by itself. Raises SandboxError."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            if self._closed:
                raise SandboxError("the daemon stops", "send the command again")
            self._tidy()
            ours, theirs = socket.socketpair()
            environment = {name: os.environ[name] for name in KEPT if name in os.environ}
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", BEGIN, str(Path(__file__).parents[2])],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**environment, "OPENBLAS_NUM_THREADS": "1"},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise SandboxError(f"the process for photos cannot be started: {error.strerror}", "look at memory and limits") from None
            finally:
                theirs.close()
            self._line, self._ready = ours, False
            settings = self._settings.encode()
            with suppress(OSError):  # who waits for it finds out
                ours.sendall(wire.LENGTH.pack(len(settings)) + settings)

    def crops(self, jpegs: Sequence[bytes]) -> list[Image]:
        """The crops, uint8 [112, 112, 3] RGB, of the one face in each JPEG file. Raises EnrolError for the first file that is no good, and
        SandboxError."""
        for number, jpeg in enumerate(jpegs, 1):
            try:
                check_jpeg(jpeg)
            except PhotoError as error:
                raise EnrolError("bad_image", f"image {number}: {error}") from None
        last = time.monotonic() + COMMAND_S
        with self._in_use:
            return [self._crop(jpeg, number, last) for number, jpeg in enumerate(jpegs, 1)]

    def close(self) -> None:
        """End the process. Who waits for it gets a SandboxError."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()
        with self._in_use:  # whoever waits for an answer sees the end of the line at once
            self._tidy()

    # ---- one photo

    def _crop(self, jpeg: bytes, number: int, last: float) -> Image:
        for _ in range(ATTEMPTS):
            self._wait_until_ready()
            try:
                return self._asked(jpeg, number, min(last, time.monotonic() + self._photo_s))
            except TimeoutError:
                self._end()
                raise EnrolError("bad_image", f"image {number}: it takes too long to decode; save it again as a usual photo") from None
            except (_Ended, OSError):
                status = self._end()
            if status == -signal.SIGXCPU:
                raise EnrolError("bad_image", f"image {number}: it takes too long to decode; save it again as a usual photo")
            if status not in (-signal.SIGKILL, -signal.SIGTERM):  # the photo's doing
                break
        raise EnrolError("bad_image", f"image {number}: decoding it failed; save it again as a usual photo")

    def _asked(self, jpeg: bytes, number: int, deadline: float) -> Image:
        line = self._line
        assert line is not None
        line.settimeout(max(0.001, deadline - time.monotonic()))
        line.sendall(wire.LENGTH.pack(len(jpeg)) + jpeg)
        code = self._read(1, deadline)[0]
        if code == wire.GOOD:
            return wire.crop_of(self._read(wire.CROP_BYTES, deadline))
        error = wire.refused(code, number)
        if error is not None:
            raise error
        self._end()
        raise SandboxError("the process for photos failed and was started again", "send another command; if it fails too: `ostiaryd check`")

    def _wait_until_ready(self) -> None:
        self.start()
        if self._ready:
            return
        try:
            word = self._read(1, time.monotonic() + START_S)
        except (_Ended, OSError):
            status = self._end(again=False)
            hint = "look at the log above, at memory and at the limits of the service"
            raise SandboxError(f"the process for photos ended while it started ({status})", hint) from None
        if word == wire.UNFILTERED:
            log.warning("the process for photos has no filter of system calls; its other limits hold")
        self._ready = True

    def _read(self, count: int, deadline: float) -> bytes:
        """So many bytes. Raises TimeoutError, _Ended and OSError."""
        assert self._line is not None
        data = b""
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._line.settimeout(left)
            part = self._line.recv(count - len(data))
            if not part:
                raise _Ended
            data += part
        return data

    # ---- the process

    def _end(self, *, again: bool = True) -> int:
        """End the process and begin another one, so that the next photo need not wait. Returns its status, or minus its signal."""
        with self._lock:
            assert self._process is not None
            ended_by_itself = self._process.poll()
            self._process.kill()
            status = self._process.wait()
            self._tidy()
        log.warning("the process for photos ended (%s); the photo is refused, and the next one gets another process", status)
        if again:
            with suppress(SandboxError):  # the next photo tries it again, and says so
                self.start()
        return ended_by_itself if ended_by_itself is not None else status

    def _tidy(self) -> None:
        if self._line is not None:
            self._line.close()
        self._process, self._line, self._ready = None, None, False
