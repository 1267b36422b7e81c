"""The HTTP server of the metrics. It is open to whoever reaches its address, so what it may use of the process is bounded."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from daemon.core.faults import Fault

IDLE_S = 5.0
"""A connection that sends nothing, or takes nothing, for so long is closed."""
MOST_OPEN = 16
"""So many connections may be open. One more closes the oldest: idle ones keep nobody out."""
AGAIN_S = 5.0
"""So long after a failure the address is tried again."""


class MetricsError(Fault):
    """The metrics cannot be served. `hint` says what to do about it."""


class _Handler(WSGIRequestHandler):
    timeout = IDLE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody needs a line for each scrape."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args: Any, **named: Any) -> None:
        self._open: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        super().__init__(*args, **named)

    def server_bind(self) -> None:
        super(WSGIServer, self).server_bind()  # HTTPServer would ask a name server who this machine is, and wait for it
        host, port = self.socket.getsockname()[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.append(request)
            oldest = self._open.popleft() if len(self._open) > MOST_OPEN else None
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)  # its thread sees the end, and closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock, suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone."""


class MetricsServer:
    """Serves /metrics over plain HTTP and without a password, until it is closed."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        """Raises MetricsError."""
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            kind = type("_Server", (_Server,), {"address_family": family})
            self._server: WSGIServer = make_server(str(address[0]), port, make_wsgi_app(registry), kind, _Handler)
        except (OSError, OverflowError) as error:
            raise MetricsError(
                f"metrics cannot be served on {host}:{port} ({error})",
                "set metrics.host and metrics.port to a free address, or the port to 0 for none",
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Exporter:
    """A server that may have to wait for its address: a network that comes up later, or a port that is still taken. `open` makes the
    server, or raises MetricsError. Used by one thread."""

    def __init__(self, open: Callable[[], MetricsServer], clock: Callable[[], float] = time.monotonic) -> None:
        self._open, self._clock = open, clock
        self._server: MetricsServer | None = None
        self._tried_s: float | None = None
        self._why: str | None = None

    def trouble(self) -> str | None:
        """Why the metrics are not served; None while they are. Tries it again when it is time."""
        now_s = self._clock()
        if self._server is None and (self._tried_s is None or now_s - self._tried_s >= AGAIN_S):
            self._tried_s = now_s
            try:
                self._server, self._why = self._open(), None
            except MetricsError as error:
                self._why = error.message
        return self._why

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
