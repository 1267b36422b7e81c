"""The web server: uvicorn with limits for connections that bring nothing or take nothing."""

import asyncio
import resource
import socket
import ssl
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.config import ConfigError
from daemon.console.app import build
from daemon.console.config import ConsoleConfig, Settings
from daemon.console.guard import HEAD_BYTES

LOOK_S = 5.0
MOST_CONNECTIONS = 1000
STOP_S = 4
STALLED_LOOKS = 6
"""Whoever has taken nothing for so many looks is gone."""
HANDSHAKE_S = 5.0
"""TLS has to be set up within so long; until then a connection is none of the MOST_CONNECTIONS."""
MOST_FILES = 4096
"""Files and connections of the process. With more connections, those that come have to wait."""


class _Loop(asyncio.SelectorEventLoop):
    """Does not wait for a minute, as usual, for those who begin TLS and go no further."""

    async def create_server(self, *given: Any, **more: Any) -> asyncio.Server:
        if more.get("ssl") is not None:
            more |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": HANDSHAKE_S}
        return await super().create_server(*given, **more)


class Patient(H11Protocol):
    """A connection that is looked at now and then. It is closed if it has brought no whole request for two looks, or takes no answer.

    This is uvicorn's own way to extend it. uvicorn itself waits without a limit for the headers of a request.
    """

    _looking: asyncio.TimerHandle | None = None
    _idle = _stalled = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._looking = self.loop.call_later(LOOK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        waits = self.cycle is None or self.cycle.response_complete
        self._idle = self._idle + 1 if waits else 0
        self._stalled = self._stalled + 1 if self.transport.get_write_buffer_size() else 0
        if self._stalled >= STALLED_LOOKS or (self.transport.is_closing() and self._idle >= 2):
            self.transport.abort()
        elif self._idle >= 2:
            self.transport.close()
        self._looking = self.loop.call_later(LOOK_S, self._look)


class Served:
    """A console that listens, and serves while `run` runs. Raises ConfigError and ClientError for settings that cannot be used."""

    def __init__(self, settings: Settings) -> None:
        config = settings.console
        app, self.api = build(settings, lambda: self.server.should_exit)
        files: dict[str, Any] = {"ssl_certfile": config.certificate, "ssl_keyfile": config.private_key} if config.certificate else {}
        made = uvicorn.Config(
            app, http=Patient, ws="none", lifespan="on", proxy_headers=False, server_header=False, access_log=False, log_config=None,
            limit_concurrency=MOST_CONNECTIONS, h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=5,
            timeout_graceful_shutdown=STOP_S, **files,
        )  # fmt: skip
        try:
            made.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"TLS cannot be set up: {error}", "check console.certificate and console.private_key (PEM)") from None
        self.server = uvicorn.Server(made)
        self._socket = _listening(config)
        host, port = self._socket.getsockname()[:2]
        self.address = f"{'https' if config.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> None:
        """Until SIGTERM, SIGINT or `stop`."""
        with self._socket, asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self.server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Let `run` end, within some seconds. Any thread may call it."""
        self.server.should_exit = True


def take_files() -> None:
    """Let this process have MOST_FILES, if it may: most systems give 1024, and MOST_CONNECTIONS would take them all."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard), hard))


def _listening(config: ConsoleConfig) -> socket.socket:
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(found[4][:2], family=found[0], backlog=256)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise ConfigError(
            f"the console cannot listen on {where} ({error})", "give console.host and console.port that are free here"
        ) from None
