"""Waking the network thread while it waits for its socket."""

import select
import socket
import threading
from typing import Protocol


class HasFileno(Protocol):
    """Something that can be waited for."""

    def fileno(self) -> int: ...


class Bell:
    """Any thread may ring. Only the network thread waits, and closes the bell when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ear, self._button = socket.socketpair()
        self._ear.setblocking(False)
        self._button.setblocking(False)

    def ring(self) -> None:
        """End the wait, or the next one if there is none now. Does nothing once the bell is closed."""
        with self._lock:
            if self._button.fileno() < 0:
                return
            try:
                self._button.send(b"\0")
            except BlockingIOError:
                return  # thousands of rings are waiting already

    def wait(self, timeout_s: float, sock: HasFileno | None = None, *, reading: bool = True, writing: bool = False) -> tuple[bool, bool]:
        """Wait for a ring, or until `sock` can be read or written, as far as asked for. Returns whether it can be read and written."""
        poll = select.poll()  # select.select() would fail once the process has a thousand files open
        poll.register(self._ear, select.POLLIN)
        if sock is not None and (reading or writing):
            poll.register(sock, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))
        ready = dict(poll.poll(timeout_s * 1000))
        if self._ear.fileno() in ready:
            self._ear.recv(4096)
        events = ready.get(sock.fileno(), 0) if sock is not None else 0
        return reading and bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)

    def close(self) -> None:
        with self._lock:
            self._ear.close()
            self._button.close()
